/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes out, on the first vCPU and before any other runs, the instructions of features that this machine or its user does without. */
#include "alternative.h"
#include "defs.h"

struct alternative { u64 at, len, feature, other, other_len; };
extern const struct alternative _altinstr_start[], _altinstr_end[];

static void alternative_fill(u8 *at, u64 n)
{
    static const u8 nops[][8] = { { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0x00 }, { 0x0f, 0x1f, 0x44, 0x00, 0x00 },
        { 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 }, { 0x0f, 0x1f, 0x80, 0, 0, 0, 0 }, { 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 } };
    while (n) {
        u64 k = MIN(n, ARRAY_SIZE(nops));
        memcpy(at, nops[k - 1], k);
        at += k;
        n -= k;
    }
}

/* has: by ALT_*. While the boot page tables stand, in which the image can be written. */
void alternative_apply(const bool *has)
{
    u32 r[4];
    for (const struct alternative *a = _altinstr_start; a < _altinstr_end; a++) {
        if (has[a->feature])
            continue;
        memcpy((u8 *)a->at, (const u8 *)a->other, a->other_len);
        alternative_fill((u8 *)a->at + a->other_len, a->len - a->other_len);
    }
    cpuid(0, 0, r); /* serialises */
}
