/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ticket locks: mutual exclusion on all vCPUs at once. */
#include "check.h"

#define TIMES 20000u

static struct spinlock test_lock __attribute__((aligned(64)));
static volatile uint64_t test_count;
static volatile unsigned test_inside;
static struct test_step test_step;

static void test_locked(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < TIMES; i++) {
        if (i % 4 != 0 || !spin_trylock(&test_lock))
            spin_lock(&test_lock);
        CHECK(test_inside++ == 0, "two inside");
        test_count++;
        test_inside--;
        spin_unlock(&test_lock);
    }
}

static void test_end(void *arg)
{
    (void)arg;
    CHECK(test_count == (uint64_t)TIMES * cpu_count(), "%lu", test_count);
    CHECK(spin_trylock(&test_lock), "still held");
    CHECK(!spin_trylock(&test_lock), "taken twice");
    spin_unlock(&test_lock);
    test_success();
}

void app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    test_on_every_cpu(&test_step, test_locked, test_end);
}
