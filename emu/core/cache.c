/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Caches and coherence. See cache.h for the model; tests/test_emu_core_cache.py holds a plain Python referee of this file.
 *
 * Causality: a vCPU's clock may run behind another's by up to a quantum. A line that another vCPU modified at t reaches us no
 * earlier than t plus the transfer, whatever our own clock says; the wait is charged to CS_COHERENCE.
 */
#include "cache.h"
#include "uarch.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KEY(line) ((uint32_t)(line) + 1)
#define ENTRY_KEY(e) ((e) >> 2)

/* ---- the last-level cache: L2 victims and what devices write ---- */
static uint32_t llc_set(const struct llc *l, uint32_t key) {
    uint32_t line = key - 1, hash = line * 2654435761u;
    uint32_t slice = (uint32_t)((uint64_t)hash * l->slices >> 32);
    return slice * l->slice_sets + line % l->slice_sets;
}

static void llc_front(struct llc *l, uint32_t set, uint32_t k, uint32_t key, uint8_t flags) {
    uint32_t *t = l->tags + (size_t)set * l->ways; uint8_t *f = l->flags + (size_t)set * l->ways;
    for (; k; k--) { t[k] = t[k - 1]; f[k] = f[k - 1]; }
    t[0] = key; f[0] = flags;
}

static uint8_t llc_remove(struct llc *l, uint32_t key) {     /* its flags; the freed way becomes the oldest */
    uint32_t set = llc_set(l, key), k = 0;
    uint32_t *t = l->tags + (size_t)set * l->ways; uint8_t *f = l->flags + (size_t)set * l->ways;
    while (t[k] != key) k++;
    uint8_t flags = f[k];
    for (; k + 1 < l->ways; k++) { t[k] = t[k + 1]; f[k] = f[k + 1]; }
    t[k] = 0; f[k] = 0;
    l->dir[key - 1].in_llc = 0;
    return flags;
}

static void llc_insert(struct llc *l, uint32_t key, uint8_t flags) {
    uint32_t set = llc_set(l, key), k, last = l->ways - 1, ddio = 0;
    uint32_t *t = l->tags + (size_t)set * l->ways; uint8_t *f = l->flags + (size_t)set * l->ways;
    if (l->dir[key - 1].in_llc) {
        for (k = 0; t[k] != key; k++) { }
        llc_front(l, set, k, key, f[k] | (flags & LLC_DIRTY));
        return;
    }
    k = last;
    if (flags & LLC_DDIO) {               /* devices may fill ddio_ways of a set: then they evict their own oldest */
        uint32_t oldest = last;
        for (uint32_t i = 0; i < l->ways; i++) if (t[i] && f[i] & LLC_DDIO) { ddio++; oldest = i; }
        if (ddio >= l->ddio_ways) k = oldest;
    }
    if (t[k]) l->dir[t[k] - 1].in_llc = 0;
    l->writebacks += f[k] & LLC_DIRTY;
    llc_front(l, set, k, key, flags);
    l->dir[key - 1].in_llc = 1;
}

/* ---- one vCPU's private caches ---- */
static void quick_set(struct caches *c, uint32_t set) {
    uint32_t e = c->l1d[set][0];
    c->quick[0][set] = ENTRY_KEY(e);
    c->quick[1][set] = (e & ST_MASK) == ST_M ? ENTRY_KEY(e) : 0;
}

static uint32_t *l2_set(struct caches *c, uint32_t key) { return c->l2 + (size_t)((key - 1) & (c->l2_sets - 1)) * c->l2_ways; }

static uint32_t *l2_find(struct caches *c, uint32_t key) {
    uint32_t *s = l2_set(c, key);
    for (uint32_t k = 0; k < c->l2_ways; k++) if (ENTRY_KEY(s[k]) == key) return &s[k];
    return NULL;
}

static void l1_front(struct caches *c, uint32_t set, uint32_t k, uint32_t entry, uint64_t wtime) {
    for (; k; k--) { c->l1d[set][k] = c->l1d[set][k - 1]; c->wtime[set][k] = c->wtime[set][k - 1]; NO_MEMMOVE; }
    c->l1d[set][0] = entry; c->wtime[set][0] = wtime;
    quick_set(c, set);
}

static void stamp(struct dir_line *d, int vcpu, uint64_t time) { d->writer = (uint8_t)(vcpu + 1); d->mtime = time; }

static void l1_fill(struct vcpu *v, uint32_t key, uint32_t state, uint64_t wtime) {
    struct caches *c = v->caches;
    uint32_t set = (key - 1) & (L1_SETS - 1), k = 0;
    while (k < L1_WAYS - 1 && c->l1d[set][k]) k++;
    uint32_t old = c->l1d[set][k];
    if ((old & ST_MASK) == ST_M) {
        *l2_find(c, ENTRY_KEY(old)) |= ST_M;
        stamp(&v->machine->llc->dir[ENTRY_KEY(old) - 1], v->index, c->wtime[set][k]);
    }
    l1_front(c, set, k, key << 2 | state, wtime);
}

/* Takes a line out of the L1s (keep: leaves it there, shared). Returns its true state, and stamps the directory if it was M. */
static uint32_t l1_yield(struct vcpu *v, uint32_t key, uint32_t state, bool keep) {
    struct caches *c = v->caches;
    uint32_t set = (key - 1) & (L1_SETS - 1);
    for (uint32_t k = 0; k < L1_WAYS; k++) {
        uint32_t e = c->l1d[set][k];
        if (ENTRY_KEY(e) != key) continue;
        if ((e & ST_MASK) == ST_M) { stamp(&v->machine->llc->dir[key - 1], v->index, c->wtime[set][k]); state = ST_M; }
        if (keep) c->l1d[set][k] = key << 2 | ST_S;
        else {
            for (; k + 1 < L1_WAYS; k++) { c->l1d[set][k] = c->l1d[set][k + 1]; c->wtime[set][k] = c->wtime[set][k + 1]; }
            c->l1d[set][k] = 0; c->wtime[set][k] = 0;
        }
        quick_set(c, set);
        break;
    }
    if (keep) return state;
    for (uint32_t k = 0; k < L1_WAYS; k++)
        if (c->l1i[set][k] == key) {
            for (; k + 1 < L1_WAYS; k++) c->l1i[set][k] = c->l1i[set][k + 1];
            c->l1i[set][k] = 0;
            c->epoch++;
        }
    return state;
}

static void l2_fill(struct vcpu *v, uint32_t key, uint32_t state) {
    struct caches *c = v->caches; struct llc *l = v->machine->llc;
    uint32_t *s = l2_set(c, key), k = 0;
    while (k < c->l2_ways - 1 && s[k]) k++;
    if (s[k]) {
        uint32_t old = ENTRY_KEY(s[k]), st = l1_yield(v, old, s[k] & ST_MASK, false);
        struct dir_line *d = &l->dir[old - 1];
        d->sharers &= (uint16_t)~(1u << v->index);
        if (d->owner == v->index + 1) d->owner = 0;
        if (!d->sharers) llc_insert(l, old, st == ST_M ? LLC_DIRTY : 0);
    }
    lru_front(s, k, key << 2 | state);
}

/* Another vCPU loses the line (or keeps it shared). Returns the state it had. */
static uint32_t snoop(struct machine *m, int vcpu, uint32_t key, bool keep) {
    struct vcpu *o = m->vcpu[vcpu]; struct caches *c = o->caches;
    uint32_t *s = l2_set(c, key), k = 0;
    while (ENTRY_KEY(s[k]) != key) k++;
    uint32_t state = l1_yield(o, key, s[k] & ST_MASK, keep);
    if (keep) { s[k] = key << 2 | ST_S; return state; }
    for (; k + 1 < c->l2_ways; k++) s[k] = s[k + 1];
    s[k] = 0;
    return state;
}

static void invalidate_others(struct machine *m, struct dir_line *d, uint32_t key, int keep_vcpu) {
    for (int i = 0; i < m->ncpus; i++) if (i != keep_vcpu && d->sharers & 1u << i) snoop(m, i, key, false);
    d->sharers &= keep_vcpu >= 0 ? (uint16_t)(1u << keep_vcpu) : 0;
}

/* ---- a line comes in ---- */
struct answer { uint32_t latency; int cause; uint32_t state; bool streamed; };

static bool streaming(struct caches *c, uint32_t line) {      /* the line next to the page's last miss: the L2 prefetcher has it under way */
    uint32_t page = line >> 6, i = page & (STREAMS - 1);
    bool yes = c->stream[i].page == page + 1 && (line == c->stream[i].line + 1 || line + 1 == c->stream[i].line);
    c->stream[i].page = page + 1; c->stream[i].line = line;
    return yes;
}

static struct answer l2_miss(struct vcpu *v, uint32_t key, bool write) {
    struct machine *m = v->machine; struct llc *l = m->llc; struct caches *c = v->caches;
    struct dir_line *d = &l->dir[key - 1];
    struct answer a = { 0, 0, write ? ST_M : ST_E, streaming(c, key - 1) };
    v->counters[CS_N_L2_MISS]++;
    if (d->sharers) a.streamed = false;
    if (d->owner) {                                            /* E or M elsewhere */
        bool dirty = snoop(m, d->owner - 1, key, !write) == ST_M;
        if (write) d->sharers = 0;
        else { llc_insert(l, key, dirty ? LLC_DIRTY : 0); a.state = ST_S; }
        d->owner = 0;
        a.latency = (uint32_t)c->transfer_latency; a.cause = CS_COHERENCE;
        v->counters[CS_N_TRANSFERS]++;
    } else if (d->in_llc) {
        a.latency = (uint32_t)c->llc_latency; a.cause = CS_LLC;
        if (write) { invalidate_others(m, d, key, -1); llc_remove(l, key); }
        else if (d->sharers) a.state = ST_S;
        else if (llc_remove(l, key) & LLC_DIRTY) a.state = ST_M;
    } else if (d->sharers) {                                   /* clean, elsewhere, not in the LLC: forwarded */
        if (write) invalidate_others(m, d, key, -1); else a.state = ST_S;
        a.latency = (uint32_t)c->transfer_latency; a.cause = CS_COHERENCE;
        v->counters[CS_N_TRANSFERS]++;
    } else {
        a.latency = (uint32_t)c->dram_latency; a.cause = CS_DRAM;
        v->counters[CS_N_LLC_MISS]++;
    }
    if (a.streamed && a.latency > (uint32_t)c->stream_line) a.latency = (uint32_t)c->stream_line;
    d->sharers |= (uint16_t)(1u << v->index);
    d->owner = a.state == ST_S ? 0 : (uint8_t)(v->index + 1);
    l2_fill(v, key, a.state);
    return a;
}

/* We hold the line shared and want to write it. */
static void upgrade(struct vcpu *v, uint32_t key) {
    struct llc *l = v->machine->llc; struct dir_line *d = &l->dir[key - 1];
    invalidate_others(v->machine, d, key, v->index);
    if (d->in_llc) llc_remove(l, key);
    d->owner = (uint8_t)(v->index + 1);
    v->counters[CS_N_UPGRADES]++;
}

static void note(struct vcpu *v, int cause, uint64_t latency) {       /* the detailed level: into the access under way; the slowest of its lines answers */
    struct access *a = v->log->last;
    if (latency > UINT32_MAX / 2) latency = UINT32_MAX / 2;
    if ((uint32_t)latency > a->latency) { a->latency = (uint32_t)latency; a->cause = (uint8_t)cause; }
}

static void charge(struct vcpu *v, int cause, uint64_t cycles) {
    if (cycles > UINT32_MAX / 2) cycles = UINT32_MAX / 2;
    v->stall[cause] += (uint32_t)cycles; v->stall_total += (uint32_t)cycles;
}

/* A load misses that was issued in the shadow of another: no more than `hidden` cycles of work behind it, so both were under way together,
 * and its wait is over when the first one's is. The shadow holds as many misses as there are fill buffers. */
static uint32_t overlapped(struct caches *c, uint64_t now, uint32_t wait, uint32_t hidden) {
    if (now < c->shadow.until && c->shadow.left) {
        c->shadow.left--;
        return wait > c->shadow.wait ? wait - c->shadow.wait : 0;
    }
    c->shadow.until = now + wait + hidden; c->shadow.wait = wait; c->shadow.left = (uint32_t)c->fill_buffers - 1;
    return wait;
}

/* One line, data side, past the fast path. */
static void data_line(struct vcpu *v, uint32_t key, bool write) {
    struct caches *c = v->caches;
    uint32_t set = (key - 1) & (L1_SETS - 1), k, state;
    for (k = 0; k < L1_WAYS; k++) if (ENTRY_KEY(c->l1d[set][k]) == key) break;
    bool locked = v->cur && v->cur->flags & BLK_LOCKED;
    struct answer a = { 0, CS_L2, 0, false };
    if (LIKELY(k < L1_WAYS)) {
        state = c->l1d[set][k] & ST_MASK;
        if (!write || state != ST_S) {
            l1_front(c, set, k, key << 2 | (write ? ST_M : state), write ? cache_now(v) : c->wtime[set][k]);
            return;
        }
    } else {
        v->counters[CS_N_L1D_MISS]++;
        uint32_t *e = l2_find(c, key);
        if (e) {
            uint32_t *s = l2_set(c, key);
            state = *e & ST_MASK;
            lru_front(s, (uint32_t)(e - s), *e);
            a.latency = (uint32_t)c->l2_latency;
        } else {
            a = l2_miss(v, key, write);
            state = a.state;
            if (locked && !write) c->filled = key;
        }
    }
    if (write && state == ST_S) {                              /* upgrade; free if this LOCKed instruction's load has just paid */
        upgrade(v, key);
        l2_find(c, key)[0] = key << 2 | ST_M;
        if (!(locked && c->filled == key) && a.latency < (uint32_t)c->upgrade_latency) { a.latency = (uint32_t)c->upgrade_latency; a.cause = CS_COHERENCE; }
    }
    uint64_t now = cache_now(v), hidden = a.streamed || locked || v->log ? 0 : (uint64_t)(write ? c->store_hidden : v->cur ? v->cur->load_hidden : 0);
    uint64_t wait = a.latency > hidden ? a.latency - hidden : 0, done = now + a.latency;
    if (wait && !write && !locked && !a.streamed && !v->log) {
        uint64_t alone = wait;
        wait = overlapped(c, now, (uint32_t)wait, (uint32_t)hidden);
        done -= alone - wait;
    }
    const struct dir_line *d = &v->machine->llc->dir[key - 1];
    if (d->writer && d->writer != v->index + 1 && d->mtime + (uint64_t)c->transfer_latency > done) {
        done = d->mtime + (uint64_t)c->transfer_latency;
        a.cause = CS_COHERENCE;
        uint64_t late = done - now;
        wait = write && !locked ? (late > hidden ? late - hidden : 0) : late;
    }
    if (v->log) { if (done - now > (uint64_t)c->load_latency) note(v, a.cause, done - now - (uint64_t)c->load_latency); }
    else charge(v, a.cause, wait);
    if (k < L1_WAYS) l1_front(c, set, k, key << 2 | ST_M, done);
    else l1_fill(v, key, write ? ST_M : state == ST_M ? ST_E : state, done);   /* M in the L1 means written while there */
}

void cache_slow(struct vcpu *v, uint64_t gpa, uint32_t size, bool write) {
    uint64_t first = gpa >> LINE_BITS, last = (gpa + (size ? size - 1 : 0)) >> LINE_BITS;
    if (last >= v->machine->llc->dir_lines) return;            /* not RAM */
    if (v->caches->dtlb[(gpa >> 12) & (DTLB_SETS - 1)][0] != KEY(gpa >> 12)) {
        uint32_t walk = tlb_data(v, gpa);
        if (v->log) v->log->last->walk = (uint16_t)(walk < UINT16_MAX ? walk : UINT16_MAX);
        else if (walk) charge(v, CS_TLB, walk);
    }
    for (uint64_t line = first; line <= last; line++) {
        uint32_t set = (uint32_t)line & (L1_SETS - 1);
        if (v->caches->quick[write][set] == KEY(line)) { if (write) v->caches->wtime[set][0] = cache_now(v); }
        else data_line(v, KEY(line), write);
    }
}

void cache_access(struct vcpu *v, uint64_t gpa, uint32_t size, bool write) { cache_hit(v, gpa, size, write); }

/* ---- instruction side ---- */
static void code_line(struct vcpu *v, uint32_t key) {
    struct caches *c = v->caches;
    uint32_t *set = c->l1i[(key - 1) & (L1_SETS - 1)], k;
    for (k = 0; k < L1_WAYS; k++) if (set[k] == key) { lru_front(set, k, key); return; }
    v->counters[CS_N_L1I_MISS]++;
    uint32_t *e = l2_find(c, key), latency = (uint32_t)c->l2_latency;
    if (e) { uint32_t *s = l2_set(c, key); lru_front(s, (uint32_t)(e - s), *e); }
    else latency = l2_miss(v, key, false).latency;
    for (k = 0; k < L1_WAYS - 1 && set[k]; k++) { }
    lru_front(set, k, key);
    c->epoch++;
    if (v->log) v->fetch_wait += latency;
    else if (latency > (uint32_t)c->fetch_hidden) charge(v, CS_FRONTEND, latency - (uint32_t)c->fetch_hidden);
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

static void branch_done(struct vcpu *v, const struct block *p, uint64_t next) {
    struct caches *c = v->caches;
    enum branch_answer answer = branch_next(c->branch, p->flags, p->va + p->size, next);
    if (LIKELY(answer == BRANCH_RIGHT)) return;
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
    if (whole && !v->diverted && c && c->l2 && c->prev && c->prev->flags & BLK_BRANCH)
        branch_next(c->branch, c->prev->flags, c->prev->va + c->prev->size, next);     /* resolved, but no one fetches there now */
    v->diverted = true;
}

void cache_fetch(struct vcpu *v, struct block *b) {
    struct caches *c = v->caches;
    const struct block *p = c->prev;
    if (UNLIKELY(!c->l2)) return;
    c->prev = b; c->filled = 0;
    if (LIKELY(p != NULL)) {
        if (LIKELY(p->flags & BLK_BRANCH && !v->diverted)) branch_done(v, p, b->va);
        if (UNLIKELY(p->flags & BLK_CR3)) tlb_flush(v);
    }
    if (UNLIKELY(b->flags & BLK_REP)) rep_iteration(v, b, p && p->flags & BLK_REP && p->va + p->size == b->va + b->size && !v->diverted);
    v->diverted = false;
    if (LIKELY(b->code_line_stamp == c->epoch)) return;
    uint64_t first = b->code_gpa >> LINE_BITS, last = (b->code_gpa + (b->size ? b->size - 1 : 0)) >> LINE_BITS;
    if (last >= v->machine->llc->dir_lines) return;
    uint32_t walk = tlb_code(v, b->code_gpa);
    if (v->log) v->fetch_wait += walk;
    else if (walk) charge(v, CS_TLB, walk);
    for (uint64_t line = first; line <= last; line++) code_line(v, KEY(line));
    b->code_line_stamp = c->epoch;
}

/* ---- devices ---- */
void cache_dma(struct machine *m, uint64_t gpa, uint64_t n, bool write, int64_t time_ps) {
    struct llc *l = m->llc;
    (void)time_ps;                      /* devices act at the horizon: no vCPU's clock is behind it by more than the block it is in */
    if (!l || !n || !write) return;     /* a device's read leaves the line where it is */
    for (uint64_t line = gpa >> LINE_BITS; line <= (gpa + n - 1) >> LINE_BITS && line < l->dir_lines; line++) {
        struct dir_line *d = &l->dir[line];
        invalidate_others(m, d, KEY(line), -1);
        d->owner = 0; d->writer = 0;
        llc_insert(l, KEY(line), LLC_DIRTY | LLC_DDIO);
    }
}

/* ---- life ---- */
static int vcpu_caches_new(struct vcpu *v) {
    const struct uarch *u = v->machine->uarch;
    struct caches *c = calloc(1, sizeof *c);
    v->caches = c; v->tlb = calloc(1, sizeof *v->tlb);
    if (!c || !v->tlb) return -1;
    c->l2_ways = (uint32_t)u->row[UA_l2_ways];
    c->l2_sets = (uint32_t)(u->row[UA_l2_kib] * 1024 / LINE / u->row[UA_l2_ways]);
    c->l2 = calloc((size_t)c->l2_sets * c->l2_ways, sizeof *c->l2);
    c->branch = branch_new(u);
    c->epoch = 1;
#define ROW(name) c->name = (int32_t)u->row[UA_##name];
    ROW(load_latency) ROW(fill_buffers) ROW(store_hidden) ROW(fetch_hidden) ROW(l2_latency) ROW(llc_latency) ROW(dram_latency) ROW(transfer_latency) ROW(upgrade_latency)
    ROW(stream_line) ROW(stlb_latency) ROW(walk_latency) ROW(mispredict) ROW(resteer) ROW(rep_startup) ROW(rep_line16)
#undef ROW
    return c->l2 && c->branch ? 0 : -1;
}

static int geometry(cs_world *w, const struct uarch *u) {
    const int64_t *r = u->row;
    if (r[UA_l1d_kib] != 32 || r[UA_l1d_ways] != L1_WAYS || r[UA_l1i_kib] != 32 || r[UA_l1i_ways] != L1_WAYS)
        return world_fail(w, "processor table: the first-level caches must be 32 KiB with 8 ways");
    if (r[UA_dtlb_entries] != DTLB_SETS * DTLB_WAYS || r[UA_dtlb_ways] != DTLB_WAYS || r[UA_itlb_entries] != ITLB_SETS * ITLB_WAYS || r[UA_itlb_ways] != ITLB_WAYS
        || r[UA_stlb_entries] != STLB_SETS * STLB_WAYS || r[UA_stlb_ways] != STLB_WAYS)
        return world_fail(w, "processor table: the TLBs must be 64/4 (data), 128/8 (code) and 1536/12 (second level)");
    int64_t ways = r[UA_l2_ways], sets = ways ? r[UA_l2_kib] * 1024 / LINE / ways : 0;
    if (ways < 2 || ways > L2_MAX_WAYS || sets < L1_SETS || sets & (sets - 1) || sets * ways * LINE != r[UA_l2_kib] * 1024)
        return world_fail(w, "processor table: the L2 must have 2 to %d ways and a power of two of sets, 64 or more", L2_MAX_WAYS);
    ways = r[UA_llc_ways]; sets = ways ? r[UA_llc_kib_per_vcpu] * 1024 / LINE / ways : 0;
    if (ways < 2 || ways > LLC_MAX_WAYS || !sets || sets * ways * LINE != r[UA_llc_kib_per_vcpu] * 1024 || !r[UA_ddio_ways] || r[UA_ddio_ways] > ways)
        return world_fail(w, "processor table: the LLC must have 2 to %d ways that divide its size, and 1 or more of them for DDIO", LLC_MAX_WAYS);
    if (!r[UA_fill_buffers]) return world_fail(w, "processor table: there must be a fill buffer");
    return branch_geometry(w, u);
}

int caches_new(struct machine *m) {
    struct uarch *u = m->uarch;
    if (!u || !u->have_rows) return world_fail(m->world, "caches: machine %d has no processor table", m->index);
    if (geometry(m->world, u)) return -1;
    struct llc *l = m->llc = calloc(1, sizeof *l);
    if (!l) return world_fail(m->world, "out of memory for caches");
    l->ways = (uint32_t)u->row[UA_llc_ways]; l->ddio_ways = (uint32_t)u->row[UA_ddio_ways]; l->slices = (uint32_t)m->ncpus;
    l->slice_sets = (uint32_t)(u->row[UA_llc_kib_per_vcpu] * 1024 / LINE / l->ways);
    size_t entries = (size_t)l->slice_sets * l->slices * l->ways;
    l->tags = calloc(entries, sizeof *l->tags); l->flags = calloc(entries, 1);
    l->dir_lines = (m->ram_bytes + ((uint64_t)1 << 30)) >> LINE_BITS;      /* the hole below 4 GiB is 1 GiB */
    l->dir = mmap(NULL, l->dir_lines * sizeof *l->dir, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool bad = !l->tags || !l->flags || l->dir == MAP_FAILED;
    if (l->dir == MAP_FAILED) l->dir = NULL;
    for (int i = 0; i < m->ncpus && !bad; i++) bad = vcpu_caches_new(m->vcpu[i]);
    if (!bad) return 0;
    caches_free(m);
    return world_fail(m->world, "out of memory for the caches of machine %d", m->index);
}

void caches_free(struct machine *m) {
    for (int i = 0; i < m->ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        if (!v) continue;
        if (v->caches) { branch_free(v->caches->branch); free(v->caches->l2); }
        free(v->caches); free(v->tlb);
        v->caches = NULL; v->tlb = NULL;
    }
    if (!m->llc) return;
    if (m->llc->dir) munmap(m->llc->dir, m->llc->dir_lines * sizeof *m->llc->dir);
    free(m->llc->tags); free(m->llc->flags); free(m->llc);
    m->llc = NULL;
}

void caches_reset(struct machine *m) {       /* all empty, as after power-on; the table must have been accepted before */
    if (!m->llc) return;
    caches_free(m);
    caches_new(m);
}

/* ---- testing ---- */
int cs_test_access(cs_world *w, int machine, int vcpu, uint64_t gpa, uint32_t size, uint32_t flags, uint32_t advance, uint32_t stall[CS_NCAUSES]) {
    if (!w || machine < 0 || machine >= w->nmachines || vcpu < 0 || vcpu >= w->machine[machine]->ncpus || !w->machine[machine]->llc)
        return world_fail(w, "test access: no such vCPU, or no processor table");
    struct vcpu *v = w->machine[machine]->vcpu[vcpu];
    static struct block block;
    block.flags = flags & CS_TEST_LOCKED ? BLK_LOCKED : 0;
    block.load_hidden = (uint8_t)uarch_row(v->machine->uarch, UA_load_hidden);
    block.va = block.code_gpa = gpa; block.size = size; block.code_line_stamp = 0;
    struct block *running = v->cur;
    v->cur = &block;
    v->clock += advance;
    if (flags & CS_TEST_DMA) cache_dma(v->machine, gpa, size, true, 0);
    else if (flags & CS_TEST_FETCH) { v->caches->prev = NULL; cache_fetch(v, &block); }
    else {
        if (!(flags & CS_TEST_SAME_BLOCK)) v->caches->filled = 0;
        cache_hit(v, gpa, size, flags & CS_TEST_WRITE);
    }
    v->cur = running; v->caches->prev = NULL;
    memcpy(stall, v->stall, sizeof v->stall);
    v->clock += v->stall_total;
    memset(v->stall, 0, sizeof v->stall);
    v->stall_total = 0;
    return 0;
}
