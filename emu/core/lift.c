/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What if a bound were not there: the window's limits and the block's micro-ops changed so that it costs nothing, all else as it is. */
#include "recorder.h"

enum { PLENTY = 1 << 20 };

void predict_lift(struct window *w, struct uops *b, uint32_t lift)
{
    if (lift & CS_LIFT_PREDECODE) w->limit.predecode_width = PLENTY;
    if (lift & CS_LIFT_DECODE) { w->limit.decoders = w->limit.decode_slots = PLENTY; w->limit.ms_switch = 0; }
    if (lift & CS_LIFT_UOP_CACHE) { w->front.rate = w->front.left = UINT32_MAX; w->limit.dsb_width = PLENTY; }
    if (lift & CS_LIFT_ISSUE) { w->limit.width *= 2; w->limit.retire_width *= 2; }
    if (lift & CS_LIFT_WINDOW) { w->limit.rob = ROB_MAX; w->limit.scheduler = ROB_MAX; w->limit.loads = w->limit.stores = BUFFER_MAX; }
    for (uint32_t i = 0; i < b->ninsn; i++) {
        struct uop_insn *in = &b->insn[i];
        if (lift & CS_LIFT_PREDECODE) in->length = in->opcode = 0;
        if (lift & (CS_LIFT_LCP | CS_LIFT_PREDECODE)) in->lcp = false;
        if (lift & CS_LIFT_DECODE) in->complex = in->microcoded = false;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        struct uop *u = &b->at[i];
        if (lift & CS_LIFT_UOP_CACHE) u->flags &= ~(uint32_t)UOP_WINDOW;
        if (lift & CS_LIFT_SERIAL && u->flags & (UOP_SERIAL | UOP_LOCKED)) { u->flags &= UOP_SLOT; u->cost = 0; u->kind = KIND_NONE; }
        if (lift & CS_LIFT_PORTS && u->ports) u->ports = UINT16_MAX;
        if (lift & CS_LIFT_DIVIDER) u->hold = 0;
        if (lift & CS_LIFT_REGISTERS) for (int s = 0; s < UOP_SOURCES; s++) if (u->src[s] < REG_SINK) u->src[s] = DREG_NONE;
    }
}
