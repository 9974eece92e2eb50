/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instruction side: what a block waits for its code, for the branch that led to it, and what REP string instructions cost by line. */
#include "cache.h"
#include "detail.h"

/* A line that the L1I lacks. */
static struct answer code_miss(struct vcpu *v, uint32_t *set, uint32_t key, uint64_t now) {
    struct caches *c = v->caches;
    uint32_t k, wait;
    v->counters[CS_N_L1I_MISS]++;
    uint32_t *l2 = l2_find(c, key);
    struct answer a = { .latency = (uint32_t)c->l2_latency, .cause = CS_L2, .looked_up = true };
    if (l2) {
        l2_front(c, l2);
        if ((wait = flight_wait(c, key, now, &a.cause)) > a.latency) a.latency = wait;
    } else {
        a = line_fetch(v, key, false, now);
        a.looked_up = true;
    }
    for (k = 0; k < c->l1i.ways - 1 && set[k]; k++) { }
    lru_front(set, k, key);
    c->epoch++;
    return a;
}

/* At the detailed level a block's lines are asked for together, and the slowest counts. */
static inline __attribute__((always_inline)) void code_page(struct vcpu *v, uint64_t gva, uint64_t first, uint64_t last) {
    struct caches *c = v->caches;
    uint32_t walk = tlb_code_leads(v->tlb, gva) ? 0 : tlb_code(v, gva), slowest = 0;
    if (walk && !v->log) charge(v, CS_TLB, walk);
    for (uint64_t line = first; line <= last; line++) {
        uint32_t *set = ways_of(&c->l1i, KEY(line)), k;
        if (*set == KEY(line)) continue;
        if (LIKELY((k = way_with(set, c->l1i.ways, KEY(line), 0)) < c->l1i.ways)) { lru_front(set, k, KEY(line)); continue; }
        uint64_t now = cache_now(v);
        struct answer a = code_miss(v, set, KEY(line), now);
        if (a.latency > slowest) slowest = a.latency;
        if (!v->log && a.latency > (uint32_t)c->fetch_hidden) charge(v, CS_FRONTEND, a.latency - (uint32_t)c->fetch_hidden);
        if (c->streams) prefetch_train(v, KEY(line), now);
        if (c->l2_adjacent && a.memory) prefetch_pair(v, KEY(line), now);
    }
    if (v->log) v->fetch_wait += walk + slowest;
}

/* The microcode of a string instruction: at its start, and for each line. At the detailed level its micro-ops come that much later, the cycle in
 * which they come being one of it, so that misses overlap. */
static void rep_cost(struct vcpu *v, uint64_t cycles) {
    if (v->log) v->fetch_wait += (uint32_t)(cycles - !!cycles);
    else charge(v, CS_CORE_BOUND, cycles);
}

static void rep_iteration(struct vcpu *v, const struct block *b, bool goes_on) {
    struct caches *c = v->caches;
    if (!goes_on) { rep_cost(v, (uint64_t)c->rep_startup); c->rep_bytes = 0; }
    c->rep_bytes += b->rep_bytes;
    if (c->rep_bytes < LINE) return;
    c->rep_bytes -= LINE;
    c->rep_acc16 += (uint32_t)c->rep_line16;
    rep_cost(v, c->rep_acc16 >> 4);
    c->rep_acc16 &= 15;
}

static __attribute__((noinline)) void branch_pay(struct vcpu *v, enum branch_answer answer) {
    struct caches *c = v->caches;
    if (answer == BRANCH_MISSED) {
        v->counters[CS_N_MISPREDICTS]++;
        if (v->log) v->refetch = true; else charge(v, CS_BADSPEC, (uint64_t)c->mispredict);
    } else {
        v->counters[CS_N_RESTEERS]++;
        if (v->log) v->resteer = (uint32_t)c->resteer;
    }
}

void cache_diverted(struct vcpu *v, bool whole, uint64_t next) {
    struct caches *c = v->caches;
    if (whole && !v->diverted && c && c->l2.at && c->prev && c->prev->flags & BLK_BRANCH)
        branch_next(c->branch, c->prev->flags, &c->prev->site, c->prev->va + c->prev->size, next);     /* resolved, but no one fetches there now */
    v->diverted = true;
}

/* Its last instruction reaches into another page, which lies anywhere. */
static __attribute__((noinline)) void code_pages(struct vcpu *v, const struct block *b, uint64_t first) {
    uint64_t other = (b->va | 4095) + 1, there, lines = v->machine->llc->dir_lines;
    code_page(v, b->va, first, first | 63);
    if (vcpu_walk(v, other, &there) && (there + (b->va + b->size - other) - 1) >> LINE_BITS < lines)
        code_page(v, other, there >> LINE_BITS, (there + (b->va + b->size - other) - 1) >> LINE_BITS);
}

/* Its code is looked up anew: something has left the L1I or the ITLB, or has come, since it was last. */
static __attribute__((noinline)) void code_lines(struct vcpu *v, struct block *b) {
    uint64_t first = b->code_gpa >> LINE_BITS, last = (b->code_gpa + (b->size ? b->size - 1 : 0)) >> LINE_BITS;
    if (UNLIKELY(last >= v->machine->llc->dir_lines)) return;
    if (LIKELY(last >> (12 - LINE_BITS) == first >> (12 - LINE_BITS))) code_page(v, b->va, first, last);
    else code_pages(v, b, first);
    b->code_line_stamp = v->caches->epoch;
}

/* Most blocks follow a branch, which went as foreseen, and their code is known to be there. */
void cache_fetch(struct vcpu *v, struct block *b) {
    struct caches *c = v->caches;
    const struct block *p = c->prev;
    if (v->log) detail_expect(b);
    c->prev = b; c->filled = 0; c->later = 0;
    if (LIKELY(p && !v->diverted && p->flags & BLK_BRANCH)) {
        enum branch_answer answer = branch_next(c->branch, p->flags, &p->site, p->va + p->size, b->va);
        if (UNLIKELY(answer != BRANCH_RIGHT)) branch_pay(v, answer);
    }
    if (UNLIKELY((p && p->flags & (BLK_CR3 | BLK_TRANSLATION)) || b->flags & BLK_REP)) {
        if (p && p->flags & (BLK_CR3 | BLK_TRANSLATION)) tlb_changed(v, p);
        if (b->flags & BLK_REP) rep_iteration(v, b, p && p->flags & BLK_REP && p->va + p->size == b->va + b->size && !v->diverted);
    }
    v->diverted = false;
    if (UNLIKELY(b->code_line_stamp != c->epoch)) code_lines(v, b);
}
