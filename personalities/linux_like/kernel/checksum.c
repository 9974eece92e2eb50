/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Internet checksum, RFC 1071. */
#include "defs.h"
#include "net.h"

typedef u32 __attribute__((may_alias, aligned(1))) u32a;
typedef u16 __attribute__((may_alias, aligned(1))) u16a;

static u32 csum_reduce(u64 v)
{
    v = (v & 0xffffffff) + (v >> 32);
    return (u32)v + (u32)(v >> 32);
}

u32 csum_partial(const void *p, u32 n, u32 sum)
{
    u64 v = sum;
    const u8 *b = p;
    for (; n >= 16; n -= 16, b += 16)
        v += (u64)*(const u32a *)b + *(const u32a *)(b + 4) + *(const u32a *)(b + 8) + *(const u32a *)(b + 12);
    for (; n >= 4; n -= 4, b += 4)
        v += *(const u32a *)b;
    if (n >= 2)
        v += *(const u16a *)b, b += 2, n -= 2;
    if (n)
        v += *b;
    return csum_reduce(v);
}

u16 csum_fold(u32 sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~sum;
}

/* len in host order; all else as in the packet. */
u32 csum_pseudo(u32 saddr, u32 daddr, u32 len, u8 proto)
{
    return csum_reduce((u64)saddr + daddr + htons((u16)len) + ((u32)proto << 8));
}
