/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory system's state. The directory's sharers, owners and "in the LLC" follow from what the caches hold, and are worked out from that when
 * read: so a line that somebody is said to hold is there to be found. */
#include "cache.h"
#include "machine.h"
#include "state.h"
#include "uarch.h"

static bool key_ok(const struct llc *l, uint32_t key) { return key && key <= l->dir_lines; }

/* A set's lines are of that set, and different. */
static bool set_ok(const struct llc *l, const uint32_t *set, uint32_t ways, uint32_t mask, uint32_t number, bool plain)
{
    for (uint32_t k = 0; k < ways; k++) {
        if (!set[k]) continue;
        uint32_t key = plain ? set[k] : ENTRY_KEY(set[k]);
        if (!key_ok(l, key) || ((key - 1) & mask) != number || (!plain && !(set[k] & ST_MASK))) return false;
        for (uint32_t i = 0; i < k; i++) if ((plain ? set[i] : ENTRY_KEY(set[i])) == key) return false;
    }
    return true;
}

static void ways_state(struct state *s, const struct llc *l, struct ways *w, bool plain, const char *what)
{
    state_bytes(s, w->at, (size_t)w->sets * w->ways * sizeof *w->at);
    for (uint32_t i = 0; s->loading && i < w->sets && !s->bad; i++) state_is(s, set_ok(l, w->at + (size_t)i * w->ways, w->ways, w->sets - 1, i, plain), what);
}

static void level_state(struct state *s, struct tlb_level *t)
{
    state_bytes(s, t->small, (size_t)t->small_sets * t->small_ways * sizeof *t->small);
    state_bytes(s, t->large, (size_t)t->large_sets * t->large_ways * sizeof *t->large);
    state_bytes(s, t->huge, t->huge_ways * sizeof *t->huge);
}

static void tlb_state(struct state *s, struct tlb *t)        /* tags only: nothing is found by them but their like */
{
    level_state(s, &t->data);
    level_state(s, &t->code);
    state_bytes(s, t->second, (size_t)t->second_sets * t->second_ways * sizeof *t->second);
    if (s->loading) tlb_restored(t);
    state_bytes(s, t->second_huge, (size_t)t->second_huge_sets * t->second_huge_ways * sizeof *t->second_huge);
    for (int i = 0; i < 3; i++) state_bytes(s, t->structure[i], t->structure_ways[i] * sizeof **t->structure);
    STATE(s, t->cr);
}

/* What the L1D holds the L2 holds; `quick` knows a set's first way, or nothing. */
static void check_l1(struct state *s, struct caches *c)
{
    for (uint32_t i = 0; i < c->l1d.sets && !s->bad; i++) {
        const uint32_t *e = c->l1d.at + (size_t)i * c->l1d.ways;
        for (uint32_t k = 0; k < c->l1d.ways; k++) if (e[k]) state_is(s, l2_find(c, ENTRY_KEY(e[k])) != NULL, "a line in an L1 that is not in the L2");
        state_is(s, (!c->quick[0][i] || c->quick[0][i] == ENTRY_KEY(e[0])) && (!c->quick[1][i] || (c->quick[1][i] == ENTRY_KEY(e[0]) && (e[0] & ST_MASK) == ST_M)), "an L1's first way");
    }
    for (uint32_t i = c->l1d.sets; i < L1_MAX_SETS; i++) state_is(s, !c->quick[0][i] && !c->quick[1][i], "an L1's first way");
}

static void vcpu_caches_state(struct state *s, struct vcpu *v)
{
    struct caches *c = v->caches;
    const struct llc *l = v->machine->llc;
    state_begin(s, "CACH");
    STATE(s, c->quick); STATE(s, c->front); STATE(s, c->written);
    state_bytes(s, c->wtime, (size_t)c->l1d.sets * c->l1d.ways * sizeof *c->wtime);
    ways_state(s, l, &c->l1d, false, "an L1D's set");
    ways_state(s, l, &c->l1i, true, "an L1I's set");
    ways_state(s, l, &c->l2, false, "an L2's set");
    STATE(s, c->flight); STATE(s, c->arrives); STATE(s, c->stream); STATE(s, c->under_way); STATE(s, c->next_flight);
    state_is(s, c->next_flight < (c->prefetches ? (uint32_t)c->prefetches : 1u), "the number of a prefetch");
    STATE(s, c->missed); STATE(s, c->epoch); STATE(s, c->filled); STATE(s, c->filled_at); STATE(s, c->later);
    STATE(s, c->rep_bytes); STATE(s, c->rep_acc16); STATE(s, c->shadow.until); STATE(s, c->shadow.wait); STATE(s, c->shadow.left);
    uint32_t prev = block_number(v, c->prev);
    STATE(s, prev);
    if (s->loading) {
        c->prev = block_numbered(v, prev);
        state_is(s, !prev || c->prev, "the number of a block record");
        if (!s->bad) check_l1(s, c);
    }
    tlb_state(s, v->tlb);
    branch_state(s, c->branch);
}

/* The line behind `line` that is RAM: there is a hole below 4 GiB. */
static uint64_t next_line(const struct machine *m, uint64_t line) { return line + 1 == memory_low(m) >> LINE_BITS ? FOUR_GIB >> LINE_BITS : line + 1; }

/* When and by whom lines were last written: those that were. */
static void times_state(struct state *s, struct machine *m)
{
    struct llc *l = m->llc;
    uint64_t n = 0, line = 0;
    for (uint64_t i = 0; !s->loading && i < l->dir_lines; i = next_line(m, i)) n += l->dir[i].mtime || l->dir[i].writer;
    n = state_count(s, n, l->dir_lines, 13, "the number of lines");
    for (uint64_t k = 0; k < n && !s->bad; k++, line = next_line(m, line)) {
        while (!s->loading && !l->dir[line].mtime && !l->dir[line].writer) line = next_line(m, line);
        uint32_t number = (uint32_t)line;
        STATE(s, number);
        if (!state_is(s, number < l->dir_lines && number >= line, "the number of a line")) return;
        line = number;
        STATE(s, l->dir[line].mtime); STATE(s, l->dir[line].writer);
        state_is(s, l->dir[line].mtime < CLOCK_LIMIT && l->dir[line].writer <= m->ncpus, "when a line was written");
    }
}

static void derive(struct state *s, struct machine *m)
{
    struct llc *l = m->llc;
    for (uint64_t i = 0; i < (uint64_t)l->tags.sets * l->slices; i++)
        for (uint32_t k = 0; k < l->tags.ways; k++) {
            uint32_t e = l->tags.at[i * l->tags.ways + k];
            if (!e) continue;
            if (!state_is(s, key_ok(l, ENTRY_KEY(e)) && llc_index(l, ENTRY_KEY(e)) == i && !l->dir[ENTRY_KEY(e) - 1].in_llc, "a set of the LLC")) return;
            l->dir[ENTRY_KEY(e) - 1].in_llc = 1;
        }
    for (int n = 0; n < m->ncpus; n++) {
        const struct ways *w = &m->vcpu[n]->caches->l2;
        for (size_t i = 0; i < (size_t)w->sets * w->ways; i++) {
            if (!w->at[i]) continue;
            struct dir_line *d = &l->dir[ENTRY_KEY(w->at[i]) - 1];
            bool owns = (w->at[i] & ST_MASK) != ST_S;
            if (!state_is(s, !d->owner && !(owns && d->sharers) && (!l->inclusive || d->in_llc), "a line that two vCPUs own, or that an inclusive LLC lacks")) return;
            d->sharers |= (uint16_t)(1u << n);
            if (owns) d->owner = (uint8_t)(n + 1);
        }
    }
}

void caches_state(struct state *s, struct machine *m)
{
    bool has = m->llc != NULL;
    state_begin(s, "MEMS");
    state_bool(s, &has);
    if (!state_is(s, has == (m->llc != NULL), "caches of another processor table") || !has) return;
    struct llc *l = m->llc;
    times_state(s, m);
    state_bytes(s, l->tags.at, (size_t)l->tags.sets * l->slices * l->tags.ways * sizeof *l->tags.at);
    STATE(s, l->writebacks);
    for (uint32_t i = 0; i < l->dram.channels; i++) { STATE(s, l->dram.channel[i].at); STATE(s, l->dram.channel[i].backlog16); }
    state_bytes(s, l->dram.row, (size_t)l->dram.channels * l->dram.banks * sizeof *l->dram.row);
    for (int i = 0; i < m->ncpus && !s->bad; i++) vcpu_caches_state(s, m->vcpu[i]);
    if (s->loading && !s->bad) derive(s, m);
}
