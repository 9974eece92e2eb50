/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory and strings. Word loops rather than REP: an emulator runs REP one iteration a block. */
#include "defs.h"

typedef u64 __attribute__((may_alias, aligned(1))) word;

void *memcpy(void *d, const void *s, size_t n)
{
    u8 *dp = d;
    const u8 *sp = s;
    for (; n >= 32; n -= 32, dp += 32, sp += 32) {
        u64 a = *(const word *)sp, b = *(const word *)(sp + 8), c = *(const word *)(sp + 16), e = *(const word *)(sp + 24);
        *(word *)dp = a;
        *(word *)(dp + 8) = b;
        *(word *)(dp + 16) = c;
        *(word *)(dp + 24) = e;
    }
    for (; n >= 8; n -= 8, dp += 8, sp += 8)
        *(word *)dp = *(const word *)sp;
    while (n--)
        *dp++ = *sp++;
    return d;
}

void *memmove(void *d, const void *s, size_t n)
{
    u8 *dp = d;
    const u8 *sp = s;
    if (dp <= sp || dp >= sp + n)
        return memcpy(d, s, n);
    while (n--)
        dp[n] = sp[n];
    return d;
}

void *memset(void *d, int c, size_t n)
{
    u8 *dp = d;
    u64 w = 0x0101010101010101ul * (u8)c;
    for (; n >= 64; n -= 64, dp += 64) {
        *(word *)dp = w, *(word *)(dp + 8) = w, *(word *)(dp + 16) = w, *(word *)(dp + 24) = w;
        *(word *)(dp + 32) = w, *(word *)(dp + 40) = w, *(word *)(dp + 48) = w, *(word *)(dp + 56) = w;
    }
    for (; n >= 8; n -= 8, dp += 8)
        *(word *)dp = w;
    while (n--)
        *dp++ = (u8)c;
    return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++) {
        if (*a != *b)
            return (u8)*a - (u8)*b;
        if (!*a)
            break;
    }
    return 0;
}

void strlcpy(char *d, const char *s, size_t n)
{
    if (!n)
        return;
    while (--n && *s)
        *d++ = *s++;
    *d = 0;
}

u64 strtou64(const char *s, const char **end)
{
    u64 v = 0, base = 10;
    if (s[0] == '0' && (s[1] | 32) == 'x')
        base = 16, s += 2;
    for (;; s++) {
        u64 digit = *s >= '0' && *s <= '9' ? (u64)(*s - '0')
                  : (*s | 32) >= 'a' && (*s | 32) <= 'f' ? (u64)((*s | 32) - 'a' + 10) : 99;
        if (digit >= base)
            break;
        v = v * base + digit;
    }
    if (end)
        *end = s;
    return v;
}
