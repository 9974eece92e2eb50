/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Branch prediction, per block: gshare for directions, a return stack, a history-hashed target table for indirect jumps and calls.
 * Direct targets are always known. Sizes are modelled, not any product's: Skylake's are not published. */
#include "cache.h"
#include <stdlib.h>

enum { COUNTER_BITS = 14, HISTORY_BITS = 10, TARGET_BITS = 9, RETURNS = 16 };
struct branch {
    uint8_t counter[1 << COUNTER_BITS];      /* 0..3, taken from 2 up */
    uint32_t target[1 << TARGET_BITS];       /* low half of the address */
    uint64_t returns[RETURNS]; uint32_t top, history;
};

struct branch *branch_new(void) { return calloc(1, sizeof(struct branch)); }
void branch_free(struct branch *s) { free(s); }

bool branch_missed(struct branch *s, const struct block *p, const struct block *b) {
    uint64_t end = p->va + p->size;
    uint32_t pc = (uint32_t)(end ^ end >> 13), history = s->history & ((1u << HISTORY_BITS) - 1);
    bool missed = false;
    if (p->flags & BLK_COND) {
        bool taken = b->va != end;
        uint8_t *c = &s->counter[(pc ^ history << (COUNTER_BITS - HISTORY_BITS)) & ((1u << COUNTER_BITS) - 1)];
        missed = (*c >= 2) != taken;
        if (taken) *c += *c < 3; else *c -= *c > 0;
        s->history = s->history << 1 | taken;
        return missed;
    }
    if (p->flags & BLK_INDIRECT) {
        uint32_t *t = &s->target[(pc ^ history) & ((1u << TARGET_BITS) - 1)];
        missed = *t != (uint32_t)b->va;
        *t = (uint32_t)b->va;
        s->history = s->history << 2 | ((uint32_t)b->va >> 4 & 3);
    }
    if (p->flags & BLK_CALL) s->returns[s->top++ % RETURNS] = end;
    if (p->flags & BLK_RET) missed = s->returns[--s->top % RETURNS] != b->va;
    return missed;
}
