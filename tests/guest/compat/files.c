/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Linux program whose files are another node's: written, read back, asked about; from two threads at once. */
#include "../linux_like/check.h"
#include <fcntl.h>
#include <sys/stat.h>

enum { BYTES = 100000 };

static void make(const char *path, unsigned char seed)
{
    static __thread unsigned char out[BYTES], in[BYTES];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    for (int i = 0; i < BYTES; i++)
        out[i] = (unsigned char)(i * 7 + seed);
    for (int at = 0; at < BYTES;) {
        ssize_t put = write(fd, out + at, (size_t)(BYTES - at));
        CHECK(put > 0);
        at += (int)put;
    }
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    for (int at = 0; at < BYTES;) {
        ssize_t got = read(fd, in + at, (size_t)(BYTES - at));
        CHECK(got > 0);
        at += (int)got;
    }
    CHECK(read(fd, in, 1) == 0 && memcmp(in, out, BYTES) == 0);
    struct stat s;
    CHECK(fstat(fd, &s) == 0 && s.st_size == BYTES && S_ISREG(s.st_mode));
    CHECK(close(fd) == 0 && read(fd, in, 1) == -1 && errno == EBADF);
    CHECK(stat(path, &s) == 0 && s.st_size == BYTES);
}

static void *other(void *arg)
{
    make("/second", 99);
    return arg;
}

int main(void)
{
    pthread_t t;
    struct stat s;
    printf("files: ready\n");
    fflush(stdout);
    CHECK(pthread_create(&t, NULL, other, NULL) == 0);
    make("/first", 3);
    CHECK(pthread_join(t, NULL) == 0);
    CHECK(open("/missing", O_RDONLY) == -1 && errno == ENOENT);
    CHECK(stat("/", &s) == 0 && S_ISDIR(s.st_mode));
    return success();
}
