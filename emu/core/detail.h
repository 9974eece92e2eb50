/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The detailed level's seam with the engine: detail.c. */
#ifndef CS_DETAIL_H
#define CS_DETAIL_H
#include "internal.h"

int detail_set(struct vcpu *, bool on);                   /* keeps its state while off: predictors and micro-op cache stay warm */
void detail_free(struct vcpu *);
void detail_block(struct vcpu *, struct block *, uint32_t from, uint32_t to);   /* instructions [from, to) ran: their cycles go to the block, and the clock moves */
static inline void detail_expect(const struct block *b)  /* it begins: what its end will want of the host's memory comes meanwhile */
{
    for (int i = 0; i < 4; i++) __builtin_prefetch((const char *)b->uops + 64 * i);
    __builtin_prefetch(&b->cycles[0], 1);
    __builtin_prefetch(&b->cycles[CS_NCAUSES / 2], 1);
}
void detail_event(struct vcpu *);                         /* an event was delivered, between blocks */
#endif
