/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers: never early, in the order of their deadlines, on the vCPU that started them; cancelled ones stay silent. */
#include "check.h"

#define COUNT 300u

struct test_timer {
    struct timer timer;
    uint64_t not_before;
    bool cancelled;
    bool fired;
};

struct test_cpu {
    struct test_timer timers[COUNT];
    uint64_t last_deadline;
    unsigned left;
} __attribute__((aligned(64)));

static struct test_cpu *test_cpus[LIBOS_MAX_CPUS];
static unsigned test_cpus_left;
static struct test_step test_step;
static struct timer test_periodic;
static unsigned test_ticks;

static void test_tick(void *arg)
{
    (void)arg;
    if (++test_ticks == 20)
        test_success();
    timer_start(&test_periodic, 1000000, test_tick, NULL);
}

static void test_all_fired(void *arg)
{
    (void)arg;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        for (unsigned i = 0; i < COUNT; i++)
            CHECK(test_cpus[cpu]->timers[i].fired != test_cpus[cpu]->timers[i].cancelled, "vCPU %u timer %u", cpu, i);
    /* The vCPU sleeps between these: the interrupt must end that. */
    test_tick(NULL);
}

static void test_fire(void *arg)
{
    struct test_timer *timer = arg;
    struct test_cpu *own = test_cpus[cpu_id()];

    CHECK(timer >= own->timers && timer < own->timers + COUNT, "another vCPU's timer");
    CHECK(!timer->cancelled && !timer->fired, "cancelled %d fired %d", timer->cancelled, timer->fired);
    CHECK(clock_ns() >= timer->not_before, "early by %lu ns", timer->not_before - clock_ns());
    CHECK(timer->timer.deadline >= own->last_deadline, "out of order");
    own->last_deadline = timer->timer.deadline;
    timer->fired = true;
    if (--own->left == 0 && __atomic_sub_fetch(&test_cpus_left, 1, __ATOMIC_ACQ_REL) == 0)
        event_spawn(0, test_all_fired, NULL);
}

static void test_start(void *arg)
{
    struct test_cpu *own = mem_zalloc(sizeof(*own));
    uint32_t random = cpu_id() * 7919 + 1;

    (void)arg;
    CHECK(own, "no memory");
    test_cpus[cpu_id()] = own;
    for (unsigned i = 0; i < COUNT; i++) {
        struct test_timer *timer = &own->timers[i];
        uint64_t delay = test_random(&random) % 200000000;

        if (i % 5 == 0)         /* restarted: only the second time counts */
            CHECK(timer_start(&timer->timer, 1000, test_fire, timer), "no memory");
        timer->not_before = clock_ns() + delay;
        CHECK(timer_start(&timer->timer, delay + 1000, test_fire, timer), "no memory");
        own->left++;
    }
    for (unsigned i = 0; i < COUNT; i += 3) {
        timer_cancel(&own->timers[i].timer);
        timer_cancel(&own->timers[i].timer);
        own->timers[i].cancelled = true;
        own->left--;
    }
}

static void test_nothing(void *arg)
{
    (void)arg;
}

void app_main(int argc, char **argv)
{
    uint64_t before = clock_ns();

    (void)argc;
    (void)argv;
    CHECK(clock_hz() > 1000000, "%lu Hz", clock_hz());
    CHECK(clock_ns() >= before, "the clock goes back");
    test_cpus_left = cpu_count();
    test_on_every_cpu(&test_step, test_start, test_nothing);
}
