/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvd_router as a Linux program: threads that wait in recvfrom() on one UDP socket, as kvd's do. */
#include "kvd_router.h"
#include "runtime.h"

#define PORT 11211
#define THREADS_MAX 64
#define DATAGRAM 65536
#define STACK (64u << 10)

struct kvd_router_thread {
    struct kvd_router *router;
    int socket;
    uint8_t datagram[DATAGRAM];
};

static const char kvd_router_usage[] =
    "usage: kvd_router --backends ADDRESS,ADDRESS,... [-t THREADS] [-p PORT]\n"
    "memcached's requests over UDP, each forwarded to the back end of its key (FNV-1a of it, modulo their number).\n"
    "  --backends LIST  IPv4 addresses of kvd, 1 to 32; they listen on the same port. Not needed with --pool\n"
    "  -t THREADS       1 to 64 (4)\n"
    "  -p PORT          UDP port; -U is the same (11211)\n";

static _Noreturn void kvd_router_die(int status, const char *what, const char *detail)
{
    rt_print(2, "kvd_router: ");
    rt_print(2, what);
    rt_print(2, detail);
    rt_print(2, "\n");
    rt_exit(status);
}

static _Noreturn void kvd_router_serve(void *argument)
{
    struct kvd_router_thread *thread = argument;
    uint8_t refusal[KVD_ROUTER_REFUSAL];
    for (;;) {
        struct rt_address from;
        uint32_t from_size = sizeof from;
        long length = rt_syscall(RT_NR_RECVFROM, thread->socket, (long)thread->datagram, DATAGRAM, 0, (long)&from, (long)&from_size);
        if (length < 0 && length != -RT_EINTR && length != -RT_EAGAIN)
            kvd_router_die(1, "cannot receive from the socket", "");
        if (length < 0)
            continue;
        struct kvd_router_peer peer = {from.address, from.port}, to = peer;
        const uint8_t *out = thread->datagram;
        enum kvd_router_verdict verdict = kvd_router_route(thread->router, peer, thread->datagram, (size_t)length, &to);
        switch (verdict) {
        case KVD_ROUTER_DROP:
            continue;
        case KVD_ROUTER_REFUSE:
        case KVD_ROUTER_NOBODY:
            length = (long)kvd_router_refusal(verdict, thread->datagram, refusal);
            out = refusal;
            break;
        case KVD_ROUTER_SEND:
            break;
        }
        struct rt_address address = {.family = RT_AF_INET, .port = to.port, .address = to.address};
        rt_syscall(RT_NR_SENDTO, thread->socket, (long)out, length, 0, (long)&address, sizeof address);
    }
}

static void kvd_router_put(void *ctx, struct kvd_router_peer to, const void *data, size_t length)
{
    struct rt_address address = {.family = RT_AF_INET, .port = to.port, .address = to.address};
    rt_syscall(RT_NR_SENDTO, *(int *)ctx, (long)data, (long)length, 0, (long)&address, sizeof address);
}

/* Looks after the back ends, and says when there are enough. */
static _Noreturn void kvd_router_manage(void *argument)
{
    struct kvd_router_thread *thread = argument;
    struct kvd_router *router = thread->router;
    for (;;) {
        struct rt_timespec now, pause = {(int64_t)(router->plan.tick_ns / 1000000000u), (int64_t)(router->plan.tick_ns % 1000000000u)};
        rt_syscall(RT_NR_CLOCK_GETTIME, RT_CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0);
        kvd_router_tick(router, (uint64_t)now.seconds * 1000000000u + (uint64_t)now.nanoseconds, kvd_router_put, &thread->socket);
        if (!router->served && kvd_router_serves(router)) {
            router->served = true;
            rt_print(1, "kvd_router: ready\n");
        }
        rt_syscall(RT_NR_PPOLL, 0, 0, (long)&pause, 0, 8, 0);
    }
}

static int kvd_router_listen(long port)
{
    struct rt_address here = {.family = RT_AF_INET, .port = __builtin_bswap16((uint16_t)port)};
    long fd = rt_syscall(RT_NR_SOCKET, RT_AF_INET, RT_SOCK_DGRAM, 0, 0, 0, 0);
    if (fd < 0)
        kvd_router_die(1, "cannot make a UDP socket", "");
    if (rt_syscall(RT_NR_BIND, fd, (long)&here, sizeof here, 0, 0, 0) < 0)
        kvd_router_die(1, "cannot listen on that port; choose another with -p", "");
    return (int)fd;
}

int main(int argc, char **argv)
{
    static struct kvd_router router;
    long threads = 4, port = PORT;
    const char *backends = "";
    for (char **at = argv + (argc > 0 ? 1 : 0); *at != NULL; at += 2) {
        if (rt_same(*at, "-h") || rt_same(*at, "--help")) {
            rt_print(1, kvd_router_usage);
            rt_print(1, kvd_router_options);
            rt_exit(0);
        }
        if (at[1] == NULL)
            kvd_router_die(2, "a value must follow ", *at);
        if (rt_same(*at, "-t")) {
            if ((threads = rt_parse(at[1], 1, THREADS_MAX)) < 0)
                kvd_router_die(2, "-t takes a number of threads from 1 to 64, not ", at[1]);
        } else if (rt_same(*at, "-p") || rt_same(*at, "-U")) {
            if ((port = rt_parse(at[1], 1, 65535)) < 0)
                kvd_router_die(2, "the port is a number from 1 to 65535, not ", at[1]);
        } else if (rt_same(*at, "--backends")) {
            backends = at[1];
        } else {
            int taken = kvd_router_option(&router, *at, at[1]);
            if (taken == 0)
                kvd_router_die(2, "no such option (try --help): ", *at);
            if (taken < 0)
                kvd_router_die(2, "that is no value for this option (try --help): ", *at);
        }
    }
    router.port = __builtin_bswap16((uint16_t)port);
    size_t bad = router.plan.pool != NULL && *backends == '\0' ? 0 : kvd_router_backends(&router, backends, router.port);
    if (bad)
        kvd_router_die(2, "--backends takes 1 to 32 IPv4 addresses joined by commas; this is none: ", backends + bad - 1);
    struct kvd_router_thread *thread = rt_map((size_t)(threads + 1) * sizeof *thread); /* the last manages */
    if (thread == NULL)
        kvd_router_die(1, "not enough memory: take fewer threads with -t", "");
    int socket = kvd_router_listen(port);
    for (long i = threads; i-- > 0;) {
        thread[i].router = &router;
        thread[i].socket = socket;
        if (i > 0 && rt_thread_start(kvd_router_serve, &thread[i], STACK) != 0)
            kvd_router_die(1, "cannot start another thread", "");
    }
    thread[threads] = (struct kvd_router_thread){.router = &router, .socket = socket};
    if (!router.plan.managed)
        rt_print(1, "kvd_router: ready\n");
    else if (rt_thread_start(kvd_router_manage, &thread[threads], STACK) != 0)
        kvd_router_die(1, "cannot start another thread", "");
    kvd_router_serve(&thread[0]);
}
