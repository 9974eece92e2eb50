/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TLBs by virtual page and page size, paging-structure caches, and page walks on the guest's own tables, whose loads go through the caches.
 *
 * Entries hold no translation (Unicorn translates), only that there is one. Order of use: a look-up that `front` answers, because the slot's last
 * page is asked for again, refreshes nothing; all others do. There are no PCIDs: a CR3 write drops all but global pages.
 */
#include "cache.h"
#include "uarch.h"
#include <stdlib.h>
#include <string.h>

enum { LARGE_BITS = 9, HUGE_BITS = 18 };              /* 4 KiB pages in one, as bits */
#define E_GLOBAL 1u                                   /* of a first-level entry: page + 1, shifted left by one */
enum { S_VALID = 1, S_GLOBAL = 2, S_LARGE = 4, S_TAG = 3 };      /* of a second-level entry: the page without its set's bits, shifted left by three */

struct size { uint32_t bits; bool global; };

static inline void to_front(uint64_t *set, uint32_t k, uint64_t entry) { for (; k; k--) { set[k] = set[k - 1]; NO_MEMMOVE; } set[0] = entry; }

static inline bool touch(uint64_t *set, uint32_t ways, uint64_t page) {
    for (uint32_t k = 0; k < ways; k++) if (set[k] >> 1 == page + 1) { to_front(set, k, set[k]); return true; }
    return false;
}

static inline uint64_t *first_set(struct tlb_level *t, uint64_t page, uint32_t bits, uint32_t *ways) {
    if (!bits) { *ways = t->small_ways; return t->small + (page & (t->small_sets - 1)) * t->small_ways; }
    if (bits == LARGE_BITS) { *ways = t->large_ways; return t->large + (page >> LARGE_BITS & (t->large_sets - 1)) * t->large_ways; }
    *ways = t->huge_ways;
    return t->huge;
}

static inline bool first_hit(struct tlb_level *t, uint64_t page) {
    uint32_t ways;
    uint64_t *set = first_set(t, page, 0, &ways);
    if (touch(set, ways, page)) return true;
    set = first_set(t, page, LARGE_BITS, &ways);
    return touch(set, ways, page >> LARGE_BITS) || (t->huge[0] && touch(t->huge, t->huge_ways, page >> HUGE_BITS));
}

static void first_fill(struct tlb_level *t, uint64_t page, struct size s) {
    uint32_t ways;
    uint64_t *set = first_set(t, page, s.bits, &ways), old = set[ways - 1];
    to_front(set, ways - 1, ((page >> s.bits) + 1) << 1 | s.global);
    if (!old || !t->data_of) return;
    old = (old >> 1) - 1;                             /* the page that is gone must not be answered by the front */
    uint32_t from = s.bits ? 0 : (uint32_t)old & (FRONT - 1), to = s.bits ? FRONT : from + 1;
    struct caches *c = t->data_of;
    for (uint32_t i = from; i < to; i++) if (c->front[i] && (c->front[i] >> 12 & TLB_PAGES) >> s.bits == old) front_clear(c, i);
}

/* ---- second level ---- */
static uint32_t *second_set(struct tlb *t, uint64_t page) { return t->second + (page & (t->second_sets - 1)) * t->second_ways; }

static bool second_touch(struct tlb *t, uint64_t page, uint32_t large, bool *global) {
    uint32_t *set = second_set(t, page), tag = (uint32_t)(page >> t->second_bits) << S_TAG | large | S_VALID;
    for (uint32_t k = 0; k < t->second_ways; k++)
        if ((set[k] & ~(uint32_t)S_GLOBAL) == tag) { *global = set[k] & S_GLOBAL; lru_front(set, k, set[k]); return true; }
    return false;
}

static uint64_t *second_huge(struct tlb *t, uint64_t page) { return t->second_huge + (page & (t->second_huge_sets - 1)) * t->second_huge_ways; }

static bool second_hit(struct tlb *t, uint64_t page, struct size *s) {
    s->bits = 0;
    if (second_touch(t, page, 0, &s->global)) return true;
    s->bits = LARGE_BITS;
    if (second_touch(t, page >> LARGE_BITS, S_LARGE, &s->global)) return true;
    s->bits = HUGE_BITS;
    uint64_t *set = second_huge(t, page >> HUGE_BITS);
    if (!t->second_huge_ways || !touch(set, t->second_huge_ways, page >> HUGE_BITS)) return false;
    s->global = set[0] & E_GLOBAL;
    return true;
}

static void second_fill(struct tlb *t, uint64_t page, struct size s) {
    page >>= s.bits;
    if (s.bits == HUGE_BITS) {
        if (t->second_huge_ways) to_front(second_huge(t, page), t->second_huge_ways - 1, (page + 1) << 1 | s.global);
        return;
    }
    lru_front(second_set(t, page), t->second_ways - 1, (uint32_t)(page >> t->second_bits) << S_TAG | (s.bits ? S_LARGE : 0) | (s.global ? S_GLOBAL : 0) | S_VALID);
    if (!s.global) t->second_local[(page & (t->second_sets - 1)) >> 6] |= 1ull << (page & (t->second_sets - 1) & 63);
}

/* ---- walks: one load for every level that no paging-structure cache answers ---- */
static uint32_t walk_cycles(struct vcpu *v, uint64_t page, const struct walk *w, uint64_t now) {
    struct tlb *t = v->tlb;
    uint32_t from = 0, cycles = (uint32_t)v->caches->walk_start;
    for (uint32_t i = 0; w->four_levels && i < 3; i++) {                   /* 0: PDEs. Those that lead to a table, not to a page */
        uint32_t level = 3 - i;                                            /* the entry number it leads to */
        if (level < w->n && touch(t->structure[i], t->structure_ways[i], page >> LARGE_BITS * (i + 1))) { from = level; break; }
    }
    for (uint32_t i = from; i < w->n; i++) {
        uint64_t line = w->entry[i] >> LINE_BITS;
        if (line < v->machine->llc->dir_lines) cycles += line_data(v, KEY(line), false, false, now + cycles).latency;
    }
    for (uint32_t i = 0; w->four_levels && i < 3; i++) {
        uint32_t level = 3 - i;
        if (level < w->n && level > from && t->structure_ways[i]) to_front(t->structure[i], t->structure_ways[i] - 1, ((page >> LARGE_BITS * (i + 1)) + 1) << 1);
    }
    return cycles;
}

static uint32_t translate(struct vcpu *v, struct tlb_level *first, uint64_t gva) {
    struct tlb *t = v->tlb;
    uint64_t page = gva >> 12 & TLB_PAGES;
    if (first == &t->code) {
        if (tlb_code_leads(t, gva)) return 0;
        t->code_last = 0;
    }
    if (first_hit(first, page)) { if (first == &t->code) t->code_last = page + 1; return 0; }
    uint32_t cycles = (uint32_t)v->caches->stlb_latency;
    struct size s;
    if (!second_hit(t, page, &s)) {
        struct walk w;
        if (!vcpu_walk_entries(v, gva, &w) || !w.n) return 0;              /* no paging; or a page that is gone, but Unicorn still has it */
        v->counters[CS_N_TLB_WALKS]++;
        cycles += walk_cycles(v, page, &w, cache_now(v) + v->caches->later + cycles);
        s = (struct size){ w.shift >= 30 ? HUGE_BITS : w.shift >= 21 ? LARGE_BITS : 0, w.global };
        second_fill(t, page, s);
    }
    first_fill(first, page, s);
    if (first == &t->code) { v->caches->epoch++; t->code_last = page + 1; }
    return cycles;
}

uint32_t tlb_data(struct vcpu *v, uint64_t gva) {
    uint32_t cycles = translate(v, &v->tlb->data, gva);
    front_clear(v->caches, (gva >> 12) & (FRONT - 1));
    v->caches->front[(gva >> 12) & (FRONT - 1)] = FRONT_TAG(gva);
    return cycles;
}

uint32_t tlb_code(struct vcpu *v, uint64_t gva) { return translate(v, &v->tlb->code, gva); }

/* ---- what drops entries ---- */
static void drop(uint64_t *set, uint64_t n, bool all) { for (uint64_t i = 0; i < n; i++) if (all || !(set[i] & E_GLOBAL)) set[i] = 0; }

static void compact(uint64_t *set, uint32_t ways) {   /* empty ways last */
    uint32_t n = 0;
    for (uint32_t k = 0; k < ways; k++) if (set[k]) set[n++] = set[k];
    while (n < ways) set[n++] = 0;
}

static void compact_all(uint64_t *at, uint32_t sets, uint32_t ways) { for (uint32_t i = 0; i < sets && ways; i++) compact(at + (uint64_t)i * ways, ways); }

static void level_flush(struct tlb_level *t, bool all) {
    drop(t->small, (uint64_t)t->small_sets * t->small_ways, all); compact_all(t->small, t->small_sets, t->small_ways);
    drop(t->large, (uint64_t)t->large_sets * t->large_ways, all); compact_all(t->large, t->large_sets, t->large_ways);
    drop(t->huge, t->huge_ways, all); compact_all(t->huge, 1, t->huge_ways);
}

static void forget_walks(struct vcpu *v) {
    for (int i = 0; i < 3; i++) memset(v->tlb->structure[i], 0, v->tlb->structure_ways[i] * sizeof(uint64_t));
    for (uint32_t i = 0; i < FRONT; i++) front_clear(v->caches, i);
    v->tlb->code_last = 0;
    v->caches->epoch++;
}

static void second_flush(struct tlb *t, bool all) {
    if (all) memset(t->second, 0, (size_t)t->second_sets * t->second_ways * sizeof *t->second);
    for (uint32_t word = 0; word <= (t->second_sets - 1) / 64; word++) {
        for (uint64_t left = all ? 0 : t->second_local[word]; left; left &= left - 1) {
            uint32_t *set = t->second + (size_t)(64 * word + (uint32_t)__builtin_ctzll(left)) * t->second_ways, n = 0;
            for (uint32_t k = 0; k < t->second_ways; k++) if (set[k] & S_GLOBAL) set[n++] = set[k];
            while (n < t->second_ways) set[n++] = 0;
        }
        t->second_local[word] = 0;
    }
}

static void flush(struct vcpu *v, bool all) {
    struct tlb *t = v->tlb;
    level_flush(&t->data, all); level_flush(&t->code, all);
    second_flush(t, all);
    drop(t->second_huge, (uint64_t)t->second_huge_sets * t->second_huge_ways, all); compact_all(t->second_huge, t->second_huge_sets, t->second_huge_ways);
    forget_walks(v);
}

static void drop_page(uint64_t *set, uint32_t ways, uint64_t page) {
    for (uint32_t k = 0; k < ways; k++) if (set[k] >> 1 == page + 1) set[k] = 0;
    compact(set, ways);
}

void tlb_drop(struct vcpu *v, uint64_t gva) {
    struct tlb *t = v->tlb;
    if (!t) return;
    uint64_t page = gva >> 12 & TLB_PAGES;
    struct tlb_level *levels[] = { &t->data, &t->code };
    for (int i = 0; i < 2; i++)
        for (uint32_t bits = 0, ways; bits <= HUGE_BITS; bits += LARGE_BITS) {
            uint64_t *set = first_set(levels[i], page, bits, &ways);
            if (ways) drop_page(set, ways, page >> bits);
        }
    for (uint32_t bits = 0; bits <= LARGE_BITS; bits += LARGE_BITS) {
        uint32_t *set = second_set(t, page >> bits), tag = (uint32_t)(page >> bits >> t->second_bits) << S_TAG | (bits ? S_LARGE : 0) | S_VALID, n = 0;
        for (uint32_t k = 0; k < t->second_ways; k++) if (set[k] && (set[k] & ~(uint32_t)S_GLOBAL) != tag) set[n++] = set[k];
        while (n < t->second_ways) set[n++] = 0;
    }
    if (t->second_huge_ways) drop_page(second_huge(t, page >> HUGE_BITS), t->second_huge_ways, page >> HUGE_BITS);
    forget_walks(v);
}

void tlb_restored(struct tlb *t) { memset(t->second_local, 0xff, (t->second_sets / 64 + 1) * sizeof *t->second_local); }

void tlb_flush(struct vcpu *v, bool all) { if (v->tlb) flush(v, all); }

void tlb_changed(struct vcpu *v, const struct block *b) {
    uint64_t gva, cr[3];
    struct tlb *t = v->tlb;
    if (b->flags & BLK_CR3) { flush(v, false); vcpu_paging(v, cr); }
    else if (vcpu_invlpg(v, b, &gva)) { tlb_drop(v, gva); return; }
    else { vcpu_paging(v, cr); if (cr[0] != t->cr[0] || cr[2] != t->cr[2]) flush(v, true); }      /* paging on or off, PGE, PAE */
    memcpy(t->cr, cr, sizeof cr);
}

/* Back at a timed level: if the guest went elsewhere in the meantime, what we know is of no use. */
void tlb_resume(struct vcpu *v) {
    uint64_t cr[3];
    if (!v->tlb) return;
    vcpu_paging(v, cr);
    if (memcmp(cr, v->tlb->cr, sizeof cr)) flush(v, true);
    memcpy(v->tlb->cr, cr, sizeof cr);
}

/* ---- life ---- */
static int level_new(struct tlb_level *t, const int64_t *r, int entries, int ways, int large, int large_ways, int huge) {
    t->small_ways = (uint32_t)r[ways]; t->small_sets = (uint32_t)(r[entries] / r[ways]);
    t->large_ways = (uint32_t)r[large_ways]; t->large_sets = (uint32_t)(r[large] / r[large_ways]); t->huge_ways = huge < 0 ? t->large_ways : (uint32_t)r[huge];
    t->small = calloc((size_t)r[entries], sizeof *t->small);
    t->large = calloc((size_t)r[large], sizeof *t->large);
    t->huge = calloc(t->huge_ways, sizeof *t->huge);
    return t->small && t->large && t->huge ? 0 : -1;
}

int tlb_new(struct vcpu *v) {
    const int64_t *r = v->machine->uarch->row;
    struct tlb *t = v->tlb = calloc(1, sizeof *t);
    if (!t) return -1;
    int bad = level_new(&t->data, r, UA_dtlb_entries, UA_dtlb_ways, UA_dtlb_2m_entries, UA_dtlb_2m_ways, UA_dtlb_1g_entries);
    bad |= level_new(&t->code, r, UA_itlb_entries, UA_itlb_ways, UA_itlb_2m_entries, UA_itlb_2m_ways, -1);
    t->data.data_of = v->caches;
    t->second_ways = (uint32_t)r[UA_stlb_ways]; t->second_sets = (uint32_t)(r[UA_stlb_entries] / r[UA_stlb_ways]);
    t->second_bits = (uint32_t)__builtin_ctz(t->second_sets);
    t->second_huge_ways = r[UA_stlb_1g_entries] ? (uint32_t)r[UA_stlb_1g_ways] : 0;
    t->second_huge_sets = t->second_huge_ways ? (uint32_t)(r[UA_stlb_1g_entries] / r[UA_stlb_1g_ways]) : 1;
    t->second = calloc((size_t)r[UA_stlb_entries], sizeof *t->second);
    t->second_local = calloc(t->second_sets / 64 + 1, sizeof *t->second_local);
    t->second_huge = calloc((size_t)t->second_huge_sets * t->second_huge_ways + 1, sizeof *t->second_huge);
    const int structures[3] = { UA_pde_cache, UA_pdpte_cache, UA_pml4e_cache };
    for (int i = 0; i < 3; i++) {
        t->structure_ways[i] = (uint32_t)r[structures[i]];
        t->structure[i] = calloc(t->structure_ways[i] + 1, sizeof **t->structure);
        bad |= !t->structure[i];
    }
    return bad || !t->second || !t->second_local || !t->second_huge ? -1 : 0;
}

void tlb_free(struct vcpu *v) {
    struct tlb *t = v->tlb;
    if (!t) return;
    struct tlb_level *levels[] = { &t->data, &t->code };
    for (int i = 0; i < 2; i++) { free(levels[i]->small); free(levels[i]->large); free(levels[i]->huge); }
    for (int i = 0; i < 3; i++) free(t->structure[i]);
    free(t->second); free(t->second_local); free(t->second_huge); free(t);
    v->tlb = NULL;
}
