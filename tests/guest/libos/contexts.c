/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contexts: they wait, their vCPU's events go on meanwhile, they are resumed in order and by any vCPU, nest, end in the middle, and use their stacks
 * again. With the word "stack" one of them uses up its own: the run ends and says so.
 */
#include "check.h"
#include "context.h"

#define MANY 100u

static struct future test_value, test_error;
static uint32_t test_order[16], test_at;
static struct test_step test_steps[3];
static uint32_t test_turns[LIBOS_MAX_CPUS], test_ended[LIBOS_MAX_CPUS], test_waiting;
static struct context *test_sleepers[LIBOS_MAX_CPUS];

static int test_recurse(volatile int *depth)
{
    volatile uint8_t frame[1024];

    frame[0] = (uint8_t)*depth;
    if (++*depth < 1000000)
        return test_recurse(depth) + frame[0];
    return 0;
}

static void test_note(uint32_t what)
{
    CHECK(test_at < sizeof(test_order) / sizeof(test_order[0]), "too many");
    test_order[test_at++] = what;
}

/* ---- what a compiler keeps in registers over a wait, and FPU state of its own ---- */

static void test_yields(void *arg)
{
    uint64_t a = (uint64_t)arg, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13;
    double g = (double)a;

    for (uint32_t i = 0; i < 50; i++) {
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+x"(g));
        context_yield();
        CHECK(b == a * 3 && c == a * 5 && d == a * 7 && e == a * 11 && f == a * 13 && g == (double)a, "registers of %lu", a);
        test_turns[cpu_id()]++;
    }
    test_ended[cpu_id()]++;
}

static void test_many(void *arg)
{
    (void)arg;
    for (uint64_t i = 1; i <= MANY; i++)
        CHECK(context_run(test_yields, (void *)i), "no memory");
}

/* ---- resumed by the next vCPU ---- */

static void test_sleep(void *arg)
{
    unsigned cpu = cpu_id();

    (void)arg;
    test_sleepers[cpu] = context_current();
    context_suspend();
    CHECK(cpu_id() == cpu && context_current() == test_sleepers[cpu], "woke elsewhere");
    if (__atomic_sub_fetch(&test_waiting, 1, __ATOMIC_ACQ_REL) == 0)
        test_success();
}

static void test_put_to_sleep(void *arg)
{
    (void)arg;
    CHECK(context_run(test_sleep, NULL), "no memory");
    CHECK(context_current() == NULL, "in a context");
}

static void test_wake_next(void *arg)
{
    (void)arg;
    context_resume(test_sleepers[(cpu_id() + 1) % cpu_count()]);
}

static void test_nothing(void *arg)
{
    (void)arg;
}

static void test_wake_all(void *arg)
{
    (void)arg;
    test_on_every_cpu(&test_steps[2], test_wake_next, test_nothing);
}

static void test_sleepers_sleep(void *arg)
{
    (void)arg;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        CHECK(test_turns[cpu] == MANY * 50 && test_ended[cpu] == MANY, "vCPU %u: %u turns, %u ended", cpu, test_turns[cpu], test_ended[cpu]);
    test_waiting = cpu_count();
    test_on_every_cpu(&test_steps[1], test_put_to_sleep, test_wake_all);
}

static void test_look(void *arg)
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (__atomic_load_n(&test_ended[cpu], __ATOMIC_ACQUIRE) != MANY) {
            CHECK(event_spawn(0, test_look, arg), "no memory");
            return;
        }
    test_sleepers_sleep(NULL);
}

/* ---- futures, nesting, leaving ---- */

static void test_inner(void *arg)
{
    test_note(2);
    CHECK(future_wait(&test_value) == 0 && future_value(&test_value) == arg, "value");
    test_note(5);
    CHECK(future_wait(&test_value) == 0, "decided already");
    test_note(6);
    context_exit();
}

static void test_outer(void *arg)
{
    struct context *own = context_current();

    test_note(1);
    CHECK(context_run(test_inner, arg), "no memory");
    CHECK(context_current() == own, "another's context");
    test_note(3);
    CHECK(future_wait(&test_error) == 77, "error");
    test_note(7);
    for (uint32_t i = 0; i < 7; i++)
        CHECK(test_order[i] == i + 1, "step %u was %u", i + 1, test_order[i]);
    test_on_every_cpu(&test_steps[0], test_many, test_look);
}

static void test_decide(void *arg)
{
    test_note(4);
    future_fulfil(&test_value, arg);
    future_fail(&test_error, 77);
}

static void test_exhaust(void *arg)
{
    int depth = 0;

    (void)arg;
    test_recurse(&depth);
}

void app_main(int argc, char **argv)
{
    static int value;

    if (argc > 1 && strcmp(argv[1], "stack") == 0) {
        context_run(test_exhaust, NULL);
        test_success();
    }
    CHECK(event_spawn(0, test_decide, &value), "no memory");
    CHECK(context_run(test_outer, &value), "no memory");
}
