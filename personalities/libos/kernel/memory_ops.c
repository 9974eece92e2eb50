/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memcpy and its kin. SSE registers are free to use: no interrupt falls into the middle of an event. */
#include "cpu.h"

typedef long long vector16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t word8 __attribute__((aligned(1), may_alias));
typedef uint32_t word4 __attribute__((aligned(1), may_alias));
typedef uint16_t word2 __attribute__((aligned(1), may_alias));

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if (size >= 16) {
        /* The last 16 bytes, overlapping what the loop did: no tail to go through byte by byte. */
        vector16 last = *(const vector16 *)(f + size - 16);
        uint8_t *last_to = t + size - 16;

        while (size > 64) {
            ((vector16 *)t)[0] = ((const vector16 *)f)[0];
            ((vector16 *)t)[1] = ((const vector16 *)f)[1];
            ((vector16 *)t)[2] = ((const vector16 *)f)[2];
            ((vector16 *)t)[3] = ((const vector16 *)f)[3];
            t += 64;
            f += 64;
            size -= 64;
        }
        while (size > 16) {
            *(vector16 *)t = *(const vector16 *)f;
            t += 16;
            f += 16;
            size -= 16;
        }
        *(vector16 *)last_to = last;
    } else if (size >= 8) {
        word8 last = *(const word8 *)(f + size - 8);

        *(word8 *)t = *(const word8 *)f;
        *(word8 *)(t + size - 8) = last;
    } else if (size >= 4) {
        word4 last = *(const word4 *)(f + size - 4);

        *(word4 *)t = *(const word4 *)f;
        *(word4 *)(t + size - 4) = last;
    } else if (size >= 2) {
        word2 last = *(const word2 *)(f + size - 2);

        *(word2 *)t = *(const word2 *)f;
        *(word2 *)(t + size - 2) = last;
    } else if (size) {
        *t = *f;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if (t == f || size == 0)
        return to;
    if (t < f) {
        while (size >= 8) {
            *(word8 *)t = *(const word8 *)f;
            t += 8;
            f += 8;
            size -= 8;
        }
        while (size--) {
            *t++ = *f++;
            compiler_barrier();         /* or the compiler makes it a call to memmove */
        }
    } else {
        while (size >= 8) {
            size -= 8;
            *(word8 *)(t + size) = *(const word8 *)(f + size);
        }
        while (size--) {
            t[size] = f[size];
            compiler_barrier();
        }
    }
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    uint8_t *t = to;
    uint64_t word = 0x0101010101010101u * (uint8_t)byte;

    if (size >= 16) {
        vector16 v = { (long long)word, (long long)word };
        uint8_t *last_to = t + size - 16;

        while (size > 16) {
            *(vector16 *)t = v;
            t += 16;
            size -= 16;
            compiler_barrier();
        }
        *(vector16 *)last_to = v;
    } else {
        while (size--) {
            *t++ = (uint8_t)byte;
            compiler_barrier();
        }
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;

    while (size >= 8) {
        uint64_t p = *(const word8 *)x, q = *(const word8 *)y;

        if (p != q) {
            p = __builtin_bswap64(p);
            q = __builtin_bswap64(q);
            return p < q ? -1 : 1;
        }
        x += 8;
        y += 8;
        size -= 8;
    }
    for (; size; size--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

void *memchr(const void *memory, int byte, size_t size)
{
    const uint8_t *at = memory;

    for (; size; size--, at++)
        if (*at == (uint8_t)byte)
            return (void *)at;
    return NULL;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length]) {
        length++;
        compiler_barrier();
    }
    return length;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t size)
{
    for (; size; size--, a++, b++)
        if (*a != *b || *a == '\0')
            return (uint8_t)*a - (uint8_t)*b;
    return 0;
}
