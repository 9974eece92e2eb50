/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front end, a hosted program on the general-purpose node: lines from standard input (answers to standard output), from its arguments, or in
 * datagrams to a port of the loopback interface, for interpreters. nodes=LIST says where nodes for tiles are.
 */
#include "front.h"
#include "hosted.h"
#include "node.h"
#include "runtime.h"
#include "words.h"

#define LINE_LEAST 65536u
#define LINE_MOST (32u << 20)

static const char main_usage[] =
    "usage: hosted_matrix [WORD=VALUE ...] -- matrix [-c LINE ...]\n"
    "A matrix whose tiles are kept by other nodes. Lines on standard input, one operation each; or behind -c, with colons between a line's words.\n"
    "  nodes=LIST      where they are: A.B.C.D, N@A.B.C.D or N@A.B.C.D:PORT, joined by commas; and then\n"
    "  pool=KIND       machines of that kind, which gpos has powered on\n"
    "  listen=PORT     take lines in datagrams to 127.0.0.1:PORT instead\n"
    "  log=1           print the figures of each operation; 2: a mark (# sum) when it is over, all else at the end\n"
    "  patience_ms=N   how long a node may take to answer (5000)\n"
    "  node=N, gpos=A.B.C.D: join it, as that node; else this is node 0\n"
    "  port=P, session=S, cpus=1, memory=MIB: as of every hosted program\n";

static struct event main_input, main_ended;
static char *main_text;
static size_t main_at, main_length, main_room;    /* what is to be done lies between main_at and main_length */
static bool main_over;
static char *main_held;
static size_t main_held_length, main_held_room;

static void main_print(int fd, const char *text, size_t length)
{
    while (length) {
        long wrote = rt_syscall(RT_NR_WRITE, fd, (long)text, (long)length, 0, 0, 0);

        if (wrote <= 0 && wrote != -RT_EINTR)
            machine_exit(1);            /* nobody reads */
        if (wrote > 0) {
            text += wrote;
            length -= (size_t)wrote;
        }
    }
}

/* With log=2 what is to be printed waits for the end, so that printing costs operations next to nothing. */
static void main_hold(const char *text, size_t length)
{
    if (main_held_length + length > main_held_room) {
        size_t room = 2 * (main_held_length + length) + LINE_LEAST;
        char *more = mem_alloc(room);

        if (more == NULL)
            panic("matrix: no memory for what is to be printed at the end");
        memcpy(more, main_held, main_held_length);
        mem_free(main_held);
        main_held = more;
        main_held_room = room;
    }
    memcpy(main_held + main_held_length, text, length);
    main_held_length += length;
}

void front_note(const char *line)
{
    if (front_log == 2)
        main_hold(line, strlen(line));
    else
        main_print(2, line, strlen(line));
}

void front_mark(const char *command)
{
    char text[32];

    main_print(2, text, (size_t)format_string(text, sizeof(text), "# %s\n", command));
}

static void main_reply(const char *text, size_t length)
{
    if (front_log == 2 && main_over)
        main_hold(text, length);
    else
        main_print(1, text, length);
}

static void main_lines(void);

/* After every event that may have ended an operation: more lines, or the end. */
static void main_look(void *arg)
{
    (void)arg;
    main_lines();
    if (main_over && front_idle()) {
        main_print(1, main_held, main_held_length);
        machine_exit(front_refused ? 1 : 0);
    }
}

static void main_replied(void *arg, const char *text, size_t length)
{
    (void)arg;
    main_reply(text, length);
    event_spawn(cpu_id(), main_look, NULL);
}

/* Whole lines that have come, as far as the front end takes them; at the end also one without its end. */
static void main_lines(void)
{
    for (;;) {
        const char *at = main_text + main_at, *end = memchr(at, '\n', main_length - main_at);
        size_t length = end ? (size_t)(end - at) : main_length - main_at;

        if ((end == NULL && (!main_over || length == 0)) || (length && !front_line(at, length, main_replied, NULL)))
            break;
        main_at += length + (end != NULL);
    }
}

static void main_read(void *arg)
{
    (void)arg;
    if (main_over || (main_length - main_at > LINE_LEAST && memchr(main_text + main_at, '\n', main_length - main_at)))
        return;                         /* as many lines as may wait do */
    main_length -= main_at;
    memmove(main_text, main_text + main_at, main_length);
    main_at = 0;
    if (main_room - main_length < LINE_LEAST / 2) {
        char *more = main_room < LINE_MOST ? mem_alloc(2 * main_room) : NULL;

        if (more == NULL) {
            rt_print(2, "matrix: a line is too long\n");
            machine_exit(2);
        }
        memcpy(more, main_text, main_length);
        mem_free(main_text);
        main_text = more;
        main_room *= 2;
    }

    long length = rt_syscall(RT_NR_READ, 0, (long)(main_text + main_length), (long)(main_room - main_length), 0, 0, 0);

    if (length > 0)
        main_length += (size_t)length;
    else if (length != -RT_EINTR && length != -RT_EAGAIN)
        main_over = true;
    main_look(NULL);
}

/* ---- datagrams ---- */

struct main_asker {
    struct udp_peer peer;
};

static uint16_t main_port;

static void main_reply_datagram(void *arg, const char *text, size_t length)
{
    static const char too_long[] = "error the answer is too long for a datagram; read fewer elements at once\n";
    struct main_asker *asker = arg;
    struct iobuf *buf = iobuf_alloc_tx();

    if (length > UDP_MAX_PAYLOAD) {
        text = too_long;
        length = sizeof(too_long) - 1;
    }
    if (buf) {
        memcpy(buf->data, text, length);
        buf->len = (uint32_t)length;
        udp_send(main_port, &asker->peer, buf);
    }
    mem_free(asker);
}

static void main_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    struct main_asker *asker = mem_alloc(sizeof(*asker));
    size_t length = rx->len;

    (void)ctx;
    while (length && (rx->data[length - 1] == '\n' || rx->data[length - 1] == '\r'))
        length--;
    if (asker) {
        asker->peer = *from;
        if (!front_line((const char *)rx->data, length, main_reply_datagram, asker))
            main_reply_datagram(asker, "error too many lines wait\n", 26);
    }
    iobuf_free(rx);
}

/* ---- nodes ---- */

static struct future main_joined;
static struct future_wait main_joined_wait;

/* Lines are taken from now on. */
static void main_ready(void *arg)
{
    (void)arg;
    if (main_joined.state == FUTURE_FAILED)
        panic("matrix: gpos refused it: %s", node_refusal());
    console_printf("matrix: ready\n");
    if (main_over) {
        event_post(cpu_id(), &main_ended, main_look, NULL);
    } else if (main_port == 0) {
        main_input.fn = main_read;
        hosted_watch(0, &main_input);
    }
}

/* Node 0, or one that joins gpos. */
static void main_network(int argc, char **argv)
{
    uint32_t port = matrix_word_number(argc, argv, "port", MESSENGER_PORT, 1, 65535);
    const char *pool = matrix_word(argc, argv, "pool", NULL);

    future_then(&main_joined, &main_joined_wait, main_ready, NULL);
    if (!distributed_start(NULL, 0))
        panic("matrix: too many targets of messages");
    if (!node_start("matrix", &main_joined)) {
        future_fulfil(&main_joined, NULL);
        if (!messenger_start(0, (uint16_t)port, matrix_word_number(argc, argv, "session", 1, 1, 65535)))
            panic("matrix: port %u is taken", port);
    }
    if (!front_provision_list(matrix_word(argc, argv, "nodes", "")))
        panic("matrix: nodes= takes addresses like 10.0.2.16 or 3@10.0.2.16:5640 joined by commas, each node once");
    front_provision_pool(pool);
}

/* One argument is one line: sum:1 says `sum 1`. */
static void main_take_lines(int argc, char **argv, int first)
{
    for (int i = first; i < argc; i++) {
        size_t length = strlen(argv[i]);

        if (main_length + length + 1 > main_room)
            panic("matrix: the lines behind -c are too long");
        memcpy(main_text + main_length, argv[i], length);
        for (size_t at = main_length; at < main_length + length; at++)
            main_text[at] = main_text[at] == ':' ? ' ' : main_text[at];
        main_length += length;
        main_text[main_length++] = '\n';
    }
}

void app_main(int argc, char **argv)
{
    int first = 1;

    front_log = matrix_word_number(argc, argv, "log", 0, 0, 2);
    front_patience_ns = 1000000ull * matrix_word_number(argc, argv, "patience_ms", 5000, 1, 3600000);
    main_port = (uint16_t)matrix_word_number(argc, argv, "listen", 0, 1, 65535);
    while (first < argc && strcmp(argv[first], "-c") != 0 && memchr(argv[first], '=', strlen(argv[first])))
        first++;
    if (first < argc && strcmp(argv[first], "-c") != 0) {
        rt_print(2, main_usage);
        machine_exit(2);
    }
    main_room = LINE_LEAST;
    main_text = mem_alloc(main_room);
    if (main_text == NULL)
        panic("matrix: no memory");
    main_network(argc, argv);
    if (main_port && !udp_bind(main_port, main_datagram, NULL))
        panic("matrix: port %u is taken", main_port);
    if (first < argc)
        main_take_lines(argc, argv, first + 1);
    main_over = first < argc;
}
