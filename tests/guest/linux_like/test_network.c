/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP over the loopback, epoll, poll, eventfd: who waits is woken, and each datagram reaches one reader. */
#include "check.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct sockaddr_in address(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int server(int port, int flags)
{
    struct sockaddr_in a = address(port);
    int s = socket(AF_INET, SOCK_DGRAM | flags, 0);
    CHECK(s >= 0 && bind(s, (void *)&a, sizeof a) == 0);
    return s;
}

static int client(int port)
{
    struct sockaddr_in a = address(port);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(s >= 0 && connect(s, (void *)&a, sizeof a) == 0);
    return s;
}

static void test_datagrams(void)
{
    int s = server(5000, 0), c = client(5000);
    char big[1400], buf[2000];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    memset(big, 'x', sizeof big);
    for (unsigned n = 0; n <= sizeof big; n += 100) {
        CHECK(send(c, big, n, 0) == (ssize_t)n);
        CHECK(recvfrom(s, buf, sizeof buf, 0, (void *)&from, &len) == (ssize_t)n && !memcmp(big, buf, n));
    }
    CHECK(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    CHECK(sendto(s, "back", 4, 0, (void *)&from, len) == 4 && recv(c, buf, sizeof buf, 0) == 4);
    CHECK(send(c, "truncated", 9, 0) == 9 && recv(s, buf, 3, MSG_TRUNC) == 9);
    CHECK(send(c, "peek", 4, 0) == 4 && recv(s, buf, 9, MSG_PEEK) == 4 && recv(s, buf, 9, 0) == 4);
    struct iovec out[2] = { { "he", 2 }, { "llo", 3 } }, in[2] = { { buf, 1 }, { buf + 100, 50 } };
    struct msghdr m = { .msg_iov = out, .msg_iovlen = 2 }, r = { .msg_name = &from, .msg_namelen = len, .msg_iov = in, .msg_iovlen = 2 };
    CHECK(sendmsg(c, &m, 0) == 5 && recvmsg(s, &r, 0) == 5 && buf[0] == 'h' && !memcmp(buf + 100, "ello", 4));
    struct timeval tv = { 0, 20000 };
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0);
    double start = now();
    CHECK(recv(s, buf, 1, 0) == -1 && errno == EAGAIN && now() - start > 0.015);
    CHECK(recv(s, buf, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    struct sockaddr_in a = address(5000);
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(other, (void *)&a, sizeof a) == -1 && errno == EADDRINUSE);
    close(s);
    CHECK(bind(other, (void *)&a, sizeof a) == 0);
    close(other);
    close(c);
}

enum { READERS = 4, MESSAGES = 500 };
static int shared;
static long taken[READERS];

static void *reader(void *arg)
{
    char b[64];
    for (;;) {
        ssize_t n = recv(shared, b, sizeof b, 0);
        CHECK(n == 4);
        if (!memcmp(b, "stop", 4))
            return NULL;
        __atomic_add_fetch(&taken[(long)arg], 1, __ATOMIC_SEQ_CST);
    }
}

static long total(void)
{
    long t = 0;
    for (int i = 0; i < READERS; i++)
        t += __atomic_load_n(&taken[i], __ATOMIC_SEQ_CST);
    return t;
}

static void test_many_readers(void)
{
    pthread_t t[READERS];
    shared = server(5001, 0);
    int c = client(5001);
    for (long i = 0; i < READERS; i++)
        CHECK(pthread_create(&t[i], NULL, reader, (void *)i) == 0);
    for (int i = 0; i < MESSAGES; i++) {
        CHECK(send(c, "data", 4, 0) == 4);
        while (i % 16 == 15 && total() < i - 32)
            sched_yield(); /* the socket's buffer is finite */
    }
    for (double end = now() + 5; total() < MESSAGES && now() < end;)
        sched_yield();
    CHECK(total() == MESSAGES);
    for (int i = 0; i < READERS; i++)
        CHECK(send(c, "stop", 4, 0) == 4);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    close(c);
    close(shared);
}

static void *later(void *arg)
{
    uint64_t one = 1;
    usleep(3000);
    CHECK(write(*(int *)arg, &one, 8) == 8);
    return NULL;
}

static void test_epoll(void)
{
    int ep = epoll_create1(0), ev = eventfd(0, EFD_NONBLOCK), s = server(5002, SOCK_NONBLOCK), c = client(5002);
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = 1 }, got[4];
    uint64_t v;
    char b[8];
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
    e.data.u64 = 2;
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, s, &e) == 0);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, s, &e) == -1 && errno == EEXIST);
    CHECK(epoll_wait(ep, got, 4, 0) == 0);
    double start = now();
    CHECK(epoll_wait(ep, got, 4, 10) == 0 && now() - start > 0.008);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, later, &ev) == 0);
    CHECK(epoll_wait(ep, got, 4, -1) == 1 && got[0].data.u64 == 1 && got[0].events == EPOLLIN);
    CHECK(epoll_wait(ep, got, 4, -1) == 1); /* level-triggered: still so */
    CHECK(read(ev, &v, 8) == 8 && v == 1);
    CHECK(pthread_join(t, NULL) == 0);
    CHECK(epoll_wait(ep, got, 4, 0) == 0);
    CHECK(send(c, "x", 1, 0) == 1);
    CHECK(epoll_wait(ep, got, 4, 1000) == 1 && got[0].data.u64 == 2);
    CHECK(recv(s, b, 8, 0) == 1 && recv(s, b, 8, 0) == -1 && errno == EAGAIN);
    e = (struct epoll_event){ .events = EPOLLIN | EPOLLET, .data.u64 = 3 };
    CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, s, &e) == 0);
    CHECK(send(c, "x", 1, 0) == 1);
    CHECK(epoll_wait(ep, got, 4, 1000) == 1 && got[0].data.u64 == 3);
    CHECK(epoll_wait(ep, got, 4, 0) == 0); /* edge-triggered: said once */
    CHECK(send(c, "x", 1, 0) == 1 && epoll_wait(ep, got, 4, 1000) == 1);
    struct pollfd p[2] = { { ev, POLLIN, 0 }, { s, POLLIN | POLLOUT, 0 } };
    CHECK(poll(p, 2, 1000) == 1 && p[1].revents == (POLLIN | POLLOUT) && p[0].revents == 0);
    close(s); /* leaves the epoll by itself */
    v = 5;
    CHECK(write(ev, &v, 8) == 8);
    CHECK(epoll_wait(ep, got, 4, 1000) == 1 && got[0].data.u64 == 1);
    CHECK(poll(p, 1, -1) == 1 && p[0].revents == POLLIN);
    close(ep);
    close(ev);
    close(c);
}

int main(void)
{
    test_datagrams();
    test_many_readers();
    test_epoll();
    return success();
}
