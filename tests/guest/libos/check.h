/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest test ends with "SUCCESS" and status 0, or at its first failure with what failed and status 125. */
#ifndef CHECK_H
#define CHECK_H

#include "libos.h"

#define CHECK(condition, ...) \
    do { \
        if (!(condition)) { \
            console_printf(__VA_ARGS__); \
            console_printf("\n"); \
            panic("%s:%d: not so: %s", __FILE__, __LINE__, #condition); \
        } \
    } while (0)

/* The barrier that tests need between their steps: each vCPU runs `fn(arg)` once, then vCPU 0 runs `then`. */
struct test_step {
    event_fn fn;
    event_fn then;
    unsigned left;
};

static inline void test_step_one(void *arg)
{
    struct test_step *step = arg;

    step->fn(NULL);
    if (__atomic_sub_fetch(&step->left, 1, __ATOMIC_ACQ_REL) == 0)
        event_spawn(0, step->then, NULL);
}

static inline void test_on_every_cpu(struct test_step *step, event_fn fn, event_fn then)
{
    step->fn = fn;
    step->then = then;
    step->left = cpu_count();
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        CHECK(event_spawn(cpu, test_step_one, step), "no memory");
}

static inline void test_success(void)
{
    console_printf("SUCCESS\n");
    machine_exit(0);
}

static inline uint32_t test_random(uint32_t *state)     /* xorshift; the state is never 0 */
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
