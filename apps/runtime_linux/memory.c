/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The four functions a compiler may call. Plain loops: nothing hot goes through them. Compile with -fno-tree-loop-distribute-patterns. */
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    while (length-- > 0)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t length)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t <= f) {
        while (length-- > 0)
            *t++ = *f++;
    } else {
        while (length-- > 0)
            t[length] = f[length];
    }
    return to;
}

void *memset(void *to, int value, size_t length)
{
    unsigned char *t = to;
    while (length-- > 0)
        *t++ = (unsigned char)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
    const unsigned char *x = a, *y = b;
    for (; length > 0; length--, x++, y++) {
        if (*x != *y)
            return *x - *y;
    }
    return 0;
}
