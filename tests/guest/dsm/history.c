/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * COUNT operations at random on a few words of three pages, by each vCPU of each node, all told at the end: "THREAD NUMBER r|w|x WORD VALUE [OLD]". Written values are all
 * different. Words 0 to 15 belong to a thread each, which alone writes them (w); the others are exchanged (x), so that each write tells which one it followed.
 */
#include "dsm_test.h"

#define OWN_WORDS 16u
#define WORDS 24u
#define TURN_OVER 4u                    /* operations between two times that other events run */

struct test_operation {
    uint64_t value, old;
    uint32_t word;
    char what;
};

static struct test_step test_end;

static volatile uint64_t *test_word(uint32_t word)
{
    return WORD(1 + word % 3, word * 8);
}

static void test_one(struct test_operation *operation, uint32_t thread, uint32_t number, uint32_t random)
{
    uint64_t value = (uint64_t)(thread + 1) << 32 | (number + 1);

    operation->word = random % WORDS;
    operation->value = value;
    if (random >> 16 & 1) {
        operation->what = 'r';
        operation->value = *test_word(operation->word);
    } else if (random >> 17 & 1) {
        operation->what = 'w';
        operation->word = thread;
        *test_word(thread) = value;
    } else {
        operation->what = 'x';
        operation->word = OWN_WORDS + random % (WORDS - OWN_WORDS);
        operation->old = __atomic_exchange_n(test_word(operation->word), value, __ATOMIC_SEQ_CST);
    }
}

static void test_nothing(void *arg)
{
    (void)arg;
}

static void test_told(void *arg)
{
    (void)arg;
    console_printf("faults %lu %lu granted %lu invalidated %lu recalled %lu malformed %lu\n", dsm_counts()->read_faults, dsm_counts()->write_faults,
                   dsm_counts()->granted, dsm_counts()->invalidated, dsm_counts()->recalled, dsm_counts()->malformed);
    console_printf("SUCCESS\n");
}

void test_history(void *arg)
{
    uint32_t thread = test_own * cpu_count() + cpu_id();
    uint32_t state = test_seed * 65537 + thread + 1;
    struct test_operation *done = mem_zalloc(test_count * sizeof(*done));
    static uint32_t ended;

    (void)arg;
    CHECK(done && thread < OWN_WORDS, "no memory");
    for (uint32_t i = 0; i < test_count; i++) {
        test_one(&done[i], thread, i, test_random(&state));
        if (test_random(&state) % TURN_OVER == 0)
            test_pause(test_random(&state) % 200000);
    }
    for (uint32_t i = 0; i < test_count; i++)
        console_printf("%u %u %c %u %lu %lu\n", thread, i, done[i].what, done[i].word, done[i].value, done[i].old);
    if (__atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL) == cpu_count())
        test_on_every_cpu(&test_end, test_nothing, test_told);
}

/*
 * The same words, but what cannot be had is told ("THREAD NUMBER lost PAGE"), and what was read or written is at once ("THREAD NUMBER r|w WORD VALUE"); each thread writes its
 * own word alone.
 */
void test_mortal(void *arg)
{
    uint32_t thread = test_own * cpu_count() + cpu_id();
    uint32_t state = test_seed * 65537 + thread + 1;

    (void)arg;
    for (uint32_t i = 0; i < test_count; i++) {
        uint32_t random = test_random(&state);
        bool writes = random >> 16 & 1;
        uint32_t word = writes ? thread : random % (test_nodes * cpu_count());

        if (dsm_acquire((const void *)test_word(word), writes) != 0) {
            console_printf("%u %u lost %u\n", thread, i, 1 + word % 3);
        } else {
            if (writes)
                *test_word(word) = i + 1;
            console_printf("%u %u %c %u %lu\n", thread, i, writes ? 'w' : 'r', word, *test_word(word));
        }
        test_pause(test_random(&state) % 400000);
    }
    console_printf("SUCCESS\n");
}
