/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache model's state, and the few instructions every L1 hit costs us (engine.c's memory hooks inline cache_hit).
 *
 * Model. Each vCPU has an L1D, an L1I and an L2 that holds whatever the L1s hold; the machine has one last-level cache that takes
 * L2 victims (non-inclusive, as Skylake-SP) and a directory with an entry per line of RAM, never full: who holds the line, who owns
 * it (E or M), when and by whom it was last modified. All caches are true LRU. An E line becomes M in the L1 without telling anyone;
 * a line that is M in the L2 is E in the L1 until it is written again.
 * Arrays hold line number + 1, shifted left by two, with the MESI state below: 0 is an empty way.
 */
#ifndef CS_CACHE_H
#define CS_CACHE_H
#include "branch.h"

enum { LINE_BITS = 6, LINE = 1 << LINE_BITS, L1_SETS = 64, L1_WAYS = 8, L2_MAX_WAYS = 16, LLC_MAX_WAYS = 16 };
enum { DTLB_SETS = 16, DTLB_WAYS = 4, ITLB_SETS = 16, ITLB_WAYS = 8, STLB_SETS = 128, STLB_WAYS = 12, STREAMS = 16 };
enum { ST_S = 1, ST_E = 2, ST_M = 3, ST_MASK = 3 };

struct tlb { uint32_t stlb[STLB_SETS][STLB_WAYS], itlb[ITLB_SETS][ITLB_WAYS]; };     /* page number + 1 */

struct caches {
    uint32_t quick[2][L1_SETS];          /* [0]: line + 1 of the set's most recent way; [1]: the same if it is M */
    uint32_t dtlb[DTLB_SETS][DTLB_WAYS];
    uint64_t wtime[L1_SETS][L1_WAYS];    /* when an M line was last written (this vCPU's clock), beside l1d */
    uint32_t l1d[L1_SETS][L1_WAYS], l1i[L1_SETS][L1_WAYS];
    uint64_t epoch;                      /* counts changes of the L1I and ITLB: see block.code_line_stamp */
    uint32_t filled;                     /* line + 1 a LOCKed block's load has just fetched: its store pays nothing more */
    struct block *prev;                  /* the block before, for branches, REP and CR3 */
    uint32_t rep_bytes, rep_acc16;
    struct { uint64_t until; uint32_t wait, left; } shadow;      /* of the last load that stalled: see overlapped() */
    struct { uint32_t page, line; } stream[STREAMS];
    struct branch *branch;
    uint32_t *l2; uint32_t l2_sets, l2_ways;
    int32_t load_latency, fill_buffers, store_hidden, fetch_hidden, l2_latency, llc_latency, dram_latency, transfer_latency, upgrade_latency, stream_line, stlb_latency, walk_latency,
        mispredict, resteer, rep_startup, rep_line16;
};

struct dir_line { uint64_t mtime; uint16_t sharers; uint8_t owner /* vCPU + 1, of E or M */, writer /* vCPU + 1 at mtime */, in_llc; uint8_t pad[3]; };
struct llc {
    struct dir_line *dir; uint64_t dir_lines;
    uint32_t *tags; uint8_t *flags; uint32_t slice_sets, slices, ways, ddio_ways;
    uint64_t writebacks;                 /* dirty lines that went to memory */
};
enum { LLC_DIRTY = 1, LLC_DDIO = 2 };

static inline uint64_t cache_now(const struct vcpu *v) { return v->clock + v->event_cycles + v->stall_total; }

/* Opens an entry of the access log; beyond ACCESS_MAX they all share the last one. */
static inline void log_access(struct access_log *log, uint64_t gpa, uint32_t size, bool write) {
    uint32_t n = log->n[write];
    if (LIKELY(n < ACCESS_MAX)) log->n[write] = n + 1; else n = ACCESS_MAX - 1;
    log->last = &log->at[write][n];
    *log->last = (struct access){ .gpa = gpa, .size = (uint8_t)size, .cause = CS_L1 };
}

void cache_slow(struct vcpu *, uint64_t gpa, uint32_t size, bool write);

static inline __attribute__((always_inline)) void cache_hit(struct vcpu *v, uint64_t gpa, uint32_t size, bool write) {
    struct caches *c = v->caches;
    uint32_t set = (uint32_t)(gpa >> LINE_BITS) & (L1_SETS - 1);
    if (v->log) log_access(v->log, gpa, size, write);
    if (LIKELY(c->quick[write][set] == (uint32_t)(gpa >> LINE_BITS) + 1
               && c->dtlb[(gpa >> 12) & (DTLB_SETS - 1)][0] == (uint32_t)(gpa >> 12) + 1
               && (gpa & (LINE - 1)) + size <= LINE)) {
        if (write) c->wtime[set][0] = cache_now(v);
        return;
    }
    cache_slow(v, gpa, size, write);
}

/* tlb.c: by physical page at this level (Unicorn's hooks give no virtual addresses); cycles, 0 on a first-level hit */
uint32_t tlb_data(struct vcpu *, uint64_t gpa);
uint32_t tlb_code(struct vcpu *, uint64_t gpa);

#define NO_MEMMOVE __asm__ volatile("")      /* keeps a short loop a loop: k is 1 as a rule, and memmove costs more */

/* Moves way k of a set to its front; ways beyond k keep their order. */
static inline void lru_front(uint32_t *set, uint32_t k, uint32_t entry) {
    for (; k; k--) { set[k] = set[k - 1]; NO_MEMMOVE; }
    set[0] = entry;
}
#endif
