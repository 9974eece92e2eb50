/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events: order by sender, no overlap on a vCPU, and none lost when the receiver was about to sleep. */
#include "check.h"

#define EACH 2000u
#define ROUNDS 3000u

struct test_cpu {
    uint32_t expected[LIBOS_MAX_CPUS];  /* next number from each sender */
    unsigned inside;
    uint64_t received;
} __attribute__((aligned(64)));

static struct test_cpu test_cpus[LIBOS_MAX_CPUS];
static unsigned test_left;
static unsigned test_local_next;
static unsigned test_round;
static struct test_step test_step;
static struct event test_posted;

static void test_ping(void *arg);

static void test_pong(void *arg)
{
    (void)arg;
    CHECK(event_spawn(0, test_ping, NULL), "no memory");
}

/* vCPU 0 and another take turns, both asleep in between: a lost wake-up would stop this for ever. */
static void test_ping(void *arg)
{
    (void)arg;
    if (++test_round > ROUNDS)
        test_success();
    event_post(test_round % cpu_count(), &test_posted, test_pong, NULL);
}

static void test_receive(void *arg)
{
    uint32_t sender = (uint32_t)((uint64_t)arg >> 32), number = (uint32_t)(uint64_t)arg;
    struct test_cpu *own = &test_cpus[cpu_id()];

    CHECK(own->inside++ == 0, "events overlap");
    CHECK(own->expected[sender] == number, "from %u: %u, not %u", sender, number, own->expected[sender]);
    own->expected[sender]++;
    own->received++;
    own->inside--;
    if (__atomic_sub_fetch(&test_left, 1, __ATOMIC_ACQ_REL) == 0)
        event_spawn(0, test_ping, NULL);
}

static void test_send_all(void *arg)
{
    (void)arg;
    for (uint32_t number = 0; number < EACH; number++)
        for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
            CHECK(event_spawn(cpu, test_receive, (void *)((uint64_t)cpu_id() << 32 | number)), "no memory");
}

static void test_nothing(void *arg)
{
    (void)arg;
}

/* Runs after all that was queued before it; what it spawns runs after what it was queued with. */
static void test_local(void *arg)
{
    unsigned number = (unsigned)(uint64_t)arg;

    CHECK(test_local_next++ == number, "%u", number);
    if (number < 10)
        event_spawn(0, test_local, (void *)(uint64_t)(number + 10));
    if (number == 19) {
        test_left = cpu_count() * cpu_count() * EACH;
        test_on_every_cpu(&test_step, test_send_all, test_nothing);
    }
}

void app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (uint64_t i = 0; i < 10; i++)
        event_spawn(0, test_local, (void *)i);
}
