/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Litmus tests, COUNT rounds each with words of their own, between four nodes: message passing, store buffering, independent reads of independent writes, coherence of
 * reads of one word. And a lock made of shared memory, round a counter.
 */
#include "dsm_test.h"

#define ROUNDS_MOST 500u                /* 8-byte words of a page, nearly */
#define X(i) WORD(test_x, i)
#define Y(i) WORD(test_y, i)
#define SEEN(node, i) WORD(10 + (node), i)      /* what each node read */

static uint32_t test_x, test_y;
static uint32_t test_state;

static void test_jitter(void)
{
    for (uint32_t left = test_random(&test_state) % 3; left; left--)
        context_yield();
}

static uint64_t test_see(volatile uint64_t *first, volatile uint64_t *second)
{
    uint64_t a = *first;

    test_jitter();

    uint64_t b = *second;

    return 4 | a << 1 | b;
}

static void test_message_passing(uint32_t i)
{
    if (test_own == 0) {
        *X(i) = 1;
        test_jitter();
        *Y(i) = 1;
    } else {
        *SEEN(test_own, i) = test_see(Y(i), X(i));
    }
}

static void test_store_buffering(uint32_t i)
{
    if (test_own > 1)
        return;
    *(test_own ? X(i) : Y(i)) = 1;
    *SEEN(test_own, i) = 4 | *(test_own ? Y(i) : X(i));
}

static void test_independent(uint32_t i)
{
    if (test_own < 2)
        *(test_own ? X(i) : Y(i)) = 1;
    else
        *SEEN(test_own, i) = test_own == 2 ? test_see(X(i), Y(i)) : test_see(Y(i), X(i));
}

/* Each node reads the same word twice; node 0 writes it. */
static void test_twice(uint32_t i)
{
    if (test_own == 0)
        *X(i) = 1;
    else
        *SEEN(test_own, i) = test_see(X(i), X(i));
}

static const struct {
    const char *name;
    void (*run)(uint32_t i);
} test_kinds[] = {
    { "message passing", test_message_passing },
    { "store buffering", test_store_buffering },
    { "independent reads", test_independent },
    { "coherence", test_twice },
};

static void test_judge(uint32_t kind, uint32_t i)
{
    uint64_t seen[4];

    for (uint32_t node = 0; node < 4; node++)
        seen[node] = *SEEN(node, i) & 3;
    switch (kind) {
    case 0:
        for (uint32_t node = 1; node < 4; node++)
            CHECK(seen[node] != 2, "round %u: node %u saw the flag but not the message", i, node);
        break;
    case 1:
        CHECK(seen[0] || seen[1], "round %u: neither store was seen", i);
        break;
    case 2:
        CHECK(!(seen[2] == 2 && seen[3] == 2), "round %u: two nodes disagree which write came first", i);
        break;
    default:
        for (uint32_t node = 1; node < 4; node++)
            CHECK(seen[node] != 2, "round %u: node %u saw a write undone", i, node);
    }
}

void test_litmus(void *arg)
{
    uint64_t round = 0;
    uint32_t outcomes[4][4] = { 0 };

    (void)arg;
    CHECK(test_nodes == 4 && test_count <= ROUNDS_MOST, "four nodes, %u rounds", ROUNDS_MOST);
    test_state = test_seed * 4 + test_own + 1;
    for (uint32_t kind = 0; kind < sizeof(test_kinds) / sizeof(test_kinds[0]); kind++) {
        test_x = 20 + 2 * kind;
        test_y = 21 + 2 * kind;
        for (uint32_t i = 0; i < test_count; i++) {
            *SEEN(test_own, i) = 0;
            test_barrier(&round);
            test_jitter();
            test_kinds[kind].run(i);
        }
        test_barrier(&round);
        for (uint32_t i = 0; test_own == 0 && i < test_count; i++) {
            test_judge(kind, i);
            outcomes[kind][*SEEN(3, i) & 3]++;
        }
        test_barrier(&round);
    }
    for (uint32_t kind = 0; test_own == 0 && kind < 4; kind++)
        console_printf("%s: node 3 saw 00 %u, 01 %u, 10 %u, 11 %u\n", test_kinds[kind].name, outcomes[kind][0], outcomes[kind][1],
                       outcomes[kind][2], outcomes[kind][3]);
    console_printf("SUCCESS\n");
}

/* ---- a lock, and under it a counter on one page and a page of which all words are the same ---- */

void test_locks(void *arg)
{
    uint32_t state = test_seed + test_own * 16 + cpu_id() + 1;

    (void)arg;
    for (uint32_t i = 0; i < test_count; i++) {
        test_lock();

        uint64_t count = *WORD(1, 0);

        if (test_random(&state) % 2)
            context_yield();
        for (uint32_t word = 0; word < 512; word++) {
            CHECK(*WORD(2, word) == count, "word %u is %lu, not %lu", word, *WORD(2, word), count);
            *WORD(2, word) = count + 1;
        }
        *WORD(1, 0) = count + 1;
        test_unlock();
    }
    __atomic_add_fetch(&GROUND->ended, 1, __ATOMIC_SEQ_CST);
    if (cpu_id())
        return;
    while (GROUND->ended < test_nodes * cpu_count())
        test_pause(1000000);
    CHECK(*WORD(1, 0) == (uint64_t)test_count * test_nodes * cpu_count(), "the counter is %lu", *WORD(1, 0));
    console_printf("SUCCESS\n");
}
