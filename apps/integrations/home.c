/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The home: it makes the objects, writes all of each (pages that nobody ever wrote need not travel), and then only serves. */
#include "context.h"
#include "integrations.h"

static void bench_must(int error, const char *what, const char *word)
{
    if (error)
        panic("integrations: %s by %s: %s", what, word, shared_error(error));
}

static void bench_make(const struct shared_integration *with, const char *object, const char *word, uint64_t size)
{
    static uint8_t bytes[BENCH_BULK];
    char name[SHARED_NAME_MOST + 1];
    struct shared handle;
    struct future opened = { 0 }, written = { 0 }, closed = { 0 };

    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    bench_name(name, object, word);
    bench_must(shared_host(with, name, size), name, word);
    shared_open(&handle, with, BENCH_HOME, name, &opened);
    bench_must(future_wait(&opened), "opening", word);
    shared_write(&handle, 0, bytes, (uint32_t)size, &written);
    bench_must(future_wait(&written), "writing", word);
    shared_close(&handle, &closed);
    bench_must(future_wait(&closed), "closing", word);
}

static void bench_make_all(void *arg)
{
    const struct bench_integrations *integrations = arg;

    for (unsigned i = 0; i < integrations->count; i++) {
        const struct shared_integration *with = integrations->with[i];
        const char *word = integrations->words[i];

        bench_must(shared_serve(with), "serving", word);
#define BENCH_MAKE(object, size) bench_make(with, #object, word, size);
        BENCH_OBJECTS(BENCH_MAKE)
    }
    bench_must(shared_host(integrations->with[0], BENCH_READY, 0), BENCH_READY, integrations->words[0]);
    console_printf("integrations: home ready\n");
}

void bench_home(const struct bench_integrations *integrations)
{
    if (!context_run(bench_make_all, (void *)integrations))
        panic("integrations: no memory");
}
