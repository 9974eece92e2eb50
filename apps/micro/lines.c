/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a line cost that another vCPU has? Needs two. Cycles:
 *   transfer LINES           a load from a line that the other vCPU modified, one after the other (a chase, as MLC's HITM latency)
 *   pingpong_store 2         half a round trip: each waits for a word to change, then changes it
 *   pingpong_exchange 2      the same by compare-and-exchange alone, as core-to-core tables are made
 *   sharing_same 2           an increment of a counter of one's own on a line that the other has a counter on, too
 *   sharing_apart 2          the counters on lines of their own
 *   sharing_locked_same 2, sharing_locked_apart 2    the same with LOCK
 */
#include "libos.h"
#include "micro.h"

#define LINES 256ul
#define ROUNDS 400u
#define INCREMENTS 4096u
#define UNROLLED 16u

struct line { uint64_t word[8]; } __attribute__((aligned(64)));

static struct line micro_memory[LINES], micro_ball, micro_turn, micro_ready, micro_counters[2];
static uint64_t micro_stretch[2];

static uint64_t micro_line_of(uint64_t i)
{
    return i * MICRO_LINE;
}

static void micro_await(volatile uint64_t *word, uint64_t value)
{
    while (*word != value)
        ;
}

static uint64_t micro_transfer(unsigned me, unsigned round)
{
    uint64_t cycles = 0;

    if (me == 1) {
        micro_await(micro_turn.word, round * 2 + 1);
        for (uint64_t i = 0; i < LINES; i++)
            ((volatile struct line *)micro_memory)[i].word[0] = micro_memory[i].word[0];
        __atomic_store_n(micro_turn.word, round * 2 + 2, __ATOMIC_SEQ_CST);
        return 0;
    }
    __atomic_store_n(micro_turn.word, round * 2 + 1, __ATOMIC_SEQ_CST);
    micro_await(micro_turn.word, round * 2 + 2);

    const uint8_t *at = micro_memory[0].word[0] ? (const uint8_t *)micro_memory : NULL;
    uint64_t start = micro_now();
    for (uint64_t rounds = (LINES - 1) / 15; rounds > 0; rounds--)     /* the first line came by looking */
        __asm__ volatile(MICRO_REPEAT(15, "mov (%0), %0") : "+r"(at) : : "memory");
    cycles = micro_now() - start;
    return cycles * 100 / (LINES - 1);
}

static uint64_t micro_pingpong_store(unsigned me)
{
    uint64_t start = micro_now();
    for (uint64_t i = 0; i < ROUNDS; i++) {
        micro_await(micro_ball.word, i * 2 + me);
        *(volatile uint64_t *)micro_ball.word = i * 2 + me + 1;
    }
    return (micro_now() - start) * 100 / (2 * ROUNDS);
}

static uint64_t micro_pingpong_exchange(unsigned me)
{
    uint64_t start = micro_now();
    for (uint64_t i = 0; i < ROUNDS; i++)
        for (uint64_t from = i * 2 + me; !__atomic_compare_exchange_n(micro_ball.word, &from, i * 2 + me + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);)
            from = i * 2 + me;
    return (micro_now() - start) * 100 / (2 * ROUNDS);
}

/* Both at once; a word is 8 bytes, so words of one line are falsely shared. */
static uint64_t micro_increments(volatile uint64_t *own, bool locked)
{
    uint64_t start = micro_now();
    for (unsigned i = 0; i < INCREMENTS / UNROLLED; i++) {
        if (locked)
            __asm__ volatile(MICRO_REPEAT(UNROLLED, "lock addq $1, %0") : "+m"(*own));
        else
            __asm__ volatile(MICRO_REPEAT(UNROLLED, "addq $1, %0") : "+m"(*own));
    }
    return (micro_now() - start) * 100 / INCREMENTS;
}

static void micro_together(unsigned phase)
{
    __atomic_fetch_add(micro_ready.word, 1, __ATOMIC_SEQ_CST);
    while (*(volatile uint64_t *)micro_ready.word < 2 * phase)
        ;
}

/* Measures on both vCPUs and reports from vCPU 0: its own, or the mean of both. */
static void micro_both(unsigned me)
{
    static const char *const names[] = { "sharing_same", "sharing_apart", "sharing_locked_same", "sharing_locked_apart" };
    uint64_t samples[MICRO_SAMPLES];
    unsigned phase = 0;

    for (unsigned i = 0; i < MICRO_SAMPLES; i++)
        samples[i] = micro_transfer(me, i);
    if (me == 0)
        micro_report("transfer", LINES, micro_median(samples, MICRO_SAMPLES));
    micro_together(++phase);
    uint64_t hop = micro_pingpong_store(me);
    if (me == 0)
        micro_report("pingpong_store", 2, hop);
    micro_together(++phase);
    micro_ball.word[0] = 0;
    micro_together(++phase);
    hop = micro_pingpong_exchange(me);
    if (me == 0)
        micro_report("pingpong_exchange", 2, hop);
    for (unsigned kind = 0; kind < 4; kind++) {
        micro_together(++phase);
        micro_stretch[me] = micro_increments(&micro_counters[kind & 1 ? me : 0].word[me], kind >= 2);
        micro_together(++phase);
        if (me == 0)
            micro_report(names[kind], 2, (micro_stretch[0] + micro_stretch[1]) / 2);
    }
}

static void micro_second(void *argument)
{
    (void)argument;
    micro_both(1);
    __atomic_store_n(&micro_turn.word[1], 1, __ATOMIC_SEQ_CST);
}

void micro_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    if (cpu_count() < 2)
        micro_fail("two vCPUs are needed (--cpus 2)");
    micro_timed(false);
    micro_cycle((uint8_t *)micro_memory, LINES, micro_line_of, 1);
    micro_timed(true);
    if (!event_spawn(1, micro_second, NULL))
        micro_fail("no memory");
    micro_both(0);
    micro_await(&micro_turn.word[1], 1);
}
