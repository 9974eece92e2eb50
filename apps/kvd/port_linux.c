/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvd as a Linux program: as many threads as asked for, all waiting in recvfrom() on one UDP socket, as memcached's do.
 * System calls: mmap, clone, futex, socket, bind, recvfrom, sendto, write, clock_gettime, exit_group.
 * With --pin on each thread stays on a CPU of its own, with a socket of its own for the packets that arrive there
 * (setsockopt, sched_setaffinity). With --zero-copy on the kernel lends its buffers (mmap of the socket, ioctl).
 * How datagrams come and go is datagrams_linux.h; or, where this is linked into a libos image, datagrams_libos.h.
 */
#include "kvd.h"
#include "runtime.h"

#include <stdbool.h>

#define KVD_PORT 11211
#define KVD_MEGABYTES 64
#define KVD_THREADS 4
#define KVD_STACK (64u << 10)

struct kvd_options {
    long threads, port, megabytes;
    uint32_t address; /* network byte order; 0: any */
    unsigned stripes;
    bool pinned, zero_copy;
};

/* --- locks: a futex mutex; the word is 0 free, 1 held, 2 held and somebody may be waiting --- */

static __attribute__((noinline)) void kvd_lock_wait(uint32_t *word)
{
    while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0)
        rt_futex_wait(word, 2);
}

static __attribute__((noinline)) void kvd_lock_wake(uint32_t *word)
{
    rt_futex_wake_one(word);
}

void kvd_lock_acquire(struct kvd_lock *lock)
{
    uint32_t free = 0;
    if (!__atomic_compare_exchange_n(&lock->word[0], &free, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        kvd_lock_wait(&lock->word[0]);
}

void kvd_lock_release(struct kvd_lock *lock)
{
    if (__atomic_exchange_n(&lock->word[0], 0, __ATOMIC_RELEASE) == 2)
        kvd_lock_wake(&lock->word[0]);
}

uint64_t kvd_port_seconds(void)
{
    return (uint64_t)rt_seconds(RT_CLOCK_MONOTONIC);
}

/* --- datagrams --- */

static _Noreturn void kvd_die(int status, const char *what, const char *detail)
{
    rt_print(2, "kvd: ");
    rt_print(2, what);
    rt_print(2, detail);
    rt_print(2, "\n");
    rt_exit(status);
}

/* The calling thread runs on CPU `worker` and nowhere else. */
static void kvd_port_pin(unsigned worker)
{
    uint64_t mask = 1ul << worker; /* KVD_MAX_WORKERS is 64 */
    if (rt_syscall(RT_NR_SCHED_SETAFFINITY, 0, sizeof mask, (long)&mask, 0, 0, 0) < 0)
        kvd_die(1, "--pin: there are fewer CPUs than threads; take fewer with -t", "");
}

#ifdef KVD_ON_LIBOS
#include "datagrams_libos.h"
#else
#include "datagrams_linux.h"
#endif

static int kvd_port_listen(const struct kvd_options *options, uint32_t worker)
{
    struct rt_address here = {
        .family = RT_AF_INET,
        .port = __builtin_bswap16((uint16_t)options->port),
        .address = options->address,
    };
    long fd = rt_syscall(RT_NR_SOCKET, RT_AF_INET, RT_SOCK_DGRAM, 0, 0, 0, 0);
    if (fd < 0)
        kvd_die(1, "cannot make a UDP socket", "");
    uint32_t shared = 1;
    if (options->pinned &&
        (rt_syscall(RT_NR_SETSOCKOPT, fd, RT_SOL_SOCKET, RT_SO_REUSEPORT, (long)&shared, sizeof shared, 0) < 0 ||
         rt_syscall(RT_NR_SETSOCKOPT, fd, RT_SOL_SOCKET, RT_SO_INCOMING_CPU, (long)&worker, sizeof worker, 0) < 0))
        kvd_die(1, "--pin: this system has no sockets for a CPU of their own", "");
    long error = rt_syscall(RT_NR_BIND, fd, (long)&here, sizeof here, 0, 0, 0);
    if (error < 0) {
        rt_print(2, "kvd: cannot listen on UDP port ");
        rt_print_number(2, (uint64_t)options->port);
        rt_print(2, error == -RT_EADDRINUSE      ? ": another program does; choose one with -p\n"
                    : error == -RT_EACCES        ? ": not permitted; choose one from 1024 on with -p\n"
                    : error == -RT_EADDRNOTAVAIL ? ": the address given with -l is not this machine's\n"
                                                 : ": bind failed\n");
        rt_exit(1);
    }
    return (int)fd;
}

/* --- the program --- */

static const char kvd_usage[] =
    "usage: kvd [-t THREADS] [-p PORT] [-l ADDRESS] [-m MEGABYTES] [--locks striped|global] [--pin on|off]\n"
    "           [--zero-copy on|off]\n"
    "memcached's ASCII protocol over UDP.\n"
    "  -t THREADS     1 to 64 (4)\n"
    "  -p PORT        UDP port; -U is the same (11211)\n"
    "  -l ADDRESS     IPv4 address to listen on (0.0.0.0: all)\n"
    "  -m MEGABYTES   memory for items, 1 to 65536 (64)\n"
    "  --locks KIND   striped: many locks, by key; global: one (striped)\n"
    "  --pin on       each thread on a CPU of its own, with a socket of its own for what arrives there (off)\n"
    "  --zero-copy on  datagrams stay in the kernel's buffers (off; linux_like alone, with pool=)\n";

/* A dotted quad, in network byte order. */
static uint32_t kvd_address(const char *text)
{
    uint32_t address = 0, number = 0, dots = 0, digits = 0;
    for (const char *at = text;; at++) {
        if (*at >= '0' && *at <= '9' && ++digits <= 3) {
            number = number * 10 + (uint32_t)(*at - '0');
            continue;
        }
        if (digits == 0 || digits > 3 || number > 255 || (*at != '\0' && (*at != '.' || ++dots > 3)))
            break;
        address = address << 8 | number;
        number = digits = 0;
        if (*at == '\0' && dots == 3)
            return __builtin_bswap32(address);
        if (*at == '\0')
            break;
    }
    kvd_die(2, "-l takes an IPv4 address like 127.0.0.1, not ", text);
}

static bool kvd_switch(const char *name, const char *value)
{
    if (!rt_same(value, "on") && !rt_same(value, "off")) {
        rt_print(2, "kvd: ");
        rt_print(2, name);
        kvd_die(2, " takes on or off, not ", value);
    }
    return rt_same(value, "on");
}

static void kvd_option(struct kvd_options *options, const char *name, const char *value)
{
    if (rt_same(name, "-t")) {
        if ((options->threads = rt_parse(value, 1, KVD_MAX_WORKERS)) < 0)
            kvd_die(2, "-t takes a number of threads from 1 to 64, not ", value);
    } else if (rt_same(name, "-p") || rt_same(name, "-U")) {
        if ((options->port = rt_parse(value, 1, 65535)) < 0)
            kvd_die(2, "the port is a number from 1 to 65535, not ", value);
    } else if (rt_same(name, "-m")) {
        if ((options->megabytes = rt_parse(value, 1, 65536)) < 0)
            kvd_die(2, "-m takes megabytes from 1 to 65536, not ", value);
    } else if (rt_same(name, "-l")) {
        options->address = kvd_address(value);
    } else if (rt_same(name, "--pin")) {
        options->pinned = kvd_switch(name, value);
    } else if (rt_same(name, "--zero-copy")) {
        options->zero_copy = kvd_switch(name, value);
    } else if (rt_same(value, "global")) {
        options->stripes = 1;
    } else if (rt_same(value, "striped")) {
        options->stripes = 0;
    } else {
        kvd_die(2, "--locks takes global or striped, not ", value);
    }
}

static void kvd_parse_options(struct kvd_options *options, char **arguments)
{
    static const char *const known[] = {"-t", "-p", "-U", "-m", "-l", "--locks", "--pin", "--zero-copy"};
    for (; *arguments != NULL; arguments += 2) {
        size_t i = 0;
        if (rt_same(*arguments, "-h") || rt_same(*arguments, "--help")) {
            rt_print(1, kvd_usage);
            rt_exit(0);
        }
        while (i < sizeof known / sizeof known[0] && !rt_same(*arguments, known[i]))
            i++;
        if (i == sizeof known / sizeof known[0])
            kvd_die(2, "no such option (try --help): ", *arguments);
        if (arguments[1] == NULL)
            kvd_die(2, "a value must follow ", *arguments);
        kvd_option(options, arguments[0], arguments[1]);
    }
}

int main(int argc, char **argv)
{
    struct kvd_options options = {.threads = KVD_THREADS, .port = KVD_PORT, .megabytes = KVD_MEGABYTES};
    kvd_parse_options(&options, argv + (argc > 0 ? 1 : 0));

    struct kvd_config config = {
        .workers = (unsigned)options.threads,
        .stripes = options.stripes,
        .budget = (size_t)options.megabytes << 20,
        .epoch = (uint64_t)(rt_seconds(RT_CLOCK_REALTIME) - rt_seconds(RT_CLOCK_MONOTONIC)),
    };
    size_t size = kvd_size(&config);
    if (size == 0)
        kvd_die(2, "one lock covers at most 16383 megabytes: take less with -m, or --locks striped", "");
    void *arena = rt_map(size);
    struct kvd_thread *threads = rt_map((size_t)options.threads * sizeof *threads);
    if (arena == NULL || threads == NULL)
        kvd_die(1, "not enough memory: take less with -m", "");

    struct kvd *kvd = kvd_create(arena, size, &config);
    int fd = options.pinned ? -1 : kvd_port_listen(&options, 0);
    if (options.zero_copy) {
        int socket = options.pinned ? kvd_port_listen(&options, 0) : fd;
        long at = rt_syscall(RT_NR_MMAP, 0, 0, RT_PROT_READ_WRITE, RT_MAP_SHARED, socket, 0);
        if (at < 0 && at > -4096)
            kvd_die(1, "--zero-copy: this system has no packet buffers to share", "");
        if (options.pinned)
            rt_syscall(RT_NR_CLOSE, socket, 0, 0, 0, 0, 0);
    }
    for (long i = options.threads; i-- > 0;) {
        threads[i].kvd = kvd;
        threads[i].socket = options.pinned ? kvd_port_listen(&options, (uint32_t)i) : fd;
        threads[i].pinned = options.pinned;
        threads[i].zero_copy = options.zero_copy;
        threads[i].worker = (unsigned)i;
        if (i > 0 && rt_thread_start(kvd_port_serve, &threads[i], KVD_STACK) != 0)
            kvd_die(1, "cannot start another thread", "");
    }
    rt_print(1, "kvd: ready\n");
    kvd_port_serve(&threads[0]);
}
