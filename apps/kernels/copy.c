/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memcpy of mixed sizes: `copy SIZE`, cycles for 1,024 bytes; lengths from 1 to 2 SIZE - 1, evenly, between random places of two 256 KiB buffers. */
#include "kernels.h"
#include <emmintrin.h>

#define BUFFER (256u << 10)
#define COPIES 2048u

static uint8_t *copy_from, *copy_to;
static struct { uint32_t from, to, length; } copy_list[COPIES];
static unsigned copy_count;

static inline __m128i load16(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

static inline void store16(uint8_t *at, __m128i value)
{
    _mm_storeu_si128((__m128i *)at, value);
}

/* Ends are moved by two loads that may overlap, the middle by 64 bytes at a time. */
static __attribute__((noinline)) void copy_bytes(uint8_t *to, const uint8_t *from, uint64_t length)
{
    if (length < 16) {
        if (length >= 8) {
            uint64_t first, last;
            __builtin_memcpy(&first, from, 8);
            __builtin_memcpy(&last, from + length - 8, 8);
            __builtin_memcpy(to, &first, 8);
            __builtin_memcpy(to + length - 8, &last, 8);
        } else if (length >= 4) {
            uint32_t first, last;
            __builtin_memcpy(&first, from, 4);
            __builtin_memcpy(&last, from + length - 4, 4);
            __builtin_memcpy(to, &first, 4);
            __builtin_memcpy(to + length - 4, &last, 4);
        } else if (length > 0) {
            uint8_t first = from[0], middle = from[length / 2], last = from[length - 1];
            to[0] = first;
            to[length / 2] = middle;
            to[length - 1] = last;
        }
        return;
    }
    __m128i last = load16(from + length - 16);
    uint8_t *end = to + length - 16;
    while (length > 64) {
        __m128i a = load16(from), b = load16(from + 16), c = load16(from + 32), d = load16(from + 48);
        store16(to, a);
        store16(to + 16, b);
        store16(to + 32, c);
        store16(to + 48, d);
        from += 64;
        to += 64;
        length -= 64;
    }
    for (; length > 16; length -= 16, from += 16, to += 16)
        store16(to, load16(from));
    store16(end, last);
}

static uint64_t copy_run(void)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < copy_count; i++) {
        copy_bytes(copy_to + copy_list[i].to, copy_from + copy_list[i].from, copy_list[i].length);
        bytes += copy_list[i].length;
    }
    return bytes;
}

void kernels_run(void)
{
    static const uint32_t sizes[] = { 16, 64, 256, 1024, 4096, 16384 };
    uint64_t seed = 1;

    copy_from = micro_small(2 * BUFFER);
    copy_to = copy_from + BUFFER;
    for (uint64_t i = 0; i < 2 * BUFFER; i += 8)
        *(uint64_t *)(copy_from + i) = micro_random(&seed);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        copy_count = sizes[i] <= 256 ? COPIES : COPIES * 256 / sizes[i];
        for (unsigned j = 0; j < copy_count; j++) {
            copy_list[j].length = 1 + (uint32_t)(micro_random(&seed) >> 32) % (2 * sizes[i] - 1);
            copy_list[j].from = (uint32_t)(micro_random(&seed) >> 32) % (BUFFER - copy_list[j].length);
            copy_list[j].to = (uint32_t)(micro_random(&seed) >> 32) % (BUFFER - copy_list[j].length);
        }
        kernel_measure("copy", sizes[i], copy_run, 1024);
    }
}
