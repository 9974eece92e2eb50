/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long does a load take whose address the load before it gave? chase [SIZE...]: a random cycle through every line of SIZE bytes (4K
 * to 256M), in 2 MiB pages where the system has them, so that hardly any of it is the TLB. `chase SIZE` cycles a load;
 * `chase_indexed SIZE` the same with an index register in the address, while it fits the L1.
 *
 * Above 16 MiB the cycle has 262,144 lines, one at a random place in each equal part of the memory: a cache that does not hold so
 * many never sees one again in time, and building a cycle of millions is slow under emulation.
 */
#include "micro.h"

#define CHASE_MOST (256ul << 20)
#define CHASE_L1_BYTES (32ul << 10)
#define CHASE_MOST_LINES (256ul << 10)
#define CHASE_LEAST_LOADS 2048ul
#define CHASE_MOST_LOADS (32ul << 10)
#define CHASE_UNROLLED 64

static uint64_t chase_part;     /* lines in a part of the memory, of which the cycle visits one */

static uint64_t micro_lines(uint64_t i)
{
    uint64_t mixed = (i + 1) * 0x9E3779B97F4A7C15ull;
    return (i * chase_part + (mixed >> 32) % chase_part) * MICRO_LINE;
}

static const uint8_t *micro_chase(const uint8_t *at, uint64_t loads)
{
    for (uint64_t rounds = loads / CHASE_UNROLLED; rounds > 0; rounds--)
        __asm__ volatile(MICRO_REPEAT(CHASE_UNROLLED, "mov (%0), %0") : "+r"(at) : : "memory");
    return at;
}

static const uint8_t *micro_chase_indexed(const uint8_t *at, uint64_t loads)
{
    for (uint64_t rounds = loads / CHASE_UNROLLED; rounds > 0; rounds--)
        __asm__ volatile(MICRO_REPEAT(CHASE_UNROLLED, "mov (%0,%1), %0") : "+r"(at) : "r"(0ul) : "memory");
    return at;
}

static void micro_measure(const char *name, const uint8_t *(*chase)(const uint8_t *, uint64_t), const uint8_t *at, uint64_t bytes, uint64_t lines)
{
    uint64_t loads = lines < CHASE_LEAST_LOADS ? CHASE_LEAST_LOADS : lines, samples[MICRO_SAMPLES];

    at = chase(at, loads);
    if (loads > CHASE_MOST_LOADS)
        loads = CHASE_MOST_LOADS;
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        uint64_t start = micro_now();
        at = chase(at, loads);
        samples[i] = (micro_now() - start) * 100 / loads;
    }
    micro_report(name, bytes, micro_median(samples, MICRO_SAMPLES));
}

static void micro_size(uint8_t *memory, uint64_t bytes)
{
    uint64_t lines = bytes / MICRO_LINE;

    if (lines < 2)
        micro_fail("a cycle has two lines at least: give 128 bytes or more");
    chase_part = (lines + CHASE_MOST_LINES - 1) / CHASE_MOST_LINES;
    lines /= chase_part;
    micro_timed(false);
    micro_cycle(memory, lines, micro_lines, bytes);
    micro_timed(true);
    micro_measure("chase", micro_chase, memory + micro_lines(0), bytes, lines);
    if (bytes <= CHASE_L1_BYTES)
        micro_measure("chase_indexed", micro_chase_indexed, memory, bytes, lines);
}

void micro_main(int argc, char **argv)
{
    uint64_t most = 0;

    for (int i = 1; i < argc; i++)
        if (micro_argument(argv[i], CHASE_MOST) > most)
            most = micro_argument(argv[i], CHASE_MOST);

    uint8_t *memory = micro_large(most ? most : CHASE_MOST);

    for (int i = 1; i < argc; i++)
        micro_size(memory, micro_argument(argv[i], CHASE_MOST));
    for (uint64_t bytes = 4096; argc <= 1 && bytes <= CHASE_MOST; bytes *= 2) {
        micro_size(memory, bytes);
        if (bytes < CHASE_MOST_LINES * MICRO_LINE)
            micro_size(memory, bytes + bytes / 2);
    }
}
