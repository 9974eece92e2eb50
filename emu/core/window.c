/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See window.h. A plain Python twin of this file and of frontend.c is the referee: tests/window_referee.py. */
#include "window.h"
#include <stdlib.h>
#include <string.h>

static uint64_t lanes[256];              /* a mask of eight ports as eight bytes of one */

static inline uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- time passes at issue ---- */
static inline void issue_step(struct window *w)
{
    uint64_t c = w->issue++;
    uint16_t gone = w->busy[c & (HORIZON - 1)];
    if (gone) {
        w->waiting[0] -= lanes[gone & 255];
        w->waiting[1] -= lanes[gone >> 8];
        w->scheduled -= (uint32_t)__builtin_popcount(gone);
        w->busy[c & (HORIZON - 1)] = 0;
    }
    if (UNLIKELY(!(w->issue & 63))) for (int p = 0; p < PORTS; p++) w->taken[p][(c >> 6) & (HORIZON / 64 - 1)] = 0;
    w->seen[0] = w->waiting[0];
    w->seen[1] = w->waiting[1];
    w->issued = 0;
}

static void issue_to(struct window *w, uint64_t cycle)
{
    while (w->issue < cycle) {
        if (!w->scheduled && cycle - w->issue > 64) {      /* nothing is booked: nothing to look at */
            memset(w->taken, 0, sizeof w->taken);
            w->issue = cycle;
            w->issued = 0;
            w->seen[0] = w->seen[1] = w->waiting[0] = w->waiting[1] = 0;
            return;
        }
        issue_step(w);
    }
}

/* ---- ports ---- */
static inline uint32_t load_of(const struct window *w, int port) { return (uint32_t)(w->seen[port >> 3] >> (8 * (port & 7))) & 255; }

/* The renamer binds a micro-op to a port by how many wait for each, as it was a cycle ago; the second and fourth slot of a cycle take the next
 * best one, unless it is three or more behind. Loads take turns. (Abel and Reineke, uiCA, published.) */
static inline int choose_port(struct window *w, uint16_t ports)
{
    if (!(ports & (ports - 1))) return __builtin_ctz(ports);
    if (ports == w->limit.load_ports) {
        w->toggle ^= 1;
        return w->toggle ? __builtin_ctz(ports) : 31 - __builtin_clz(ports);
    }
    int best = -1, second = -1;
    for (uint32_t left = ports; left;) {               /* from the highest port down: ties go to it */
        int p = 31 - __builtin_clz(left);
        left &= ~(1u << p);
        if (best < 0 || load_of(w, p) < load_of(w, best)) { second = best; best = p; }
        else if (second < 0 || load_of(w, p) < load_of(w, second)) second = p;
    }
    if (!(w->issued & 1) && load_of(w, second) < load_of(w, best) + 3) return second;
    return best;
}

static inline uint64_t book(struct window *w, int port, uint64_t from)
{
    uint64_t c = from;
    for (;;) {
        uint64_t open = ~w->taken[port][(c >> 6) & (HORIZON / 64 - 1)] >> (c & 63);
        if (LIKELY(open != 0)) { c += (uint64_t)__builtin_ctzll(open); break; }
        c = (c | 63) + 1;
    }
    if (UNLIKELY(c - w->issue >= HORIZON - 64)) issue_to(w, c - (HORIZON - 128));
    w->taken[port][(c >> 6) & (HORIZON / 64 - 1)] |= 1ull << (c & 63);
    w->busy[c & (HORIZON - 1)] |= (uint16_t)(1u << port);
    w->waiting[port >> 3] += 1ull << (8 * (port & 7));
    w->scheduled++;
    return c;
}

/* ---- retirement, and what its lost slots were lost to ---- */
static void lose(struct window *w, uint64_t from, uint64_t to, int64_t lost)
{
    int64_t left = lost, rate = (int64_t)w->limit.retire_width, part;
#define TAKE(cycles, cause) do { part = (int64_t)(cycles) * rate; if (part > left) part = left; w->spent[cause] += part; w->touched |= 1u << (cause); left -= part; } while (0)
    (void)from; (void)to;
    if (w->slot_cause == CS_SERIALISING) TAKE(to - from + 1, CS_SERIALISING);
    TAKE(w->slot_miss, w->slot_cause);
    TAKE(w->slot_walk, CS_TLB);
    TAKE(w->slot_dispatch - w->slot_ready, CS_CORE_BOUND);
    bool waited = w->slot_ready > w->slot_issue + 1;
    if (w->slot_front && !waited) TAKE(to - from + 1, w->slot_front);
    if (w->slot_cause == CS_L1) TAKE(w->slot_done - w->slot_dispatch - w->slot_miss - w->slot_walk, CS_L1);
    TAKE(left, waited || w->slot_done > w->slot_issue + 1 ? CS_DEPENDENCY : CS_CORE_BOUND);
#undef TAKE
}

void window_finish_slot(struct window *w)
{
    if (!w->slot_open) return;
    w->slot_open = false;
    uint64_t at = later(w->slot_done, w->retire);
    if (at == w->retire && w->retired == w->limit.retire_width) at++;
    if (at > w->retire) {
        int64_t lost = (int64_t)((at - w->retire) * w->limit.retire_width) - w->retired;
        if (lost) lose(w, w->retire, at, lost);
        w->retire = at;
        w->retired = 0;
    }
    w->retired++;
    w->spent[CS_RETIRING]++;
    w->touched |= 1u << CS_RETIRING;
    w->rob[w->slot & (ROB_MAX - 1)] = at;
    if (w->slot_load) { w->slot_load = false; w->load_slot[(w->nloads - 1) & (BUFFER_MAX - 1)] = at; }
    if (w->slot_store) {
        w->store_commit = later(later(w->store_commit + w->limit.store_commit, at), w->slot_store);
        w->slot_store = 0;
        w->store_slot[(w->nstores - 1) & (BUFFER_MAX - 1)] = w->store_commit;
        for (uint32_t i = w->forward_from; i != w->nforwards; i++) w->forward[i & (FORWARDS - 1)].commit = w->store_commit;
    }
    w->slot++;
}

static inline void open_slot(struct window *w, uint32_t flags)
{
    window_finish_slot(w);
    struct frontend *f = &w->front;
    if (flags & UOP_WINDOW || !f->left) { f->cycle++; f->left = f->rate; f->cycle = later(f->cycle, w->idq[(w->slot - w->limit.idq) & (IDQ_MAX - 1)]); }
    f->left--;
    uint64_t t = w->issue + (w->issued == w->limit.width);
    t = later(t, later(w->rob[(w->slot - w->limit.rob) & (ROB_MAX - 1)], w->serial_from));
    w->slot_front = f->cycle > t ? w->front_cause : 0;
    if (f->cycle <= t) w->front_cause = CS_FRONTEND;
    t = later(t, f->cycle);
    if (t > w->issue) issue_to(w, t);
    while (w->scheduled >= w->limit.scheduler) issue_step(w);
    w->issued++;
    w->idq[w->slot & (IDQ_MAX - 1)] = w->issue;
    w->slot_open = true;
    w->slot_issue = w->slot_done = w->slot_dispatch = w->slot_ready = w->issue;
    w->slot_cause = 0;
    w->slot_miss = 0;
    w->slot_walk = 0;
}

/* ---- memory ---- */
static inline const struct access *take(struct accesses *a, bool write, uint32_t bytes)
{
    uint32_t *next = write ? &a->store : &a->load;
    while (*next < a->n && a->at[*next].write != write) ++*next;
    if (*next >= a->n) return NULL;
    const struct access *found = &a->at[(*next)++];
    for (uint32_t had = found->size; had && had < bytes; ) {          /* 16 bytes come as two accesses of 8 */
        while (*next < a->n && a->at[*next].write != write) ++*next;
        if (*next >= a->n || a->at[*next].gpa != found->gpa + had) break;
        had += a->at[(*next)++].size;
    }
    return found;
}

static void remember_store(struct window *w, uint64_t gpa, uint32_t bytes, uint64_t data)
{
    for (uint64_t g = gpa >> 3; bytes && g <= (gpa + bytes - 1) >> 3; g++) {
        struct forward *f = &w->forward[w->nforwards++ & (FORWARDS - 1)];
        uint64_t low = g << 3;
        f->granule = g + 1;
        f->data = data;
        f->commit = UINT64_MAX;
        f->from = (uint8_t)(gpa > low ? gpa - low : 0);
        f->to = (uint8_t)(gpa + bytes < low + 8 ? gpa + bytes - low : 8);
    }
}

/* When the load's data is there, if younger stores than the cache's hold it. */
static uint64_t forwarded(const struct window *w, uint64_t gpa, uint32_t bytes, uint64_t dispatch, uint64_t done)
{
    for (uint64_t g = gpa >> 3; bytes && g <= (gpa + bytes - 1) >> 3; g++) {
        uint64_t low = g << 3;
        uint32_t from = (uint32_t)(gpa > low ? gpa - low : 0), to = (uint32_t)(gpa + bytes < low + 8 ? gpa + bytes - low : 8);
        for (uint32_t k = 1; k <= FORWARDS; k++) {
            const struct forward *f = &w->forward[(w->nforwards - k) & (FORWARDS - 1)];
            if (!f->granule || f->commit <= dispatch) break;           /* commits are in order: so are all before it */
            if (f->granule != g + 1 || f->to <= from || f->from >= to) continue;
            if (f->from <= from && f->to >= to) done = later(done, f->data + w->limit.forward);
            else done = later(done, (f->commit == UINT64_MAX ? f->data : f->commit) + w->limit.blocked);
            break;
        }
    }
    return done;
}

static uint64_t in_flight(const struct window *w, uint64_t line, uint64_t done)      /* a hit on a line that is still under way */
{
    for (uint32_t i = 0; i < w->limit.fills; i++) if (w->fill_line[i] == line && w->fill[i] > done) done = w->fill[i];
    return done;
}

/* ---- one micro-op ---- */
static inline void finish(struct window *w, const struct uop *u, uint64_t ready, uint64_t dispatch, uint64_t done, bool from_load)
{
    for (int i = 0; i < UOP_RESULTS; i++) { w->ready[u->dst[i]] = done; w->loaded[u->dst[i]] = from_load; }
    if (done >= w->slot_done) { w->slot_done = done; w->slot_ready = ready; w->slot_dispatch = dispatch; }
    if (done > w->last_done) w->last_done = done;
}

static void serial(struct window *w, const struct uop *u, struct accesses *a)
{
    uint64_t from = w->issue + 1, miss = 0;
    for (int i = 0; i < UOP_SOURCES; i++) from = later(from, w->ready[u->src[i]]);
    if (u->flags & UOP_LOAD) { const struct access *x = take(a, false, u->bytes); if (x) miss = x->latency + x->walk; }
    if (u->flags & UOP_STORE_DATA) { const struct access *x = take(a, true, u->bytes); if (x && x->latency + x->walk > miss) miss = x->latency + x->walk; }
    if (u->flags & UOP_REST)              /* IRET and the like: whatever else was read */
        for (const struct access *x; (x = take(a, false, 0));) miss += x->latency + x->walk;
    if (u->flags & UOP_DRAIN) from = later(from, w->last_done);
    if (u->flags & UOP_LOCKED) from = later(from, later(w->store_commit, w->loads_from));
    uint64_t done = from + u->cost + miss;
    if (u->flags & UOP_LOCKED) w->loads_from = w->store_commit = done;
    else w->serial_from = u->flags & UOP_DRAIN ? done : w->issue + u->cost;
    finish(w, u, from, from, done, false);
    w->slot_cause = CS_SERIALISING;
}

/* An iteration of a string instruction: its cycles are rows of the table (cache.c), its misses overlap as loads' and stores' do. */
static void repeat(struct window *w, const struct uop *u, struct accesses *a)
{
    uint64_t from = later(w->issue + 1, w->loads_from);
    const struct access *x = u->flags & UOP_LOAD ? take(a, false, u->bytes) : NULL, *y = u->flags & UOP_STORE_DATA ? take(a, true, u->bytes) : NULL;
    if (x && x->latency) {
        uint64_t *fill = &w->fill[w->nfills % w->limit.fills];
        from = later(from, *fill);
        *fill = from + x->walk + x->latency;
        w->fill_line[w->nfills++ % w->limit.fills] = x->gpa >> 6;
        w->last_fill = later(w->last_fill, *fill);
    }
    uint64_t done = from + (x ? x->walk + x->latency : 0);
    if (x && (x->latency || x->walk)) { w->slot_cause = x->cause; w->slot_miss = x->latency; w->slot_walk = x->walk; }
    if (y) {
        uint64_t free = w->store_slot[(w->nstores - w->limit.stores) & (BUFFER_MAX - 1)];
        if (free > w->issue) issue_to(w, free);
        w->nstores++;
        w->slot_store = done + y->latency + y->walk;
        w->forward_from = w->nforwards;
    }
    finish(w, u, from, from, done, false);
}

static inline void place(struct window *w, const struct uop *u, struct accesses *a)
{
    if (UNLIKELY(u->flags & (UOP_SERIAL | UOP_LOCKED))) { serial(w, u, a); return; }
    if (UNLIKELY(u->flags & UOP_REP)) { repeat(w, u, a); return; }
    if (!u->ports) {
        uint64_t done = u->flags & UOP_MOVE ? w->ready[u->src[0]] : 0;
        bool from_load = u->flags & UOP_MOVE && w->loaded[u->src[0]];
        for (int i = 0; i < UOP_RESULTS; i++) { w->ready[u->dst[i]] = done; w->loaded[u->dst[i]] = from_load; }
        return;
    }
    uint64_t ready = w->issue + 1, done;
    for (int i = 0; i < UOP_SOURCES; i++) ready = later(ready, w->ready[u->src[i]]);
    if (u->flags & UOP_LOAD) {
        const struct access *x = take(a, false, u->bytes);
        uint32_t miss = x ? x->latency : 0, walk = x ? x->walk : 0;
        uint64_t free = w->load_slot[(w->nloads - w->limit.loads) & (BUFFER_MAX - 1)];
        if (UNLIKELY(free > w->issue)) issue_to(w, free);
        ready = later(ready, later(w->loads_from, w->issue + 1));
        if (UNLIKELY(miss)) ready = later(ready, w->fill[w->nfills % w->limit.fills]);
        uint32_t cost = u->cost + miss + walk;
        if (u->flags & UOP_CHASED && w->loaded[u->src[0]] && u->src[1] == DREG_NONE && !miss) cost -= w->limit.load_latency - w->limit.chased;
        uint64_t dispatch = book(w, choose_port(w, u->ports), ready);
        done = dispatch + cost;
        if (UNLIKELY(miss)) {
            w->fill[w->nfills % w->limit.fills] = done;
            w->fill_line[w->nfills++ % w->limit.fills] = x->gpa >> 6;
            w->last_fill = later(w->last_fill, done);
        } else if (x) {
            if (UNLIKELY(w->last_fill > done)) done = in_flight(w, x->gpa >> 6, done);
            done = forwarded(w, x->gpa, x->size > u->bytes ? x->size : u->bytes, dispatch, done);
        }
        w->nloads++;
        w->slot_load = true;
        w->slot_cause = miss ? x->cause : CS_L1;
        w->slot_miss = miss;
        w->slot_walk = (uint16_t)walk;
        finish(w, u, ready, dispatch, done, true);
        return;
    }
    if (u->flags & (UOP_STORE_ADDRESS | UOP_STORE_DATA)) {
        uint64_t free = w->store_slot[(w->nstores - w->limit.stores) & (BUFFER_MAX - 1)];
        if (UNLIKELY(free > w->issue)) issue_to(w, free);
        ready = later(ready, w->issue + 1);
    }
    if (UNLIKELY(u->hold)) ready = later(ready, w->divider_free);
    uint64_t dispatch = book(w, choose_port(w, u->ports), ready);
    done = dispatch + u->cost;
    if (UNLIKELY(u->hold)) w->divider_free = dispatch + 1 + u->hold;
    if (u->flags & UOP_STORE_ADDRESS) w->address_done = done;
    if (u->flags & UOP_STORE_DATA) {
        const struct access *x = take(a, true, u->bytes);
        w->nstores++;
        w->slot_store = later(done, w->address_done + (x ? x->latency + x->walk : 0));
        w->forward_from = w->nforwards;
        if (x) remember_store(w, x->gpa, x->size > u->bytes ? x->size : u->bytes, done);
    }
    finish(w, u, ready, dispatch, done, false);
    if (u->flags & UOP_BRANCH) w->branch_done = done;
}

/* The stack engine moves RSP without a micro-op; who names RSP then makes it catch up. */
static inline void stack_engine(struct window *w, const struct uop *u)
{
    static const struct uop sync = { .src = { DREG_RSP }, .dst = { DREG_RSP, REG_SINK, REG_SINK, REG_SINK }, .ports = 0, .flags = UOP_SLOT, .cost = 1 };
    if (u->flags & UOP_STACK) w->stack_moved = true;
    else if (w->stack_moved) {
        struct uop catch_up = sync;
        catch_up.ports = w->limit.alu_ports;
        w->stack_moved = false;
        open_slot(w, 0);
        place(w, &catch_up, NULL);
    }
}

void window_place(struct window *w, const struct uops *b, uint32_t from, uint32_t to, uint64_t va, struct accesses *a, bool legacy)
{
    uint32_t i = from ? b->insn[from - 1].end : 0, in = from;
    uint64_t at = va;
    if (legacy) for (uint32_t k = 0; k < from; k++) at += b->insn[k].length;
    if (to > b->ninsn) to = b->ninsn;
    uint32_t end = to ? b->insn[to - 1].end : 0;
    if (legacy) {
        for (; in < to; in++) {
            const struct uop_insn *x = &b->insn[in];
            frontend_decode(w, x, at);
            at += x->length;
            for (; i < x->end; i++) {
                const struct uop *u = &b->at[i];
                if (UNLIKELY(u->flags & (UOP_STACK | UOP_STACK_READ))) stack_engine(w, u);
                if (u->flags & UOP_SLOT) open_slot(w, 0);
                place(w, u, a);
            }
        }
    } else {
        for (; i < end; i++) {
            const struct uop *u = &b->at[i];
            if (UNLIKELY(u->flags & (UOP_STACK | UOP_STACK_READ))) stack_engine(w, u);
            if (u->flags & UOP_SLOT) open_slot(w, u->flags);
            place(w, u, a);
        }
    }
    window_finish_slot(w);
}

/* ---- life ---- */
void window_init(struct window *w, const struct uarch *u)
{
    if (!lanes[1])
        for (int m = 0; m < 256; m++) for (int p = 0; p < 8; p++) if (m >> p & 1) lanes[m] |= 1ull << (8 * p);
    memset(w, 0, sizeof *w);
#define LIMIT(field, name) w->limit.field = (uint32_t)u->row[UA_##name];
    LIMIT(width, issue_width) LIMIT(retire_width, retire_width) LIMIT(rob, rob) LIMIT(scheduler, scheduler) LIMIT(loads, load_buffer) LIMIT(stores, store_buffer)
    LIMIT(idq, idq) LIMIT(iq, instruction_queue) LIMIT(fills, fill_buffers) LIMIT(predecode_width, predecode_width) LIMIT(decoders, decoders)
    LIMIT(decode_slots, decode_slots) LIMIT(lcp, lcp_stall) LIMIT(dsb_width, dsb_width) LIMIT(ms_switch, ms_switch) LIMIT(refetch, mispredict) LIMIT(forward, store_forward)
    LIMIT(blocked, store_blocked) LIMIT(chased, load_latency_chased) LIMIT(load_latency, load_latency) LIMIT(store_commit, store_commit)
#undef LIMIT
    w->limit.load_ports = (uint16_t)u->row[UA_load_ports];
    w->limit.alu_ports = (uint16_t)u->row[UA_alu_ports];
    w->front.dsb_sets = (uint32_t)u->row[UA_dsb_sets];
    w->front.dsb_ways = (uint32_t)u->row[UA_dsb_ways];
    w->front.rate = w->limit.dsb_width;
    w->front_cause = CS_FRONTEND;
    w->slot = ROB_MAX;                    /* the rings look back */
    w->nloads = w->nstores = BUFFER_MAX;
}

void window_start(struct window *w, uint64_t clock)
{
    if (clock <= w->retire) return;
    issue_to(w, clock);
    w->spent[CS_RETIRING] -= w->retired;  /* of a cycle that is now somebody else's */
    w->retire = clock;
    w->retired = 0;
    if (w->front.cycle < clock) { w->front.cycle = clock; w->front.left = 0; }
    if (w->front.predecode < clock) w->front.predecode = w->front.decode = clock;
}
