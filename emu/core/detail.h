/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The detailed level's seam with the engine: detail.c. */
#ifndef CS_DETAIL_H
#define CS_DETAIL_H
#include "internal.h"

struct uops;
int detail_set(struct vcpu *, bool on);                   /* keeps its state while off: predictors and micro-op cache stay warm */
void detail_free(struct vcpu *);
void detail_tables_free(struct machine *);
const struct uops *detail_uops(struct machine *, const uint8_t *code, uint32_t size, uint32_t flags, uint64_t va, uint64_t hash);   /* NULL: world_fail has said why */
void detail_block(struct vcpu *, struct block *, uint32_t from, uint32_t to);   /* instructions [from, to) ran: their cycles go to the block, and the clock moves */
void detail_event(struct vcpu *);                         /* an event was delivered, between blocks */
#endif
