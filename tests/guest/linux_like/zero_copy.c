/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams lent and given back: with pool= on the kernel's command line. What is whose, and what asking for more gets. */
#include "check.h"
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define ZERO_COPY 0x4000000
#define POOL_GET 0x6b01
#define BUFFER 2048ul
#define POOL (64 * BUFFER) /* pool=64 */
#define HEADROOM 64ul

struct loan { uint64_t data, spare; };

static struct sockaddr_in address(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int udp(int port)
{
    struct sockaddr_in a = address(port);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(s >= 0 && bind(s, (void *)&a, sizeof a) == 0);
    return s;
}

static ssize_t lent(int s, struct loan *l, struct sockaddr_in *from)
{
    socklen_t n = sizeof *from;
    return recvfrom(s, l, sizeof *l, ZERO_COPY, (void *)from, &n);
}

static ssize_t give(int s, uint64_t at, size_t n, int port)
{
    struct sockaddr_in a = address(port);
    return sendto(s, (void *)at, n, ZERO_COPY, (void *)&a, sizeof a);
}

static void refused(ssize_t r, int error) { CHECK(r == -1 && errno == error); }

int main(void)
{
    int s = udp(7000), c = udp(7001);
    struct loan l = { 0, 0 };
    struct sockaddr_in from, a = address(7000);
    char text[64];

    refused(lent(s, &l, &from), EINVAL); /* nothing is mapped yet */
    refused(ioctl(s, POOL_GET, &l.spare), ENOBUFS);
    char *pool = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
    CHECK(pool != MAP_FAILED);
    CHECK(mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0) == MAP_FAILED && errno == EBUSY);

    CHECK(sendto(c, "question", 8, 0, (void *)&a, sizeof a) == 8);
    CHECK(lent(s, &l, &from) == 8 && !memcmp((char *)l.data, "question", 8) && from.sin_port == htons(7001));
    CHECK((char *)l.data >= pool && (char *)l.data < pool + POOL && (char *)l.spare >= pool && (char *)l.spare < pool + POOL);
    CHECK((l.spare - (uint64_t)pool) % BUFFER == HEADROOM);

    memcpy((char *)l.spare, "an answer", 9);
    refused(give(s, l.spare, BUFFER - HEADROOM + 1, 7001), EFAULT); /* beyond the buffer */
    refused(give(s, l.spare - HEADROOM, 9, 7001), EFAULT);   /* no room for the headers */
    refused(give(s, (uint64_t)text, 9, 7001), EFAULT);       /* no buffer at all */
    refused(give(s, (uint64_t)pool + POOL, 9, 7001), EFAULT);
    CHECK(give(s, l.spare, 9, 7001) == 9);
    refused(give(s, l.spare, 9, 7001), EFAULT);              /* it was given away */
    CHECK(recv(c, text, sizeof text, 0) == 9 && !memcmp(text, "an answer", 9));

    CHECK(sendto(c, "second", 6, 0, (void *)&a, sizeof a) == 6);
    l.spare = 0;
    CHECK(lent(s, &l, &from) == 6 && !memcmp((char *)l.data, "second", 6) && l.spare);
    struct loan twice = l;
    CHECK(recvfrom(s, &l, sizeof l, ZERO_COPY | MSG_DONTWAIT, NULL, NULL) == -1 && errno == EAGAIN && !l.data);
    refused(lent(s, &twice, &from), EFAULT);                 /* it was given back by the call before */
    CHECK(sendto(c, "third", 5, 0, (void *)&a, sizeof a) == 5);
    CHECK(recvfrom(s, &l, sizeof l - 1, ZERO_COPY, NULL, NULL) == -1 && errno == EINVAL);
    refused(lent(s, (struct loan *)8, &from), EFAULT);
    CHECK(lent(s, &l, &from) == 5 && !memcmp((char *)l.data, "third", 5));

    uint64_t at = 1, n = 0;                                  /* to the bottom, and what comes back can be had again */
    while (ioctl(s, POOL_GET, &at) == 0)
        n++;
    CHECK(errno == ENOBUFS && n > 0 && n < 64);
    CHECK(give(s, at, 1, 7001) == 1 && recv(c, text, sizeof text, 0) == 1);
    CHECK(ioctl(s, POOL_GET, &at) == 0);

    pid_t child = fork();                                    /* another process's mapping is not this one's */
    CHECK(child >= 0);
    if (child == 0)
        _exit(give(s, at, 1, 7001) == -1 && errno == EFAULT ? 0 : 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return success();
}
