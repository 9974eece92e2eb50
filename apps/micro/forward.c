/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When does a load get its bytes from a store that is not yet in the cache? A chain through memory; cycles a link: `forward_same 8` (as
 * many bytes loaded as stored), `forward_narrower 4` (the lower half), `forward_upper 4` (the upper half), and `forward_wider 8` (8 bytes loaded
 * of which two stores gave 4 each: no store has them all, the load must wait for the cache).
 */
#include "micro.h"

#define FORWARD_LINKS 4096ul
#define FORWARD_UNROLLED 32

static uint64_t forward_word[8] __attribute__((aligned(64)));

#define FORWARD(name, code)                                                                                             \
    static void name(uint64_t links)                                                                                    \
    {                                                                                                                   \
        uint64_t value = 1;                                                                                             \
        for (uint64_t rounds = links / FORWARD_UNROLLED; rounds > 0; rounds--)                                          \
            __asm__ volatile(MICRO_REPEAT(FORWARD_UNROLLED, code) : "+r"(value) : "r"(forward_word) : "memory");        \
    }

FORWARD(micro_forward_same, "mov %q0, (%1)\n\tmov (%1), %q0")
FORWARD(micro_forward_narrower, "mov %q0, (%1)\n\tmov (%1), %k0")
FORWARD(micro_forward_upper, "mov %q0, (%1)\n\tmov 4(%1), %k0")
FORWARD(micro_forward_wider, "mov %k0, (%1)\n\tmov %k0, 4(%1)\n\tmov (%1), %q0")

static void micro_measure(const char *name, uint64_t param, void (*chain)(uint64_t))
{
    uint64_t samples[MICRO_SAMPLES];

    chain(FORWARD_LINKS);
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        uint64_t start = micro_now();
        chain(FORWARD_LINKS);
        samples[i] = (micro_now() - start) * 100 / FORWARD_LINKS;
    }
    micro_report(name, param, micro_median(samples, MICRO_SAMPLES));
}

void micro_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    micro_timed(true);
    micro_measure("forward_same", 8, micro_forward_same);
    micro_measure("forward_narrower", 4, micro_forward_narrower);
    micro_measure("forward_upper", 4, micro_forward_upper);
    micro_measure("forward_wider", 8, micro_forward_wider);
}
