/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The detailed level: where a vCPU's blocks meet its window. A block is placed when it closes, with the accesses its hooks logged; what the
 * retire clock moved is the block's, by cause. Whatever else moves the vCPU's clock (idling, events, devices) finds the window drained.
 */
#include "detail.h"
#include "follow.h"
#include "state.h"
#include "window.h"
#include <stdlib.h>
#include <string.h>

/* ---- a vCPU enters and leaves the level ---- */
struct detail { struct window window; struct access_log log; uint64_t rep_line[2] /* of the string instruction's last load and store */; };

int detail_set(struct vcpu *v, bool on)
{
    if (on && !v->detail) {
        if (!(v->detail = aligned_alloc(64, (sizeof *v->detail + 63) & ~(size_t)63))) return world_fail(v->machine->world, "There is no memory for vCPU %d's window.", v->index);
        window_init(&v->detail->window, v->machine->uarch);
        v->detail->log.n[0] = v->detail->log.n[1] = 0;
        v->detail->rep_line[0] = v->detail->rep_line[1] = 0;
    }
    if (on && !v->window) window_start(&v->detail->window, v->clock);
    v->window = on ? &v->detail->window : NULL;
    v->log = on ? &v->detail->log : NULL;
    v->refetch = false;
    v->fetch_wait = v->resteer = 0;
    return 0;
}

void detail_free(struct vcpu *v)
{
    free(v->detail);
    v->detail = NULL;
    v->window = NULL;
    v->log = NULL;
}

/* One that was at the level once keeps its window. The log is empty but for what was read or written since the last block closed. */
void detail_state(struct state *s, struct vcpu *v)
{
    bool has = v->detail != NULL, on = v->window != NULL;
    state_begin(s, "DETL");
    state_bool(s, &has);
    state_is(s, has || !on, "a vCPU at the detailed level without a window");
    if (!has || s->bad) return;
    if (s->loading && (detail_set(v, true) || (!on && detail_set(v, false)))) { s->bad = true; return; }
    struct detail *d = v->detail;
    state_bool(s, &v->refetch); STATE(s, v->fetch_wait); STATE(s, v->resteer);
    STATE(s, d->rep_line);
    for (int k = 0; k < 2; k++) {
        d->log.n[k] = (uint32_t)state_count(s, d->log.n[k], ACCESS_MAX, sizeof(struct access), "the length of an access log");
        state_bytes(s, d->log.at[k], d->log.n[k] * sizeof(struct access));
        for (uint32_t i = 0; i < d->log.n[k]; i++) state_is(s, d->log.at[k][i].cause < CS_NCAUSES, "an access's cause");
    }
    window_state(s, &d->window);
}

/* ---- blocks ---- */

/* What the retire clock moved becomes whole cycles by cause; fractions wait for the next block. */
static void give(struct vcpu *v, struct window *w, struct block *b)
{
    uint64_t left = w->now.retire - v->clock;
    int64_t rate = w->limit.retire_width;
    struct request *mine = follow_worker(v, b);
    bool spins = b->flags & BLK_SPIN;
    v->clock = w->now.retire;
    for (uint32_t causes = w->touched; causes && left; causes &= causes - 1) {
        int c = __builtin_ctz(causes);
        if (w->spent[c] >= rate) {
            uint64_t n = rate == 4 ? (uint64_t)w->spent[c] >> 2 : (uint64_t)w->spent[c] / (uint64_t)rate;
            if (n > left) n = left;
            b->cycles[c] += n;
            if (mine) mine->cycles[spins ? CS_LOCK_SPIN : c] += n;
            w->spent[c] -= (int64_t)n * rate;
            left -= n;
        }
        if (w->spent[c] < rate) w->touched &= ~(1u << c) | 1u << CS_RETIRING;      /* no whole cycle: not until more comes to it */
    }
    b->cycles[CS_RETIRING] += left;
    if (mine) mine->cycles[spins ? CS_LOCK_SPIN : CS_RETIRING] += left;
    w->spent[CS_RETIRING] -= (int64_t)left * rate;
}

/* A string instruction moves lines, not elements: its microcode takes slots once a line, and rows of the table say how long that takes (cache.c).
 * True: this iteration touches nothing but the lines of the one before it, and hits. */
static bool same_lines(struct detail *d, const struct access_log *log)
{
    bool same = log->n[0] + log->n[1] > 0;
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < log->n[k]; i++) {
            const struct access *a = &log->at[k][i];
            uint64_t line = (a->gpa >> 6) + 1;
            if (line != d->rep_line[k] || a->latency + a->walk) same = false;
            d->rep_line[k] = line;
        }
    return same;
}

void detail_block(struct vcpu *v, struct block *b, uint32_t from, uint32_t to)
{
    struct window *w = v->window;
    struct access_log *log = v->log;
    const struct uops *u = b->uops;
    if (v->clock > w->now.retire) window_start(w, v->clock);
    if (UNLIKELY(b->flags & BLK_REP) && b->rep_bytes && b->ninsn == 1 && same_lines(v->detail, log)) {
        log->n[0] = log->n[1] = 0;
        return;
    }
    if (!from) {
        w->legacy = frontend_enter(w, u, b->va, b->size, v->refetch, v->fetch_wait + v->resteer);
        v->refetch = false;
        v->fetch_wait = v->resteer = 0;
    }
    window_place(w, u, from, to, b->va, (struct accesses){ log->at[0], log->at[0] + log->n[0], log->at[1], log->at[1] + log->n[1] }, w->legacy);
    log->n[0] = log->n[1] = 0;
    give(v, w, b);
}

/* What an interrupt's or exception's delivery read and wrote: no micro-ops of ours, but what it read late takes time. */
void detail_event(struct vcpu *v)
{
    for (uint32_t i = 0; i < v->log->n[0]; i++) {
        const struct access *a = &v->log->at[0][i];
        v->stall[a->cause] += a->latency;
        v->stall[CS_TLB] += a->walk;
        v->stall_total += a->latency + a->walk;
    }
    v->log->n[0] = v->log->n[1] = 0;
}
