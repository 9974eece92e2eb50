/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls of one function: by its object's address, and by ids of Ebbs. In a row, the processor overlaps them; alone, one stands between fences;
 * chained, each waits for the id that the one before returned, and nothing hides the look-up.
 */
#include "bench.h"

static struct counter direct;
static ebb_id called;

static void calls_direct(uint64_t n)
{
    struct counter *counter = &direct;

    while (n-- > 0)
        counter_put(counter, n);
}

static void calls_ebb(uint64_t n)
{
    ebb_id id = called;

    while (n-- > 0)
        counter_put(ebb_rep(id), n);
}

static void calls_direct_chain(uint64_t n)
{
    struct counter *counter = &direct;
    ebb_id id = 0;

    while (n-- > 0) {
        id = counter_put(counter, id ^ n);
        __asm__ volatile("" : "+r"(counter) : "r"(id));
    }
}

static void calls_ebb_chain(uint64_t n)
{
    ebb_id id = called;

    while (n-- > 0)
        id = counter_put(ebb_rep(id), n);
}

static void calls_three_ways(const char *kind, void (*run)(uint64_t n), void (*chain)(uint64_t n))
{
    bench_many("call", kind, run, "in a row");
    bench_one("call", kind, run, "alone");
    bench_many("call", kind, chain, "chained");
}

void bench_calls_of(ebb_id id, const char *kind)
{
    called = id;
    calls_three_ways(kind, calls_ebb, calls_ebb_chain);
}

void bench_calls(void)
{
    calls_three_ways("direct", calls_direct, calls_direct_chain);
    bench_calls_of(counter_shared(), "shared Ebb");
    bench_calls_of(counter_per_cpu(), "per-vCPU Ebb");
}

struct first {
    ebb_id ids[SAMPLES];
    uint64_t samples[SAMPLES];
};

static void calls_first(void *arg)
{
    struct first *first = arg;

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t start = bench_now();

        counter_put(ebb_rep(first->ids[i]), i);
        first->samples[i] = bench_since(start);
    }
}

static void calls_first_everywhere(struct first *first, unsigned from, const char *kind)
{
    uint64_t cold[SAMPLES];             /* the first brings in code and tables, too */

    for (unsigned cpu = from; cpu < cpu_count(); cpu++) {
        bench_on(cpu, calls_first, first);
        for (unsigned i = 0; i < SAMPLES; i++)
            cold[i] = first->samples[0];
        bench_report(cold, "first", "%s, vCPU %u, first of nine", kind, cpu);
        bench_report(first->samples, "first", "%s, vCPU %u, median", kind, cpu);
    }
}

void bench_first_calls(const ebb_id distributed[SAMPLES])
{
    struct first shared, own, all;

    for (unsigned i = 0; i < SAMPLES; i++) {
        shared.ids[i] = counter_shared();
        own.ids[i] = counter_per_cpu();
        all.ids[i] = distributed[i];
    }
    calls_first_everywhere(&shared, 0, "shared Ebb");
    calls_first_everywhere(&own, 0, "per-vCPU Ebb");
    calls_first_everywhere(&all, 1, "attached distributed Ebb");    /* vCPU 0 was the first of this node: nodes.c */
}
