/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the component runtime costs: `runtime home` is where a distributed Ebb is at home, `runtime ask N` measures, and asks node N. A line `bench: CYCLES GROUP: WHAT` for
 * each figure; bench/runtime.py makes a table of them. Everything that waits is straight-line code in one context of vCPU 0.
 */
#ifndef BENCH_H
#define BENCH_H

#include "context.h"
#include "node.h"

#define SAMPLES 9u              /* a figure is the median of so many */

/* ---- measure.c ---- */

/* The TSC, when all before has completed; the same on all vCPUs of a node. */
static inline uint64_t bench_now(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

void bench_begin(void);                         /* finds out what reading the clock costs, which comes off all that follows */
uint64_t bench_since(uint64_t start);           /* a sample, in hundredths of a cycle */
void bench_report(uint64_t samples[SAMPLES], const char *group, const char *format, ...) __attribute__((format(printf, 3, 4)));
void bench_many(const char *group, const char *what, void (*run)(uint64_t n), const char *how);    /* of one of n */
void bench_one(const char *group, const char *what, void (*run)(uint64_t n), const char *how);

void bench_pause(uint64_t ns);
void bench_on(unsigned cpu, event_fn fn, void *arg);    /* there; returns when fn has returned */
void bench_wait(struct future *future, const char *what);        /* a panic if it fails */

/* ---- counter.c: one object, behind Ebbs of each kind ---- */

#define VALUES 64u

struct counter {
    uint64_t values[VALUES];
    ebb_id self;
    const struct node_root *root;       /* of a distributed one */
};

ebb_id counter_put(struct counter *counter, uint64_t n);
ebb_id counter_shared(void);
ebb_id counter_per_cpu(void);
void *counter_distributed_miss(ebb_id id, void *root);

#define COUNTER_ADD 1u                  /* question to one at home: uint64_t; answered with the sum so far */
#define COUNTER_IDS 2u                  /* question to NODE_EBB_APPLICATION: which ids there are; SAMPLES of them */

void counter_home(void);                /* in a context: publishes them, and answers */

/* ---- what is measured ---- */

void bench_calls(void);                 /* calls.c */
void bench_calls_of(ebb_id id, const char *kind);
void bench_first_calls(const ebb_id distributed[SAMPLES]);
void bench_later(void);                 /* later.c */
void bench_nodes(uint16_t home);        /* nodes.c */

#endif
