/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ebbs: the first call on each vCPU faults, no later one does, and vCPUs have representatives of their own, or share one. */
#include "check.h"

struct test_rep {
    unsigned made_by;
    uint64_t calls;
};

static ebb_id test_id, test_other_id;
static unsigned test_misses[LIBOS_MAX_CPUS];
static int test_root;
static struct test_rep test_shared;
static struct test_step test_first, test_second;

static void *test_miss(ebb_id id, void *root)
{
    struct test_rep *rep = mem_zalloc(sizeof(*rep));

    CHECK(id == test_id, "id %u", id);
    CHECK(root == &test_root, "root %p", root);
    CHECK(rep, "no memory");
    rep->made_by = cpu_id();
    __atomic_fetch_add(&test_misses[cpu_id()], 1, __ATOMIC_RELAXED);
    return rep;
}

static void test_call(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 1000; i++) {
        struct test_rep *rep = ebb_rep(test_id);

        CHECK(rep->made_by == cpu_id(), "made by %u", rep->made_by);
        rep->calls++;
        CHECK(ebb_rep(test_other_id) == &test_shared, "other");
    }
}

static void test_end(void *arg)
{
    (void)arg;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        struct test_rep *rep = ebb_peek(test_id, cpu);

        CHECK(test_misses[cpu] == 1, "vCPU %u missed %u times", cpu, test_misses[cpu]);
        CHECK(rep && rep->calls == 2000, "vCPU %u", cpu);
    }
    test_success();
}

static void test_again(void *arg)
{
    (void)arg;
    test_on_every_cpu(&test_second, test_call, test_end);
}

void app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    test_id = ebb_create(test_miss, &test_root);
    test_other_id = ebb_create_shared(&test_shared);
    CHECK(test_id != test_other_id && test_id >= EBB_FIRST_FREE, "ids %u %u", test_id, test_other_id);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        CHECK(ebb_peek(test_id, cpu) == NULL, "vCPU %u", cpu);
    test_on_every_cpu(&test_first, test_call, test_again);
}
