/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TLBs by physical page: two virtual pages mapped to one frame count as one. A CR3 write empties them all (no global pages, no PCID). */
#include "cache.h"
#include <string.h>

static bool stlb_touch(struct tlb *t, uint32_t key) {
    uint32_t *set = t->stlb[(key - 1) & (STLB_SETS - 1)];
    for (uint32_t k = 0; k < STLB_WAYS; k++) if (set[k] == key) { lru_front(set, k, key); return true; }
    lru_front(set, STLB_WAYS - 1, key);
    return false;
}

static uint32_t second_level(struct vcpu *v, uint32_t key) {
    if (stlb_touch(v->tlb, key)) return (uint32_t)v->caches->stlb_latency;
    v->counters[CS_N_TLB_WALKS]++;
    return (uint32_t)v->caches->walk_latency;
}

uint32_t tlb_data(struct vcpu *v, uint64_t gpa) {
    uint32_t key = (uint32_t)(gpa >> 12) + 1, *set = v->caches->dtlb[(key - 1) & (DTLB_SETS - 1)];
    for (uint32_t k = 0; k < DTLB_WAYS; k++) if (set[k] == key) { lru_front(set, k, key); return 0; }
    lru_front(set, DTLB_WAYS - 1, key);
    return second_level(v, key);
}

uint32_t tlb_code(struct vcpu *v, uint64_t gpa) {
    uint32_t key = (uint32_t)(gpa >> 12) + 1, *set = v->tlb->itlb[(key - 1) & (ITLB_SETS - 1)];
    for (uint32_t k = 0; k < ITLB_WAYS; k++) if (set[k] == key) { lru_front(set, k, key); return 0; }
    lru_front(set, ITLB_WAYS - 1, key);
    v->caches->epoch++;
    return second_level(v, key);
}

void tlb_flush(struct vcpu *v) {
    if (!v->tlb) return;
    memset(v->tlb, 0, sizeof *v->tlb);
    memset(v->caches->dtlb, 0, sizeof v->caches->dtlb);
    v->caches->epoch++;
}
