/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a mispredicted branch cost? Bits decide branches: 64 of them, each with its own address, shift a word empty. `branch_constant 0` and
 * `branch_constant 1` are cycles a branch when all go one way, `branch_periodic P` when they repeat after P (a predictor learns them),
 * `branch_random 0` when nobody can know. `branch_penalty 0`: twice what random ones take more than the mean of the constant ones, since
 * half of them are mispredicted. The next word does not depend on the branches.
 */
#include "micro.h"

#define BRANCH_WORDS 512u
#define BRANCH_WARM 16u

static uint64_t branch_words[BRANCH_WORDS];

static void micro_branches(const uint64_t *words, uint64_t count)
{
    for (uint64_t i = 0, taken = 0; i < count; i++) {
        uint64_t word = words[i];
        __asm__ volatile(MICRO_REPEAT(64, "shr $1, %0\n\tjnc 1f\n\tadd $1, %1\n1:") : "+r"(word), "+r"(taken) : : "cc");
    }
}

static void micro_fill(uint64_t period, uint64_t pattern)
{
    for (uint64_t i = 0; i < BRANCH_WORDS * 64; i++) {
        uint64_t bit = pattern >> i % period & 1, *word = &branch_words[i / 64];
        *word = i % 64 == 0 ? bit : *word | bit << i % 64;
    }
}

static void micro_fill_random(uint64_t *seed)
{
    for (unsigned i = 0; i < BRANCH_WORDS; i++)
        branch_words[i] = micro_random(seed);
}

/* Random bits are new ones for each sample. */
static uint64_t micro_measure(const char *name, uint64_t param, uint64_t *seed)
{
    uint64_t samples[MICRO_SAMPLES];

    micro_timed(true);
    for (unsigned i = 0; i < (seed ? 1 : BRANCH_WARM); i++)
        micro_branches(branch_words, BRANCH_WORDS);
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        if (seed)
            micro_fill_random(seed);
        uint64_t start = micro_now();
        micro_branches(branch_words, BRANCH_WORDS);
        samples[i] = (micro_now() - start) * 100 / (BRANCH_WORDS * 64);
    }
    uint64_t median = micro_median(samples, MICRO_SAMPLES);
    micro_report(name, param, median);
    return median;
}

void micro_main(int argc, char **argv)
{
    static const uint8_t periods[] = { 2, 3, 5, 8, 13 };
    uint64_t seed = 1, constant;

    (void)argc, (void)argv;
    micro_timed(false);
    micro_fill(1, 0);
    constant = micro_measure("branch_constant", 0, NULL);
    micro_timed(false);
    micro_fill(1, 1);
    constant += micro_measure("branch_constant", 1, NULL);
    for (unsigned i = 0; i < sizeof periods; i++) {
        micro_timed(false);
        micro_fill(periods[i], 0x1532 | 1);
        micro_measure("branch_periodic", periods[i], NULL);
    }
    micro_timed(false);
    micro_fill_random(&seed);
    uint64_t random = micro_measure("branch_random", 0, &seed);
    micro_report("branch_penalty", 0, random * 2 > constant ? random * 2 - constant : 0);
}
