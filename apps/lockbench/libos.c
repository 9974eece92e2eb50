/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long does a vCPU wait for a lock that N vCPUs want all the time? Words: lockbench [-n N] [-h H] [-i ITERATIONS]:
 * N vCPUs (default: all) take one ticket lock ITERATIONS times each (1000), hold it for H cycles (1000), and take it
 * again.
 *
 * A ticket lock serves in turn, so one that comes back at once finds N - 1 others before it, and each of them takes the
 * hand-off and its own H: the wait should be (N - 1)(H + hand-off). All times are TSC cycles, as the vCPUs saw them:
 *
 *   wait      from asking to holding, less what taking a free lock costs that another vCPU held last; 0 if it was free
 *   hold      what H came to
 *   hand-off  from one holder's last moment to the next one's first
 *
 * Iterations while others start or end do not count.
 */
#include "libos.h"

#define BENCH_MARGIN 16u        /* iterations at either end that are not counted */
#define BENCH_TRIES 16u         /* of a free lock, by each vCPU */

struct bench_cpu {
    uint64_t counted, contended, contended_all;
    uint64_t wait, wait_most, hold, handoff;
    uint64_t free_cost;
} __attribute__((aligned(64)));

static struct spinlock bench_lock __attribute__((aligned(64)));
static struct {
    uint64_t released;          /* when the last holder let go; protected by the lock */
} bench_shared __attribute__((aligned(64)));
static struct spinlock bench_free_lock __attribute__((aligned(64)));
static unsigned bench_turn __attribute__((aligned(64)));
static unsigned bench_arrived __attribute__((aligned(64)));
static unsigned bench_left;
static uint64_t bench_start;

static uint64_t bench_n, bench_hold = 1000, bench_iterations = 1000;
static struct bench_cpu bench_cpus[LIBOS_MAX_CPUS];

/* Takes and frees the calibration lock; returns what taking it cost. */
static uint64_t bench_try(void)
{
    uint64_t start = clock_cycles();

    spin_lock(&bench_free_lock);

    uint64_t cycles = clock_cycles() - start;

    spin_unlock(&bench_free_lock);
    return cycles;
}

/*
 * What spin_lock costs when nobody wants the lock, but (with several vCPUs) another held it last, so that its line has
 * to come from there: the least of some tries. In turn, each vCPU tries after its neighbour touched the lock.
 */
static void bench_find_free_cost(struct bench_cpu *own)
{
    unsigned me = cpu_id();

    own->free_cost = UINT64_MAX;
    for (unsigned turn = 0; turn < bench_n * BENCH_TRIES * 2; turn++) {
        unsigned who = turn / (BENCH_TRIES * 2);
        bool measured = turn % 2;

        if ((measured ? who : (who + 1) % bench_n) != me)
            continue;
        while (__atomic_load_n(&bench_turn, __ATOMIC_ACQUIRE) != turn)
            __builtin_ia32_pause();

        uint64_t cycles = bench_try();

        if (measured && cycles < own->free_cost)
            own->free_cost = cycles;
        __atomic_store_n(&bench_turn, turn + 1, __ATOMIC_RELEASE);
    }
}

static void bench_once(struct bench_cpu *own, bool counts)
{
    uint64_t waits = spin_waits();
    uint64_t asked = clock_cycles();

    spin_lock(&bench_lock);

    uint64_t got = clock_cycles();
    uint64_t released = bench_shared.released;
    bool contended = spin_waits() != waits;
    uint64_t now = got;

    while (now - got < bench_hold)
        now = clock_cycles();
    bench_shared.released = now;
    spin_unlock(&bench_lock);

    own->contended_all += contended;
    if (!counts)
        return;
    own->counted++;
    own->hold += now - got;
    if (contended) {
        uint64_t wait = got - asked > own->free_cost ? got - asked - own->free_cost : 0;

        own->contended++;
        own->wait += wait;
        if (wait > own->wait_most)
            own->wait_most = wait;
        own->handoff += got - released;
    }
}

static uint64_t bench_mean(uint64_t sum, uint64_t count)
{
    return count ? (sum + count / 2) / count : 0;
}

static void bench_report(void *arg)
{
    struct bench_cpu all = { 0 };
    uint64_t total = clock_cycles() - bench_start;

    (void)arg;
    for (unsigned cpu = 0; cpu < bench_n; cpu++) {
        const struct bench_cpu *own = &bench_cpus[cpu];

        all.counted += own->counted;
        all.contended += own->contended;
        all.contended_all += own->contended_all;
        all.wait += own->wait;
        all.hold += own->hold;
        all.handoff += own->handoff;
        if (own->wait_most > all.wait_most)
            all.wait_most = own->wait_most;
    }

    uint64_t wait = bench_mean(all.wait, all.counted), hold = bench_mean(all.hold, all.counted);
    uint64_t handoff = bench_mean(all.handoff, all.contended), expected = (bench_n - 1) * (hold + handoff);

    console_printf("lockbench: n=%lu h=%lu iterations=%lu\n", bench_n, bench_hold, bench_iterations);
    console_printf("lockbench: acquisitions=%lu contended=%lu counted=%lu\n", bench_n * bench_iterations,
                   all.contended_all, all.counted);
    console_printf("lockbench: wait_mean=%lu wait_most=%lu hold_mean=%lu handoff_mean=%lu free_cost=%lu\n", wait,
                   all.wait_most, hold, handoff, bench_cpus[0].free_cost);
    console_printf("lockbench: wait_total=%lu elapsed=%lu expected_wait=%lu ratio_permille=%lu\n", all.wait, total,
                   expected, expected ? (wait * 1000 + expected / 2) / expected : 1000);
    console_printf("lockbench: done\n");
    machine_exit(0);
}

static void bench_run(void *arg)
{
    struct bench_cpu *own = &bench_cpus[cpu_id()];

    (void)arg;
    bench_find_free_cost(own);
    /* All start together: the margin makes up for what is left of the difference. */
    __atomic_fetch_add(&bench_arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&bench_arrived, __ATOMIC_ACQUIRE) != bench_n)
        __builtin_ia32_pause();
    if (cpu_id() == 0)
        bench_start = clock_cycles();
    for (uint64_t i = 0; i < bench_iterations; i++)
        bench_once(own, i >= BENCH_MARGIN && i + BENCH_MARGIN < bench_iterations);
    if (__atomic_sub_fetch(&bench_left, 1, __ATOMIC_ACQ_REL) == 0)
        event_spawn(0, bench_report, NULL);
}

static uint64_t bench_number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    uint64_t number = 0;
    const char *at = text;

    while (*at >= '0' && *at <= '9' && number <= most)
        number = number * 10 + (uint64_t)(*at++ - '0');
    if (at == text || *at != '\0' || number < least || number > most)
        panic("lockbench: %s takes a number from %lu to %lu, not %s", name, least, most, text);
    return number;
}

void app_main(int argc, char **argv)
{
    bench_n = cpu_count();
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            panic("lockbench: a number must follow %s", argv[i]);
        if (strcmp(argv[i], "-n") == 0)
            bench_n = bench_number("-n", argv[i + 1], 1, cpu_count());
        else if (strcmp(argv[i], "-h") == 0)
            bench_hold = bench_number("-h", argv[i + 1], 0, 1000000000);
        else if (strcmp(argv[i], "-i") == 0)
            bench_iterations = bench_number("-i", argv[i + 1], 2 * BENCH_MARGIN + 1, 1000000000);
        else
            panic("lockbench: no option %s; there are -n VCPUS, -h CYCLES and -i ITERATIONS", argv[i]);
    }
    bench_left = (unsigned)bench_n;
    for (unsigned cpu = 0; cpu < bench_n; cpu++)
        if (!event_spawn(cpu, bench_run, NULL))
            panic("lockbench: no memory");
}
