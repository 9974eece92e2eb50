/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Futures: everybody who asked is told once, on the vCPU that asked, whoever decides and whether they asked before or after; in order, if before. */
#include "check.h"

#define EACH 50u

struct test_asker {
    struct future_wait wait[EACH];
    bool known[EACH];
    unsigned told;
} __attribute__((aligned(64)));

static struct future test_futures[3];   /* fulfilled after all asked; while they ask; failed */
static struct test_asker test_askers[3][LIBOS_MAX_CPUS];
static unsigned test_left;
static int test_value;
static struct test_step test_step;

static void test_told(void *arg)
{
    struct future_wait *wait = arg;
    unsigned cpu = cpu_id();

    for (unsigned i = 0; i < 3; i++) {
        struct test_asker *asker = &test_askers[i][cpu];

        if (wait < asker->wait || wait >= asker->wait + EACH)
            continue;
        CHECK(i == 1 || wait == &asker->wait[asker->told], "future %u: out of order on vCPU %u", i, cpu);
        CHECK(!asker->known[wait - asker->wait], "future %u: told twice", i);
        asker->known[wait - asker->wait] = true;
        asker->told++;
        CHECK(future_decided(&test_futures[i]), "future %u: not decided", i);
        if (i == 2)
            CHECK(test_futures[i].state == FUTURE_FAILED && test_futures[i].error == 7, "error %d", test_futures[i].error);
        else
            CHECK(future_value(&test_futures[i]) == &test_value, "future %u: value", i);
        if (__atomic_sub_fetch(&test_left, 1, __ATOMIC_ACQ_REL) == 0)
            test_success();
        return;
    }
    CHECK(false, "told on another vCPU than asked");
}

static void test_ask(void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < EACH; n++)
        for (unsigned i = 0; i < 3; i++) {
            struct future_wait *wait = &test_askers[i][cpu_id()].wait[n];

            if (i == 1 && n == EACH / 2 && cpu_id() == cpu_count() - 1)
                future_fulfil(&test_futures[1], &test_value);
            future_then(&test_futures[i], wait, test_told, wait);
        }
}

static void test_decide(void *arg)
{
    (void)arg;
    CHECK(!future_decided(&test_futures[0]), "decided by nobody");
    future_fulfil(&test_futures[0], &test_value);
    future_fail(&test_futures[2], 7);
}

void app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    test_left = 3 * EACH * cpu_count();
    test_on_every_cpu(&test_step, test_ask, test_decide);
}
