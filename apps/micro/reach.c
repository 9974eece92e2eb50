/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far does the TLB reach? reach [PAGES...]: a random cycle through one line of each of PAGES pages. `reach_small PAGES` cycles a load
 * through 4 KiB pages, `reach_large PAGES` the same lines' twins in 2 MiB pages: the difference is what the TLB costs, the caches being the same.
 *
 * The lines lie so that the sets of the L1 and of an L2 of 1,024 sets fill evenly.
 */
#include "micro.h"

#define REACH_MOST 4096ul
#define REACH_LOADS 16384ul
#define REACH_UNROLLED 64

static uint64_t micro_line_of_page(uint64_t i)
{
    return i * MICRO_PAGE + (i + i / 64) % 64 * MICRO_LINE;
}

static const uint8_t *micro_chase(const uint8_t *at, uint64_t loads)
{
    for (uint64_t rounds = loads / REACH_UNROLLED; rounds > 0; rounds--)
        __asm__ volatile(MICRO_REPEAT(REACH_UNROLLED, "mov (%0), %0") : "+r"(at) : : "memory");
    return at;
}

static void micro_measure(const char *name, uint8_t *memory, uint64_t pages)
{
    uint64_t samples[MICRO_SAMPLES];
    const uint8_t *at = memory;

    micro_timed(false);
    micro_cycle(memory, pages, micro_line_of_page, pages);
    micro_timed(true);
    at = micro_chase(at, 2 * pages + REACH_UNROLLED);
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        uint64_t start = micro_now();
        at = micro_chase(at, REACH_LOADS);
        samples[i] = (micro_now() - start) * 100 / REACH_LOADS;
    }
    micro_report(name, pages, micro_median(samples, MICRO_SAMPLES));
}

void micro_main(int argc, char **argv)
{
    static const uint16_t usual[] = { 8, 16, 32, 48, 64, 72, 80, 96, 128, 256, 512, 768, 1024, 1280, 1536, 1664, 1792, 2048, 3072, 4096 };
    uint8_t *large = micro_large(REACH_MOST * MICRO_PAGE), *small = micro_small(REACH_MOST * MICRO_PAGE);
    unsigned count = argc > 1 ? (unsigned)argc - 1 : sizeof usual / sizeof usual[0];

    for (unsigned i = 0; i < count; i++) {
        uint64_t pages = argc > 1 ? micro_argument(argv[i + 1], REACH_MOST) : usual[i];
        micro_measure("reach_large", large, pages);
        micro_measure("reach_small", small, pages);
    }
}
