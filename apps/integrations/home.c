/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The home: it makes the objects, and then only serves. */
#include "integrations.h"

static void bench_must(int error, const char *what, const char *word)
{
    if (error)
        panic("integrations: %s by %s: %s", what, word, shared_error(error));
}

static void bench_make(const struct shared_integration *with, const char *object, const char *word, uint64_t size)
{
    char name[SHARED_NAME_MOST + 1];

    bench_name(name, object, word);
    bench_must(shared_host(with, name, size), name, word);
}

void bench_home(const struct bench_integrations *integrations)
{
    for (unsigned i = 0; i < integrations->count; i++) {
        const struct shared_integration *with = integrations->with[i];
        const char *word = integrations->words[i];

        bench_must(shared_serve(with), "serving", word);
#define BENCH_MAKE(object, size) bench_make(with, #object, word, size);
        BENCH_OBJECTS(BENCH_MAKE)
    }
    console_printf("integrations: home ready\n");
}
