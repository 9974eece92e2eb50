/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench.h"

#define MANY 2000ul

static uint64_t reading;

static uint64_t bench_median(uint64_t *values)
{
    for (unsigned i = 1; i < SAMPLES; i++) {
        uint64_t value = values[i];
        unsigned at = i;

        for (; at > 0 && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return values[SAMPLES / 2];
}

void bench_begin(void)
{
    uint64_t samples[SAMPLES];

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t start = bench_now();

        samples[i] = bench_now() - start;
    }
    reading = bench_median(samples);
}

uint64_t bench_since(uint64_t start)
{
    int64_t took = (int64_t)(bench_now() - start - reading);

    return took > 0 ? (uint64_t)took * 100 : 0;     /* vCPUs of an emulated machine may be a little apart */
}

void bench_report(uint64_t samples[SAMPLES], const char *group, const char *format, ...)
{
    char what[96];
    uint64_t median = bench_median(samples);
    va_list args;

    va_start(args, format);
    format_vstring(what, sizeof(what), format, args);
    va_end(args);
    console_printf("bench: %llu.%02llu %s: %s\n", (unsigned long long)(median / 100), (unsigned long long)(median % 100), group, what);
}

void bench_many(const char *group, const char *what, void (*run)(uint64_t n), const char *how)
{
    uint64_t samples[SAMPLES];

    run(MANY);
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t start = bench_now();

        run(MANY);
        samples[i] = bench_since(start) / MANY;
    }
    bench_report(samples, group, "%s, %s", what, how);
}

void bench_one(const char *group, const char *what, void (*run)(uint64_t n), const char *how)
{
    uint64_t samples[SAMPLES];

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t start = bench_now();

        run(1);
        samples[i] = bench_since(start);
    }
    bench_report(samples, group, "%s, %s", what, how);
}

static void bench_resume(void *arg)
{
    context_resume(arg);
}

void bench_pause(uint64_t ns)
{
    struct timer timer = { 0 };

    if (!timer_start(&timer, ns, bench_resume, context_current()))
        panic("runtime: no memory for a timer");
    context_suspend();
}

struct errand {
    event_fn fn;
    void *arg;
    struct future done;
};

static void bench_errand(void *arg)
{
    struct errand *errand = arg;

    errand->fn(errand->arg);
    future_fulfil(&errand->done, NULL);
}

void bench_on(unsigned cpu, event_fn fn, void *arg)
{
    struct errand errand = { .fn = fn, .arg = arg };

    if (!event_spawn(cpu, bench_errand, &errand))
        panic("runtime: no memory for an event");
    future_wait(&errand.done);
}

void bench_wait(struct future *future, const char *what)
{
    int error = future_wait(future);

    if (error)
        panic("runtime: %s failed: %d", what, error);
}
