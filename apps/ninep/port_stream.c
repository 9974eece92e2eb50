/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ninep DIRECTORY: serves it on standard input and output, as inetd or `socat` start it; ends with its client. */
#include "runtime.h"
#include "server.h"

static struct server server;
static uint8_t frame[SERVER_FRAME_MOST], reply[SERVER_FRAME_MOST];

static _Noreturn void die(const char *why)
{
    rt_print(2, why);
    rt_exit(1);
}

/* False: the stream ended before the first byte. */
static bool read_all(uint8_t *to, uint32_t size)
{
    for (uint32_t have = 0; have < size;) {
        long got = rt_syscall(RT_NR_READ, 0, (long)(to + have), size - have, 0, 0, 0);
        if (got == -RT_EINTR)
            continue;
        if (got == 0 && have == 0)
            return false;
        if (got <= 0)
            die("ninep: the client left within a frame\n");
        have += (uint32_t)got;
    }
    return true;
}

static void write_all(const uint8_t *from, uint32_t size)
{
    while (size > 0) {
        long put = rt_syscall(RT_NR_WRITE, 1, (long)from, size, 0, 0, 0);
        if (put == -RT_EINTR)
            continue;
        if (put <= 0)
            die("ninep: the client takes no answers\n");
        from += put;
        size -= (uint32_t)put;
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: ninep DIRECTORY\n9P2000 on standard input and output.\n");
    struct files_entry entry;
    files_root(argv[1]);
    if (files_stat("", &entry) < 0 || entry.qid.type != QID_DIRECTORY)
        die("ninep: this is no directory, or one that cannot be read; give another\n");
    server_init(&server, SERVER_FRAME_MOST);
    while (read_all(frame, 4)) {
        uint32_t size = (uint32_t)frame[0] | (uint32_t)frame[1] << 8 | (uint32_t)frame[2] << 16 | (uint32_t)frame[3] << 24;
        if (size < NINEP_HEADER || size > server.msize)
            die("ninep: a frame of a size that was not agreed on\n");
        if (!read_all(frame + 4, size - 4))
            die("ninep: the client left within a frame\n");
        uint32_t answer = server_answer(&server, frame, size, reply);
        if (answer == 0)
            die("ninep: a frame that is none\n");
        write_all(reply, answer);
    }
    server_end(&server);
    return 0;
}
