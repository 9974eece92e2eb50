/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What runs later: events, futures, contexts and buffers, from where something is sent on vCPU 0 to where it runs, on this vCPU or on another that is
 * awake (other events keep it busy) or asleep. And what is done many times in a row.
 */
#include "bench.h"

#define STILL_NS 20000ull               /* in which a vCPU without events falls asleep */

struct hop;

struct kind {
    const char *name;
    void (*prepare)(struct hop *hop);   /* on the vCPU where it is to run; may be NULL */
    void (*send)(struct hop *hop);      /* an event of vCPU 0 */
};

struct hop {
    const struct kind *kind;
    unsigned cpu;
    uint64_t start, took;
    struct context *waits, *asleep;
    struct event begin;
    struct future future;
    struct future_wait wait;
    struct iobuf *buf;
};

static void hop_landed(void *arg)
{
    struct hop *hop = arg;

    hop->took = bench_since(hop->start);
    if (cpu_id() != hop->cpu)
        panic("runtime: %s came to vCPU %u", hop->kind->name, cpu_id());
    context_resume(hop->waits);
}

static void hop_event(struct hop *hop)
{
    if (!event_spawn(hop->cpu, hop_landed, hop))
        panic("runtime: no memory for an event");
}

static void hop_future_prepare(struct hop *hop)
{
    hop->future = (struct future){ 0 };
    future_then(&hop->future, &hop->wait, hop_landed, hop);
}

static void hop_future(struct hop *hop)
{
    future_fulfil(&hop->future, hop);
}

static void hop_sleeper(void *arg)
{
    struct hop *hop = arg;

    hop->asleep = context_current();
    context_suspend();
    hop_landed(hop);
}

static void hop_context_prepare(struct hop *hop)
{
    if (!context_run(hop_sleeper, hop))
        panic("runtime: no memory for a stack");
}

static void hop_context(struct hop *hop)
{
    context_resume(hop->asleep);
}

static void hop_moved(struct iobuf *buf, void *arg)
{
    hop_landed(arg);
    iobuf_free(buf);
}

static void hop_iobuf(struct hop *hop)
{
    iobuf_move(hop->cpu, hop->buf, hop_moved, hop);
}

static const struct kind kinds[] = {
    { "event spawned", NULL, hop_event },
    { "future fulfilled", hop_future_prepare, hop_future },
    { "context resumed", hop_context_prepare, hop_context },
    { "iobuf moved", NULL, hop_iobuf },
};

/* ---- a vCPU that is kept awake ---- */

static struct event awake_event;
static uint32_t awake;

static void awake_again(void *arg)
{
    if (__atomic_load_n(&awake, __ATOMIC_RELAXED))
        event_post(cpu_id(), &awake_event, awake_again, arg);
}

static void awake_set(unsigned cpu, bool on)
{
    __atomic_store_n(&awake, on, __ATOMIC_RELAXED);
    if (on)
        bench_on(cpu, awake_again, NULL);
    bench_pause(STILL_NS);
}

/* ---- measured ---- */

static void hop_prepare(void *arg)
{
    struct hop *hop = arg;

    hop->kind->prepare(hop);
}

static void hop_begin(void *arg)
{
    struct hop *hop = arg;

    hop->start = bench_now();
    hop->kind->send(hop);
}

static void later_one(const struct kind *kind, unsigned cpu, const char *where)
{
    struct hop hop = { .kind = kind, .cpu = cpu, .waits = context_current() };
    uint64_t samples[SAMPLES];

    for (unsigned i = 0; i < SAMPLES; i++) {
        hop.buf = iobuf_alloc_tx();
        if (hop.buf == NULL)
            panic("runtime: no memory for a buffer");
        if (kind->prepare)
            bench_on(cpu, hop_prepare, &hop);
        bench_pause(STILL_NS);
        event_post(0, &hop.begin, hop_begin, &hop);
        context_suspend();
        samples[i] = hop.took;
        if (kind->send != hop_iobuf)
            iobuf_free(hop.buf);
    }
    bench_report(samples, "later", "%s, %s", kind->name, where);
}

static void later_yield(uint64_t n)
{
    while (n-- > 0)
        context_yield();
}

static void later_nothing(void *arg)
{
    (void)arg;
}

static void later_run(uint64_t n)
{
    while (n-- > 0)
        if (!context_run(later_nothing, NULL))
            panic("runtime: no memory for a stack");
}

static void later_decided(uint64_t n)
{
    while (n-- > 0) {
        struct future future = { 0 };

        future_fulfil(&future, NULL);
        future_wait(&future);
    }
}

static void later_iobuf(uint64_t n)
{
    while (n-- > 0) {
        struct iobuf *buf = iobuf_alloc_tx();

        if (buf == NULL)
            panic("runtime: no memory for a buffer");
        iobuf_free(buf);
    }
}

void bench_later(void)
{
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        later_one(&kinds[i], 0, "on this vCPU");
        if (cpu_count() == 1)
            continue;
        awake_set(1, true);
        later_one(&kinds[i], 1, "on another vCPU, awake");
        awake_set(1, false);
        later_one(&kinds[i], 1, "on another vCPU, asleep");
    }
    bench_many("many", "context yields", later_yield, "and goes on");
    bench_many("many", "context on a used stack", later_run, "begins and ends");
    bench_many("many", "future", later_decided, "fulfilled, then waited for");
    bench_many("many", "iobuf", later_iobuf, "allocated and freed");
}
