/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One vCPU's L1D and L2, and what an access waits. See cache.h for the parts.
 *
 * Causality: a vCPU's clock may run behind another's by up to a quantum. A line that another vCPU modified at t reaches us no
 * earlier than t plus the transfer, whatever our own clock says; the wait is charged to CS_COHERENCE.
 */
#include "cache.h"

static inline bool in_flight(const struct caches *c, uint32_t key) { return c->flight[key & (FLIGHTS - 1)] >> 1 == key; }

static void quick_set(struct caches *c, uint32_t set) {
    uint32_t e = c->l1d.at[set * c->l1d.ways], key = in_flight(c, ENTRY_KEY(e)) ? 0 : ENTRY_KEY(e);      /* one not there yet has to be waited for */
    c->quick[0][set] = key;
    c->quick[1][set] = (e & ST_MASK) == ST_M ? key : 0;
}

uint32_t *l2_find(struct caches *c, uint32_t key) {
    uint32_t *s = ways_of(&c->l2, key), k = way_with(s, c->l2.ways, key, STATE_BITS);
    return k < c->l2.ways ? &s[k] : NULL;
}

void l2_front(struct caches *c, uint32_t *entry) {
    uint32_t *s = ways_of(&c->l2, ENTRY_KEY(*entry));
    lru_front(s, (uint32_t)(entry - s), *entry);
}

uint32_t flight_wait(struct caches *c, uint32_t key, uint64_t now, uint8_t *cause) {
    uint32_t slot = key & (FLIGHTS - 1);
    if (LIKELY(c->flight[slot] >> 1 != key)) return 0;
    bool memory = c->flight[slot] & 1;
    c->flight[slot] = 0;
    if (c->arrives[slot] <= now) return 0;
    *cause = memory ? CS_DRAM : CS_LLC;
    return (uint32_t)(c->arrives[slot] - now);
}

/* ---- the L1D ---- */
static inline uint64_t *wtime_of(struct caches *c, uint32_t set, uint32_t k) { return k ? &c->wtime[set * c->l1d.ways + k] : &c->written[set]; }

static void l1_front(struct caches *c, uint32_t set, uint32_t k, uint32_t entry, uint64_t wtime) {
    uint32_t *e = c->l1d.at + set * c->l1d.ways; uint64_t *t = c->wtime + set * c->l1d.ways;
    for (; k > 1; k--) { e[k] = e[k - 1]; t[k] = t[k - 1]; NO_MEMMOVE; }
    if (k) { e[1] = e[0]; t[1] = c->written[set]; }
    e[0] = entry; c->written[set] = wtime;
    quick_set(c, set);
}

static void l1_drop(struct caches *c, uint32_t set, uint32_t k) {
    uint32_t last = c->l1d.ways - 1, *e = c->l1d.at + set * c->l1d.ways;
    for (uint32_t i = k; i < last; i++) *wtime_of(c, set, i) = *wtime_of(c, set, i + 1);
    lru_drop(e, c->l1d.ways, k);
}

static void stamp(struct dir_line *d, int vcpu, uint64_t time) { d->writer = (uint8_t)(vcpu + 1); d->mtime = time; }

static uint32_t l1_room(struct vcpu *v, uint32_t set) {      /* a way for a new line: its oldest line goes */
    struct caches *c = v->caches;
    uint32_t *e = c->l1d.at + set * c->l1d.ways, k = 0;
    while (k < c->l1d.ways - 1 && e[k]) k++;
    if ((e[k] & ST_MASK) == ST_M) {
        *l2_find(c, ENTRY_KEY(e[k])) |= ST_M;
        stamp(&v->machine->llc->dir[ENTRY_KEY(e[k]) - 1], v->index, *wtime_of(c, set, k));
    }
    return k;
}

/* Takes a line out of the L1s (keep: leaves it there, shared). Returns its true state, and stamps the directory if it was M. */
static uint32_t l1_yield(struct vcpu *v, uint32_t key, uint32_t state, bool keep) {
    struct caches *c = v->caches;
    uint32_t set = (key - 1) & c->l1_mask, *e = c->l1d.at + set * c->l1d.ways, *i = ways_of(&c->l1i, key);
    for (uint32_t k = 0; k < c->l1d.ways; k++) {
        if (ENTRY_KEY(e[k]) != key) continue;
        if ((e[k] & ST_MASK) == ST_M) { stamp(&v->machine->llc->dir[key - 1], v->index, *wtime_of(c, set, k)); state = ST_M; }
        if (keep) e[k] = key << 2 | ST_S; else l1_drop(c, set, k);
        quick_set(c, set);
        break;
    }
    for (uint32_t k = 0; !keep && k < c->l1i.ways; k++) if (i[k] == key) { lru_drop(i, c->l1i.ways, k); c->epoch++; }
    return state;
}

uint32_t line_snoop(struct machine *m, int vcpu, uint32_t key, bool keep) {
    struct caches *c = m->vcpu[vcpu]->caches;
    uint32_t *e = l2_find(c, key), *s = ways_of(&c->l2, key), state = l1_yield(m->vcpu[vcpu], key, *e & ST_MASK, keep);
    if (keep) *e = key << 2 | ST_S; else lru_drop(s, c->l2.ways, (uint32_t)(e - s));
    return state;
}

/* ---- a line comes into the L2 ---- */
static void l2_fill(struct vcpu *v, uint32_t key, uint32_t state, uint64_t now) {
    struct caches *c = v->caches; struct llc *l = v->machine->llc;
    uint32_t *s = ways_of(&c->l2, key), k = 0;
    while (k < c->l2.ways - 1 && s[k]) k++;
    if (s[k]) {
        uint32_t old = ENTRY_KEY(s[k]), st = l1_yield(v, old, s[k] & ST_MASK, false);
        struct dir_line *d = &l->dir[old - 1];
        d->sharers &= (uint16_t)~(1u << v->index);
        if (d->owner == v->index + 1) d->owner = 0;
        if (l->inclusive) { if (st == ST_M) llc_touch(l, old, LLC_DIRTY); }
        else if (!d->sharers) llc_insert(v->machine, old, st == ST_M ? LLC_DIRTY : 0, now);
    }
    lru_front(s, k, key << 2 | state);
    if (UNLIKELY(in_flight(c, key))) c->flight[key & (FLIGHTS - 1)] = 0;     /* an older prefetch of it came and went unused */
    struct dir_line *d = &l->dir[key - 1];
    d->sharers |= (uint16_t)(1u << v->index);
    d->owner = state == ST_S ? 0 : (uint8_t)(v->index + 1);
}

/* Nobody above the LLC has it, or only for reading: from there, or from memory. */
static struct answer from_below(struct vcpu *v, uint32_t key, uint32_t *state, uint64_t now) {
    struct machine *m = v->machine; struct llc *l = m->llc;
    if (l->dir[key - 1].in_llc) {
        if (l->inclusive || *state == ST_S) llc_touch(l, key, 0);
        else if (llc_remove(l, key) & LLC_DIRTY) *state = ST_M;
        return (struct answer){ .latency = (uint32_t)v->caches->llc_latency, .cause = CS_LLC };
    }
    struct answer a = { .latency = dram_read(m, key - 1, now), .cause = CS_DRAM, .memory = true };
    if (l->inclusive) llc_insert(m, key, 0, now);
    return a;
}

static void hold(struct vcpu *v, uint32_t key, struct answer *a, uint64_t now) {
    const struct dir_line *d = &v->machine->llc->dir[key - 1];
    uint64_t earliest = d->mtime + (uint64_t)v->caches->transfer_latency;
    if (LIKELY(!d->writer || d->writer == v->index + 1 || earliest <= now + a->latency)) return;
    a->latency = earliest - now < UINT32_MAX / 2 ? (uint32_t)(earliest - now) : UINT32_MAX / 2;
    a->cause = CS_COHERENCE; a->held = true;
}

struct answer line_fetch(struct vcpu *v, uint32_t key, bool write, uint64_t now) {
    struct machine *m = v->machine; struct llc *l = m->llc; struct caches *c = v->caches;
    struct dir_line *d = &l->dir[key - 1];
    struct answer a = { .latency = (uint32_t)c->transfer_latency, .cause = CS_COHERENCE };
    uint32_t state = write ? ST_M : d->sharers ? ST_S : ST_E;
    v->counters[CS_N_L2_MISS]++;
    if (d->owner) {                                            /* E or M elsewhere */
        bool dirty = line_snoop(m, d->owner - 1, key, !write) == ST_M;
        if (write) d->sharers = 0;
        else llc_insert(m, key, dirty ? LLC_DIRTY : 0, now);
        d->owner = 0;
        v->counters[CS_N_TRANSFERS]++;
    } else if (d->sharers && !d->in_llc) {                     /* clean, elsewhere, not in the LLC: forwarded */
        if (write) llc_invalidate(m, key, -1);
        v->counters[CS_N_TRANSFERS]++;
    } else {
        if (write) llc_invalidate(m, key, -1);
        a = from_below(v, key, &state, now);
        v->counters[CS_N_LLC_MISS] += a.memory;
    }
    hold(v, key, &a, now);
    l2_fill(v, key, state, now);
    return a;
}

bool line_prefetch(struct vcpu *v, uint32_t key, uint64_t now) {
    struct caches *c = v->caches; struct llc *l = v->machine->llc;
    uint32_t state = ST_E;
    if (l->dir[key - 1].sharers) return true;                  /* we have it, or it is another's: a prefetch disturbs nobody */
    if (!c->prefetches || c->under_way[c->next_flight] > now) return false;
    struct answer a = from_below(v, key, &state, now);
    hold(v, key, &a, now);
    l2_fill(v, key, state, now);
    c->under_way[c->next_flight] = now + a.latency;
    c->next_flight = (c->next_flight + 1) % (uint32_t)c->prefetches;
    flight_note(c, key, now + a.latency, a.memory);
    return true;
}

void line_ahead(struct vcpu *v, uint32_t key, uint64_t now) {
    struct caches *c = v->caches;
    uint32_t set = (key - 1) & c->l1_mask, *e = c->l1d.at + set * c->l1d.ways, *l2 = l2_find(c, key);
    if (!l2 || c->l1d.ways < 2) return;
    if (way_with(e, c->l1d.ways, key, STATE_BITS) < c->l1d.ways) return;
    uint32_t state = *l2 & ST_MASK;
    l2_front(c, l2);
    uint32_t k = l1_room(v, set);
    for (; k > 1; k--) { e[k] = e[k - 1]; *wtime_of(c, set, k) = *wtime_of(c, set, k - 1); }
    e[k] = key << 2 | (state == ST_M ? ST_E : state);          /* behind the line in use */
    *wtime_of(c, set, k) = 0;
    uint64_t arrival = now + (uint64_t)c->l2_latency;
    bool under_way = in_flight(c, key), memory = under_way && c->flight[key & (FLIGHTS - 1)] & 1;
    if (under_way && c->arrives[key & (FLIGHTS - 1)] > arrival) arrival = c->arrives[key & (FLIGHTS - 1)];
    flight_note(c, key, arrival, memory);
}

void flight_note(struct caches *c, uint32_t key, uint64_t arrival, bool memory) {
    uint32_t slot = key & (FLIGHTS - 1), old = c->flight[slot] >> 1;
    c->flight[slot] = key << 1 | memory;
    c->arrives[slot] = arrival;
    if (old && old != key) quick_set(c, (old - 1) & c->l1_mask);             /* the one forgotten counts as arrived */
    quick_set(c, (key - 1) & c->l1_mask);
}

/* ---- an access ---- */

/* We hold the line shared and want to write it. */
static void upgrade(struct vcpu *v, uint32_t key) {
    struct llc *l = v->machine->llc; struct dir_line *d = &l->dir[key - 1];
    llc_invalidate(v->machine, key, v->index);
    if (d->in_llc && !l->inclusive) llc_remove(l, key);
    d->owner = (uint8_t)(v->index + 1);
    *l2_find(v->caches, key) = key << 2 | ST_M;
    v->counters[CS_N_UPGRADES]++;
}

struct answer line_data(struct vcpu *v, uint32_t key, bool write, bool locked, uint64_t now) {
    struct caches *c = v->caches;
    uint32_t set = (key - 1) & c->l1_mask, *e = c->l1d.at + set * c->l1d.ways, ways = c->l1d.ways, k, state, wait;
    struct answer a = { .latency = (uint32_t)c->load_latency, .cause = CS_L1 };
    if (LIKELY((k = way_with(e, ways, key, STATE_BITS)) < ways)) {
        state = e[k] & ST_MASK;
        if (UNLIKELY(in_flight(c, key))) {
            if ((wait = flight_wait(c, key, now, &a.cause)) > a.latency) a.latency = wait; else a.cause = CS_L1;
            a.looked_up = true;
        }
    } else {
        v->counters[CS_N_L1D_MISS]++;
        uint32_t *l2 = l2_find(c, key);
        if (l2) {
            state = *l2 & ST_MASK;
            l2_front(c, l2);
            a = (struct answer){ .latency = (uint32_t)c->l2_latency, .cause = CS_L2 };
            uint8_t cause = 0;
            if ((wait = flight_wait(c, key, now, &cause)) > a.latency) { a.latency = wait; a.cause = cause; }
        } else {
            a = line_fetch(v, key, write, now);
            state = *l2_find(c, key) & ST_MASK;
            if (locked && !write) { c->filled = key; c->filled_at = now + a.latency; }
        }
        a.looked_up = true;
    }
    if (write && state == ST_S) {                              /* upgrade; free if this LOCKed instruction's load has just paid */
        upgrade(v, key);
        if (!(locked && c->filled == key) && a.latency < (uint32_t)c->upgrade_latency) { a.latency = (uint32_t)c->upgrade_latency; a.cause = CS_COHERENCE; }
    }
    uint64_t wtime = write ? now + (a.latency > (uint32_t)c->load_latency ? a.latency : 0) : 0;
    if (write && locked && c->filled == key && c->filled_at > wtime) wtime = c->filled_at;     /* at the detailed level the clock has not moved since */
    if (k == ways) {
        k = l1_room(v, set);
        l1_front(c, set, k, key << 2 | (write ? ST_M : state == ST_M ? ST_E : state), wtime);      /* M in the L1 means written while there */
    } else {
        l1_front(c, set, k, key << 2 | (write ? ST_M : state), write ? wtime : *wtime_of(c, set, k));
    }
    return a;
}

void charge(struct vcpu *v, int cause, uint64_t cycles) {
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

/* The fast level: what of it the window does not hide is a stall. */
static void pay(struct vcpu *v, struct answer a, bool write, bool locked, uint64_t now) {
    struct caches *c = v->caches;
    uint32_t hidden = locked || (a.held && !write) ? 0 : write ? (uint32_t)c->store_hidden : v->cur ? v->cur->load_hidden : 0;
    uint32_t wait = a.latency > hidden ? a.latency - hidden : 0;
    if (wait && !write && !locked && !a.held && hidden > (uint32_t)c->load_latency) wait = overlapped(c, now, wait, hidden);     /* a chase waits each time */
    charge(v, a.cause, wait);
}

/* At the detailed level all accesses of a block are seen before its clock moves. Where its loads wait for one another (its record says how many
 * do), later ones come as much later: else a chase would queue behind itself in memory. */
static void later(struct vcpu *v, uint32_t latency) {
    struct caches *c = v->caches;
    int32_t apart = c->load_hidden, together = c->chased_hidden, is = v->cur ? v->cur->load_hidden : apart;
    if (is < apart && together < apart) c->later += (uint64_t)latency * (uint32_t)(apart - is) / (uint32_t)(apart - together);
}

static void one_line(struct vcpu *v, uint32_t key, bool write, bool locked) {
    struct caches *c = v->caches;
    uint32_t set = (key - 1) & c->l1_mask;
    uint64_t now = cache_now(v) + c->later;
    if (c->quick[write][set] == key) { if (write) c->written[set] = now; return; }
    struct answer a = line_data(v, key, write, locked, now);
    if (a.latency > (uint32_t)c->load_latency) {
        if (v->log) {                                          /* the slowest of its lines answers */
            struct access *x = v->log->last;
            if (a.latency - (uint32_t)c->load_latency > x->latency) { x->latency = a.latency - (uint32_t)c->load_latency; x->cause = a.cause; }
            if (!write) later(v, a.latency);
        } else {
            pay(v, a, write, locked, now);
        }
    }
    if (!a.looked_up) return;
    if (c->l1_next_line && !write) prefetch_next(v, key, now);
    if (c->streams) prefetch_train(v, key, now);
    if (c->l2_adjacent && a.memory) prefetch_pair(v, key, now);
}

static void translate(struct vcpu *v, uint64_t gva) {
    uint32_t walk = tlb_data(v, gva);
    if (!v->log) { if (walk) charge(v, CS_TLB, walk); return; }
    struct access *x = v->log->last;
    x->walk = (uint16_t)(x->walk + walk < UINT16_MAX ? x->walk + walk : UINT16_MAX);
    if (walk) later(v, walk);
}

/* A line that is there and needs nobody's leave: all that changes is its set's order, and when it was written. */
static inline bool one_line_there(struct caches *c, const struct vcpu *v, uint32_t key, bool write) {
    uint32_t set = (key - 1) & c->l1_mask, *e = c->l1d.at + set * c->l1d.ways, k = way_with(e, c->l1d.ways, key, STATE_BITS);
    if (k == c->l1d.ways || in_flight(c, key) || (write && (e[k] & ST_MASK) == ST_S)) return false;
    l1_front(c, set, k, write ? key << STATE_BITS | ST_M : e[k], write ? cache_now(v) + c->later : *wtime_of(c, set, k));
    return true;
}

void cache_slow(struct vcpu *v, uint64_t gpa, uint64_t gva, uint32_t size, bool write) {
    if (LIKELY(v->caches->front[(gva >> 12) & (FRONT - 1)] == FRONT_TAG(gva) && (gpa & (LINE - 1)) + size <= LINE)
        && one_line_there(v->caches, v, KEY(gpa >> LINE_BITS), write)) return;
    uint64_t first = gpa >> LINE_BITS, last = (gpa + (size ? size - 1 : 0)) >> LINE_BITS;
    if (last >= v->machine->llc->dir_lines) return;            /* not RAM */
    bool locked = v->cur && v->cur->flags & BLK_LOCKED;
    if (v->caches->front[(gva >> 12) & (FRONT - 1)] != FRONT_TAG(gva) && gva != NO_GVA) translate(v, gva);
    if (UNLIKELY(last >> (12 - LINE_BITS) != first >> (12 - LINE_BITS) && gva != NO_GVA)) {    /* the other page lies anywhere */
        uint64_t other = (gva | 4095) + 1, there;
        translate(v, other);
        for (uint64_t line = first; line <= (first | 63); line++) one_line(v, KEY(line), write, locked);
        if (!vcpu_walk(v, other, &there) || (there + (gva + size - other) - 1) >> LINE_BITS >= v->machine->llc->dir_lines) return;
        first = there >> LINE_BITS;
        last = (there + (gva + size - other) - 1) >> LINE_BITS;
    }
    for (uint64_t line = first; line <= last; line++) one_line(v, KEY(line), write, locked);
    if (locked && !write && v->log && v->log->last->latency)    /* its store comes behind it */
        v->caches->later += v->log->last->latency + (uint32_t)v->caches->load_latency;
}

void cache_access(struct vcpu *v, uint64_t gpa, uint64_t gva, uint32_t size, bool write) { cache_hit(v, gpa, gva, size, write); }
