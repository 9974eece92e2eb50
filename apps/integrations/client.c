/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client: each integration, each kind of operation, one after the other. Lines "bench: begin" and "bench: end" stand round what is measured, for whoever reads
 * the console; a third says what came out.
 */
#include "context.h"
#include "integrations.h"

#define BEGIN_AGAIN_NS 20000000u

static const struct kind {
    const char *name;           /* as in the tables */
    const char *object;
    bool writes;
    uint32_t length;
    uint32_t times;
    uint32_t stride;            /* from one operation to the next */
} kinds[] = {
    { "read", "read64", false, 64, BENCH_TIMES, SHARED_BLOCK },
    { "read", "read4096", false, 4096, BENCH_TIMES, SHARED_BLOCK },
    { "read-again", "again", false, 64, BENCH_TIMES, 0 },
    { "write", "write64", true, 64, BENCH_TIMES, SHARED_BLOCK },
    { "write", "write4096", true, 4096, BENCH_TIMES, SHARED_BLOCK },
    { "write-again", "again", true, 64, BENCH_TIMES, 0 },
    { "read", "readbulk", false, BENCH_BULK, 1, 0 },
    { "write", "writebulk", true, BENCH_BULK, 1, 0 },
};

static uint8_t bench_bytes[BENCH_BULK];
static uint64_t bench_ns[BENCH_TIMES];
static struct timer bench_timer;

static void bench_must(int error, const char *what)
{
    if (error)
        panic("integrations: %s: %s", what, shared_error(error));
}

static void bench_resume(void *arg)
{
    context_resume(arg);
}

/* The home may take longer than we do until it is ready. */
static void bench_open(struct shared *object, const struct shared_integration *with, const char *name)
{
    for (unsigned tries = 0;; tries++) {
        struct future opened = { 0 };

        shared_open(object, with, BENCH_HOME, name, &opened);

        int error = future_wait(&opened);

        if (error == 0)
            return;
        if (tries == 100)
            bench_must(error, name);
        if (!timer_start(&bench_timer, BEGIN_AGAIN_NS, bench_resume, context_current()))
            panic("integrations: no memory");
        context_suspend();
    }
}

static void bench_operate(struct shared *object, const struct kind *kind)
{
    for (uint32_t i = 0; i < kind->times; i++) {
        struct future done = { 0 };
        uint64_t begun = clock_ns();

        if (kind->writes)
            shared_write(object, (uint64_t)i * kind->stride, bench_bytes, kind->length, &done);
        else
            shared_read(object, (uint64_t)i * kind->stride, bench_bytes, kind->length, &done);
        bench_must(future_wait(&done), kind->name);
        bench_ns[i] = clock_ns() - begun;
    }
}

static void bench_sort(uint64_t *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t at = i; at && values[at - 1] > values[at]; at--) {
            uint64_t other = values[at];

            values[at] = values[at - 1];
            values[at - 1] = other;
        }
}

static void bench_measure(const struct shared_integration *with, const char *word, const struct kind *kind)
{
    char name[SHARED_NAME_MOST + 1];
    struct shared object;
    struct future closed = { 0 };
    uint64_t sum = 0;

    bench_name(name, kind->object, word);
    bench_open(&object, with, name);
    console_printf("bench: begin\n");
    bench_operate(&object, kind);
    console_printf("bench: end\n");
    for (uint32_t i = 0; i < kind->times; i++)
        sum += bench_ns[i];
    bench_sort(bench_ns, kind->times);
    console_printf("bench: %s %s %u times %u mean_ns %lu median_ns %lu most_ns %lu\n", word, kind->name, kind->length, kind->times, sum / kind->times,
                   bench_ns[kind->times / 2], bench_ns[kind->times - 1]);
    shared_close(&object, &closed);
    bench_must(future_wait(&closed), "closing");
}

static void bench_run(void *arg)
{
    const struct bench_integrations *integrations = arg;
    static struct shared ready;

    bench_open(&ready, integrations->with[0], BENCH_READY);
    for (unsigned i = 0; i < integrations->count; i++)
        for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
            bench_measure(integrations->with[i], integrations->words[i], &kinds[k]);
    console_printf("integrations: over\n");
}

void bench_client(const struct bench_integrations *integrations)
{
    console_printf("integrations: client ready\n");
    if (!context_run(bench_run, (void *)integrations))
        panic("integrations: no memory");
}
