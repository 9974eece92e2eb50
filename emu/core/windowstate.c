/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The window's state. Its loops end because its numbers fit one another (what is scheduled is what is booked, and cycles lie near one another): those
 * that are read are held to that. Limits come from the processor table. */
#include "state.h"
#include "window.h"

enum { SPARE = 64 };     /* cycles at the end of `booked` that nobody reaches before the past makes room */

static void now_state(struct state *s, struct now *n)
{
    STATE(s, n->issue); STATE(s, n->retire); STATE(s, n->slot); STATE(s, n->issued); STATE(s, n->retired); STATE(s, n->scheduled); STATE(s, n->swept);
    const uint64_t times[] = { n->issue, n->retire, n->slot, n->swept };
    state_below(s, times, sizeof times / sizeof *times, CLOCK_LIMIT, "a window's cycle");
    state_is(s, n->slot >= 2 * ROB_MAX, "a window's slot");
}

static void frontend_state(struct state *s, struct frontend *f)
{
    STATE(s, f->cycle); STATE(s, f->left); STATE(s, f->rate); state_bool(s, &f->legacy); STATE(s, f->cause);
    STATE(s, f->last_window); STATE(s, f->next); STATE(s, f->predecode); STATE(s, f->decode); STATE(s, f->window);
    STATE(s, f->predecoded); STATE(s, f->decoded); STATE(s, f->decoded_slots); STATE(s, f->ninsn); STATE(s, f->iq);
    for (int i = 0; i < DSB_SETS_MAX; i++) for (int k = 0; k < DSB_WAYS_MAX; k++) { STATE(s, f->dsb[i][k].key); STATE(s, f->dsb[i][k].ways); }
    const uint64_t times[] = { f->cycle, f->predecode, f->decode };
    state_below(s, times, 3, CLOCK_LIMIT, "a front end's cycle");
    state_below(s, f->iq, IQ_MAX, CLOCK_LIMIT, "a front end's cycle");
    state_is(s, f->rate && (f->cause == CS_FRONTEND || f->cause == CS_BADSPEC), "a front end's rate");
}

static void forwards_state(struct state *s, struct window *w)
{
    for (int i = 0; i < FORWARDS; i++) {
        struct forward *f = &w->forward[i];
        STATE(s, f->granule); STATE(s, f->data); STATE(s, f->commit); STATE(s, f->from); STATE(s, f->to); STATE(s, f->bucket); STATE(s, f->older);
        state_is(s, f->older < FORWARDS && f->data < CLOCK_LIMIT && (f->commit == UINT64_MAX || f->commit < CLOCK_LIMIT), "a store's cycle");
    }
    STATE(s, w->nforwards); STATE(s, w->forward_from); STATE(s, w->youngest);
    for (int i = 0; i < BUCKETS; i++) state_is(s, w->youngest[i] < FORWARDS, "the place of a store");
    state_is(s, w->nforwards - w->forward_from <= ACCESS_MAX, "the number of stores");
}

static void check_booked(struct state *s, const struct window *w)
{
    const struct now *n = &w->now;
    uint32_t booked = 0;
    if (!state_is(s, w->base <= n->swept && w->base <= n->issue, "a window that starts in the future")) return;
    for (uint64_t c = n->swept - w->base; c < BOOKED + 8; c++) booked += (uint32_t)__builtin_popcount(w->booked[c]);
    for (int c = BOOKED - SPARE; c < BOOKED + 8; c++) state_is(s, !w->booked[c], "a port that is taken too far ahead");
    state_is(s, booked == n->scheduled && booked <= ROB_MAX + BUFFER_MAX, "the number of micro-ops in a scheduler");
}

void window_state(struct state *s, struct window *w)
{
    state_begin(s, "WIND");
    now_state(s, &w->now);
    STATE(s, w->room.slots); STATE(s, w->room.loads); STATE(s, w->room.stores);
    STATE(s, w->ready); STATE(s, w->base); STATE(s, w->booked); STATE(s, w->rob); STATE(s, w->idq); STATE(s, w->load_slot); STATE(s, w->store_free); STATE(s, w->nloads); STATE(s, w->nstores);
    STATE(s, w->fill); STATE(s, w->fill_line); STATE(s, w->last_fill); STATE(s, w->filling); STATE(s, w->nfills);
    STATE(s, w->miss); STATE(s, w->walk);
    STATE(s, w->store_commit); STATE(s, w->loads_from); STATE(s, w->serial_from); STATE(s, w->divider_free); STATE(s, w->address_done); STATE(s, w->branch_done);
    state_bool(s, &w->stack_moved); state_bool(s, &w->legacy);
    forwards_state(s, w);
    STATE(s, w->spent); STATE(s, w->touched);
    frontend_state(s, &w->front);
    const uint64_t times[] = { w->base, w->last_fill, w->store_commit, w->loads_from, w->serial_from, w->divider_free, w->address_done, w->branch_done };
    state_below(s, times, sizeof times / sizeof *times, CLOCK_LIMIT, "a window's cycle");
    state_below(s, w->ready, REG_COUNT, 2 * CLOCK_LIMIT, "a register's cycle");
    state_below(s, w->rob, ROB_MAX, CLOCK_LIMIT, "a window's cycle");
    state_below(s, w->idq, IDQ_MAX, CLOCK_LIMIT, "a window's cycle");
    state_below(s, w->load_slot, BUFFER_MAX, CLOCK_LIMIT, "a load's slot");
    state_below(s, w->store_free, BUFFER_MAX, CLOCK_LIMIT, "a store's cycle");
    state_below(s, w->fill, FILL_MAX, CLOCK_LIMIT, "a fill buffer's cycle");
    state_is(s, w->nfills < UINT32_MAX && !(w->touched >> CS_NCAUSES), "a window's counts");
    if (s->loading && !s->bad) check_booked(s, w);
}
