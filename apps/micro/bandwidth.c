/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many bytes a cycle move? bandwidth [SIZE...]: `read SIZE`, `write SIZE`, `copy SIZE` with 16-byte loads and stores, `rep_copy SIZE` with REP
 * MOVSB, each over SIZE bytes again and again; in bytes a cycle. Copies of SIZE bytes read half of them and write the other half, and
 * count both, as STREAM does.
 */
#include "micro.h"

#define BANDWIDTH_MOST (64ul << 20)
#define BANDWIDTH_STRETCH (4ul << 20)       /* of what does not fit any cache, each sample takes another stretch */
#define BANDWIDTH_LEAST (64ul << 10)
#define BANDWIDTH_UNROLLED 256ul            /* bytes */

static void micro_read(uint8_t *at, uint64_t bytes)
{
    for (const uint8_t *end = at + bytes; at < end; at += BANDWIDTH_UNROLLED)
        __asm__ volatile(".set at, 0\n\t" MICRO_REPEAT(16, "movdqa at(%0), %%xmm0\n\t.set at, at + 16") : : "r"(at) : "memory");
}

static void micro_write(uint8_t *at, uint64_t bytes)
{
    for (const uint8_t *end = at + bytes; at < end; at += BANDWIDTH_UNROLLED)
        __asm__ volatile(".set at, 0\n\t" MICRO_REPEAT(16, "movdqa %%xmm0, at(%0)\n\t.set at, at + 16") : : "r"(at) : "memory");
}

static void micro_copy(uint8_t *at, uint64_t bytes)
{
    uint8_t *to = at + bytes / 2;
    for (const uint8_t *end = to; at < end; at += BANDWIDTH_UNROLLED, to += BANDWIDTH_UNROLLED)
        __asm__ volatile(".set at, 0\n\t" MICRO_REPEAT(16, "movdqa at(%0), %%xmm0\n\tmovdqa %%xmm0, at(%1)\n\t.set at, at + 16")
                         : : "r"(at), "r"(to) : "memory");
}

static void micro_rep_copy(uint8_t *at, uint64_t bytes)
{
    uint8_t *to = at + bytes / 2;
    uint64_t count = bytes / 2;
    __asm__ volatile("rep movsb" : "+S"(at), "+D"(to), "+c"(count) : : "memory");
}

static void micro_measure(const char *name, void (*move)(uint8_t *, uint64_t), uint8_t *memory, uint64_t bytes)
{
    uint64_t samples[MICRO_SAMPLES], stretch = bytes < BANDWIDTH_STRETCH * 2 ? bytes : BANDWIDTH_STRETCH;
    uint64_t times = stretch < BANDWIDTH_LEAST ? BANDWIDTH_LEAST / stretch : 1;

    for (uint64_t at = 0; at < bytes && stretch == bytes; at += stretch)
        move(memory + at, stretch);         /* warm */
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        uint8_t *at = memory + i * stretch % bytes;
        uint64_t start = micro_now();
        for (uint64_t j = 0; j < times; j++)
            move(at, stretch);
        samples[i] = times * stretch * 100 / (micro_now() - start);
    }
    micro_report(name, bytes, micro_median(samples, MICRO_SAMPLES));
}

void micro_main(int argc, char **argv)
{
    static const uint32_t usual[] = { 16 << 10, 256 << 10, 4 << 20, 64 << 20 };
    uint8_t *memory = micro_large(BANDWIDTH_MOST);
    unsigned count = argc > 1 ? (unsigned)argc - 1 : sizeof usual / sizeof usual[0];

    for (unsigned i = 0; i < count; i++) {
        uint64_t bytes = argc > 1 ? micro_argument(argv[i + 1], BANDWIDTH_MOST) : usual[i];
        if (bytes % (2 * BANDWIDTH_UNROLLED) != 0 || (bytes > BANDWIDTH_STRETCH && bytes % BANDWIDTH_STRETCH != 0))
            micro_fail("a size is a multiple of 512 bytes and, above 4M, of 4M");
        micro_timed(false);
        for (uint64_t at = 0; at < bytes; at += MICRO_PAGE)
            memory[at] = 1;                 /* it is there */
        micro_timed(true);
        micro_measure("read", micro_read, memory, bytes);
        micro_measure("write", micro_write, memory, bytes);
        micro_measure("copy", micro_copy, memory, bytes);
        micro_measure("rep_copy", micro_rep_copy, memory, bytes);
    }
}
