/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Distributed shared memory: `dsm OWN SESSION LEASE_MS WHAT SEED COUNT ADDRESS...`, node 0, which is home to all pages, first among the addresses. Several nodes do the
 * same at once: `history` tells all it did, for a referee, and `mortal` as it does it, while nodes are killed; `litmus` and `locks` judge themselves; with `read` and `write` nodes say what they see until they are killed.
 */
#include "dsm_test.h"
#include "messenger.h"
#include "words.h"

#define PAGES 64u

uint32_t test_nodes, test_own, test_seed, test_count;

static void test_awake(void *context)
{
    context_resume(context);
}

void test_pause(uint64_t ns)
{
    struct timer timer = { 0 };

    CHECK(timer_start(&timer, ns, test_awake, context_current()), "no memory");
    context_suspend();
}

void test_barrier(uint64_t *round)
{
    __atomic_add_fetch(&GROUND->arrived, 1, __ATOMIC_SEQ_CST);
    *round += test_nodes;
    while (GROUND->arrived < *round)
        test_pause(20000);
}

void test_lock(void)
{
    while (__atomic_exchange_n(&GROUND->lock, 1, __ATOMIC_ACQUIRE))
        test_pause(20000);
}

void test_unlock(void)
{
    __atomic_store_n(&GROUND->lock, 0, __ATOMIC_RELEASE);
}

/* ---- pages of nodes that die: node 1 writes pages 1 and 2 and reads page 3; node 2 has read page 1 before, and reads all of them ---- */

static void test_failed(void *arg, const void *address, int error)
{
    uint64_t page = ((uint64_t)address - (uint64_t)dsm_address(0, 0)) / DSM_PAGE;

    (void)arg;
    console_printf("page %lu failed: %s\n", page, dsm_error(error));
}

static void test_read_page(void *page)
{
    uint64_t value = *WORD((uint64_t)page, 0);

    console_printf("page %lu is %lu\n", (uint64_t)page, value);
}

static void test_write_page(void *page)
{
    *WORD((uint64_t)page, 0) = test_own * 1000 + (uint64_t)page;
    console_printf("page %lu written\n", (uint64_t)page);
}

/* Again and again, as what it waits for may take it: "COMMAND PAGES". */
static void test_look(void *arg)
{
    for (uint32_t turn = 0; turn < test_count; turn++) {
        for (uint64_t page = 1; page <= 3; page++)
            context_run(strcmp(arg, "write") == 0 && page < 3 ? test_write_page : test_read_page, (void *)page);
        test_pause(100000000);
    }
    console_printf("looked\n");
}

/* ---- which of them ---- */

static void test_run_one(void *what)
{
    if (strcmp(what, "history") == 0)
        CHECK(context_run(test_history, NULL), "no memory");
    else if (strcmp(what, "mortal") == 0)
        CHECK(context_run(test_mortal, NULL), "no memory");
    else if (cpu_id() == 0 && strcmp(what, "litmus") == 0)
        CHECK(context_run(test_litmus, NULL), "no memory");
    else if (strcmp(what, "locks") == 0)
        CHECK(context_run(test_locks, NULL), "no memory");
    else if (strcmp(what, "outside") == 0)
        *WORD(5, 0) = 1;                /* an event, not a context */
    else if (strcmp(what, "absent") == 0)
        CHECK(context_run(test_read_page, (void *)(uint64_t)PAGES), "no memory");
    else if (cpu_id() == 0 && (strcmp(what, "read") == 0 || strcmp(what, "write") == 0))
        CHECK(context_run(test_look, what), "no memory");
}

/* The home is there when its first page is. */
static void test_begin(void *what)
{
    uint64_t round = 0;

    while (dsm_acquire((const void *)GROUND, false) != 0 || !GROUND->ready)
        test_pause(1000000);
    if (strcmp(what, "history") == 0 || strcmp(what, "locks") == 0 || strcmp(what, "mortal") == 0)
        test_barrier(&round);
    console_printf("begun\n");
    if (strcmp(what, "wait_here") == 0)
        return;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        CHECK(event_spawn(cpu, test_run_one, what), "no memory");
}

static void test_begin_home(void *what)
{
    CHECK(dsm_share(PAGES) == dsm_address(0, 0), "not the first pages");
    GROUND->ready = 1;
    test_begin(what);
}

void app_main(int argc, char **argv)
{
    uint16_t ports[16] = { 0 };
    uint32_t ips[16] = { 0 };

    CHECK(argc > 7 && argc <= 7 + 16, "%d words", argc);
    for (int i = 7; i < argc; i++) {
        const char *rest;

        ips[i - 7] = test_ip(argv[i], &rest);
        ports[i - 7] = (uint16_t)test_number(rest);
    }
    test_own = test_number(argv[1]);
    test_seed = test_number(argv[5]);
    test_count = test_number(argv[6]);
    test_nodes = (uint32_t)argc - 7;
    CHECK(messenger_start((uint16_t)test_own, ports[test_own], test_number(argv[2])), "port");
    for (uint16_t i = 0; i < test_nodes; i++)
        if (i != test_own)
            messenger_peer(i, ips[i], ports[i]);
    dsm_start(test_number(argv[3]) * 1000000ull);
    dsm_on_failure(test_failed, NULL);
    console_printf("dsm: ready\n");
    CHECK(context_run(test_own == 0 ? test_begin_home : test_begin, argv[4]), "no memory");
}
