/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See window.h. A plain Python twin of this file and of frontend.c is the referee: tests/window_referee.py.
 *
 * This runs for every micro-op, so the state that each of them changes (struct now) lives in a local while a block is placed; what is rare
 * (serialising and locked instructions, string iterations, the stack engine) is done out of line, on the state in memory.
 */
#include "window.h"
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define RARE static __attribute__((noinline))
static const struct access no_access = { .cause = CS_L1 };

INLINE uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* What every micro-op changes: struct now in registers. Slots are counted from cycle 0: `rank` in the order of retirement, `place` in that of issue,
 * each a cycle times the width and what is used in it. Four wide is what most are: a constant then. */
struct here { uint64_t issue, place, rank, slot, far; uint32_t scheduled; };

/* A slot: from its issue to its retirement nothing else is under way. Cycles of its last micro-op, and of all of it. */
struct slot {
    uint64_t issued, ready, dispatch, done;
    uint64_t store;                      /* when its store could commit at the earliest, 0: none */
    uint32_t held;                       /* by what: HELD_LOAD, it loads; why the front end held it up; above, the cause of its load's miss, or CS_SERIALISING */
};
enum { HELD_LOAD = 256, HELD_CAUSE = 16 };

INLINE uint64_t width(const struct window *w, bool four) { return four ? 4 : w->limit.width; }
INLINE uint64_t retire_width(const struct window *w, bool four) { return four ? 4 : w->limit.retire_width; }

/* Up to here micro-ops can be booked without a look at issue or at the ring's end. */
INLINE uint64_t far(const struct window *w, uint64_t issue)
{
    uint64_t a = issue + (HORIZON - 256), b = w->base + (BOOKED - 256);
    return a < b ? a : b;
}

INLINE struct here enter(const struct window *w, bool four)
{
    const struct now *n = &w->now;
    return (struct here){ n->issue, n->issue * width(w, four) + n->issued, n->retire * retire_width(w, four) + n->retired, n->slot, far(w, n->issue), n->scheduled };
}

INLINE void leave(struct window *w, const struct here *n, bool four)
{
    struct now *to = &w->now;
    to->issue = n->issue;
    to->issued = (uint32_t)(n->place - n->issue * width(w, four));
    to->slot = n->slot;
    to->scheduled = n->scheduled;
    to->retire = later(to->retire, (n->rank - (n->rank > 0)) / retire_width(w, four));
    to->retired = (uint32_t)(n->rank - to->retire * retire_width(w, four));
}

/* What is rare is done on the state in memory: so the rest can keep it in registers. */
#define ASIDE(call) do { leave(w, n, four); call; *n = enter(w, four); } while (0)

/* ---- time passes at issue ---- */
INLINE void issue_to(const struct window *w, struct here *n, uint64_t cycle, bool four)
{
    n->issue = later(n->issue, cycle);
    n->place = later(n->place, n->issue * width(w, four));
}

RARE void issue_at(struct window *w, uint64_t cycle)
{
    if (cycle <= w->now.issue) return;
    w->now.issue = cycle;
    w->now.issued = 0;
}

INLINE uint32_t ones(uint64_t x)         /* in 64 bits: in pairs, in fours, in eights, and their sum */
{
    x -= x >> 1 & 0x5555555555555555ull;
    x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
    return (uint32_t)(((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full) * 0x0101010101010101ull >> 56);
}

/* What was dispatched before the issue cycle has left the scheduler. Done now and then: `scheduled` is an upper bound in between. */
RARE void sweep(struct window *w)
{
    struct now *n = &w->now;
    uint64_t c = n->swept - w->base, to = later(n->issue, n->swept) - w->base;
    if (to > BOOKED) to = BOOKED;
    for (; c + 4 <= to; c += 4) {                          /* four cycles at a time */
        uint64_t x;
        memcpy(&x, &w->booked[c], sizeof x);
        if (x) n->scheduled -= ones(x);
    }
    for (; c < to; c++) n->scheduled -= ones(w->booked[c]);
    n->swept = later(n->issue, n->swept);
}

/* The past makes room. */
RARE void rebase(struct window *w)
{
    sweep(w);
    uint64_t gone = w->now.issue - w->base, kept = gone < BOOKED ? BOOKED - gone : 0;
    memmove(w->booked, w->booked + (BOOKED - kept), kept * sizeof *w->booked);
    memset(w->booked + kept, 0, (BOOKED - kept) * sizeof *w->booked);
    w->base = w->now.issue;
}

RARE void wait_for_scheduler(struct window *w)
{
    struct now *n = &w->now;
    sweep(w);
    while (n->scheduled >= w->limit.scheduler) {
        n->scheduled -= ones(w->booked[n->issue++ - w->base]);
        n->swept = n->issue;
        n->issued = 0;
    }
}

/* Somebody waits so long that it lies beyond what is held. */
RARE void reach(struct window *w, uint64_t cycle)
{
    if (cycle >= w->now.issue + (HORIZON - 256)) issue_at(w, cycle - (HORIZON - 512));
    if (cycle - w->base >= BOOKED - 256) rebase(w);        /* a long block comes far within itself */
}

/* The first cycle from `from` on at which one of the ports is free, and the highest-numbered one that is. */
INLINE uint64_t book(struct window *w, struct here *n, uint32_t ports, uint64_t from, int *port, bool four)
{
    if (UNLIKELY(from >= n->far)) ASIDE(reach(w, from));
    uint16_t *at = &w->booked[from - w->base];
    uint32_t taken, open;
    while (UNLIKELY(!(open = ports & ~(taken = *at)))) at++;
    *port = 31 - __builtin_clz(open);
    *at = (uint16_t)(taken | 1u << *port);
    n->scheduled++;
    return w->base + (uint64_t)(at - w->booked);
}

/* ---- retirement, and what its lost slots were lost to ---- */
RARE void lose_to_memory(struct window *w, int64_t lost, uint32_t cause)
{
    int64_t rate = (int64_t)w->limit.retire_width, part = cause == CS_SERIALISING ? lost : (int64_t)w->miss * rate;
    if (part > lost) part = lost;
    w->spent[cause] += part;
    w->touched |= 1u << cause | 1u << CS_TLB | 1u << CS_L1;
    lost -= part;
    part = (int64_t)w->walk * rate;
    if (part > lost) part = lost;
    w->spent[CS_TLB] += part;
    w->spent[CS_L1] += lost - part;
}

/* One cause a slot: it waited for a port; or the front end held it up, and nothing else did; or it loads; or it waited for operands, or for its own latency. */
INLINE int why(const struct slot *s)
{
    if (s->dispatch > s->ready) return CS_CORE_BOUND;
    bool waited = s->ready > s->issued + 1;
    if (s->held & (HELD_LOAD - 1) && !waited) return s->held & (HELD_LOAD - 1);
    if (s->held & HELD_LOAD) return CS_L1;
    return waited || s->done > s->dispatch + 1 ? CS_DEPENDENCY : CS_CORE_BOUND;
}

INLINE void commit_store(struct window *w, uint64_t retired, uint64_t earliest)
{
    w->store_commit = later(later(w->store_commit + w->limit.store_commit, retired), earliest);
    w->store_free[(w->nstores - 1) & (BUFFER_MAX - 1)] = w->store_commit;
    for (uint32_t i = w->forward_from; i != w->nforwards; i++) w->forward[i & (FORWARDS - 1)].commit = w->store_commit;
}

INLINE void close_slot(struct window *w, struct here *n, const struct slot *s, const struct witness *witness, bool four)
{
    int64_t lost = (int64_t)(s->done * retire_width(w, four) - n->rank);
    if (lost > 0) {
        n->rank += (uint64_t)lost;
        if (UNLIKELY(s->held >> HELD_CAUSE)) lose_to_memory(w, lost, s->held >> HELD_CAUSE);
        else {
            int cause = why(s);
            w->spent[cause] += lost;
            w->touched |= 1u << cause;
        }
    }
    uint64_t at = n->rank++ / retire_width(w, four);
    w->rob[n->slot++ & (ROB_MAX - 1)] = at;
    if (s->store) commit_store(w, at, s->store);
    if (witness) witness->retired(witness->data, at);
}

/* A slot is issued. `delivery`: the front end's cycle and what is left of its group. */
struct delivery { uint64_t cycle; uint32_t left; };
INLINE void open_slot(struct window *w, struct here *n, struct delivery *d, uint32_t flags, bool roomy, bool four, struct slot *s)
{
    struct frontend *f = &w->front;
    uint64_t t, pair = flags >> 16 & 1;                    /* UOP_PAIR: room for two */
    s->held = 0;
    if (flags & UOP_WINDOW || !d->left) { d->cycle++; d->left = f->rate; }
    d->left--;
    if (four) t = (n->place + (pair & n->place & n->place >> 1)) >> 2;
    else t = n->issue + (n->place - n->issue * width(w, four) + pair >= width(w, four));
    if (!roomy) t = later(t, later(w->rob[(n->slot - w->limit.rob) & (ROB_MAX - 1)], w->serial_from));
    if (UNLIKELY(d->cycle > t)) { t = d->cycle; s->held = f->cause; }
    else f->cause = CS_FRONTEND;
    issue_to(w, n, t, four);
    if (!roomy && UNLIKELY(n->scheduled >= w->limit.scheduler)) ASIDE(wait_for_scheduler(w));
    n->place++;
    w->idq[n->slot & (IDQ_MAX - 1)] = n->issue;
    s->issued = s->ready = s->dispatch = s->done = n->issue;
    s->store = 0;
}

/* ---- memory: who holds what a load wants ---- */
static uint32_t bucket(uint64_t granule) { return (uint32_t)(granule ^ granule >> 8) & (BUCKETS - 1); }

INLINE void remember_part(struct window *w, uint64_t granule, uint64_t data, uint8_t from, uint8_t to)
{
    uint32_t i = w->nforwards++ & (FORWARDS - 1), b = bucket(granule);
    w->forward[i] = (struct forward){ granule + 1, data, UINT64_MAX, from, to, (uint8_t)b, w->youngest[b] };
    w->youngest[b] = (uint8_t)i;
}

RARE void remember_parts(struct window *w, uint64_t gpa, uint32_t bytes, uint64_t data)
{
    for (uint64_t g = gpa >> 3; g <= (gpa + bytes - 1) >> 3; g++) {
        uint64_t low = g << 3;
        remember_part(w, g, data, (uint8_t)(gpa > low ? gpa - low : 0), (uint8_t)(gpa + bytes < low + 8 ? gpa + bytes - low : 8));
    }
}

INLINE void remember_store(struct window *w, uint64_t gpa, uint32_t bytes, uint64_t data)
{
    uint32_t from = (uint32_t)gpa & 7;
    if (LIKELY(from + bytes <= 8)) remember_part(w, gpa >> 3, data, (uint8_t)from, (uint8_t)(from + bytes));
    else remember_parts(w, gpa, bytes, data);
}

/* A store that has not left the store buffer may hold some of it. */
INLINE bool may_forward(const struct window *w, uint64_t granule, uint64_t dispatch)
{
    uint32_t b = bucket(granule);
    const struct forward *f = &w->forward[w->youngest[b]];
    return f->bucket == b && f->commit > dispatch;
}

/* When the load's data is there, if a store that has not left the store buffer holds some of it. */
RARE uint64_t forwarded(const struct window *w, uint64_t gpa, uint32_t bytes, uint64_t dispatch, uint64_t done)
{
    for (uint64_t g = gpa >> 3; g <= (gpa + bytes - 1) >> 3; g++) {
        uint64_t low = g << 3;
        uint32_t from = (uint32_t)(gpa > low ? gpa - low : 0), to = (uint32_t)(gpa + bytes < low + 8 ? gpa + bytes - low : 8);
        uint32_t b = bucket(g), last = w->nforwards - 1, i = w->youngest[b], age;
        do {
            const struct forward *f = &w->forward[i];
            if (f->bucket != b || f->commit <= dispatch) break;        /* commits are in order: so are all before it */
            if (f->granule == g + 1 && f->to > from && f->from < to) {
                if (f->from <= from && f->to >= to) done = later(done, f->data + w->limit.forward);
                else done = later(done, (f->commit == UINT64_MAX ? f->data : f->commit) + w->limit.blocked);
                break;
            }
            age = (last - i) & (FORWARDS - 1);
            i = f->older;
        } while (((last - i) & (FORWARDS - 1)) > age);     /* else its place has been taken by a younger one */
    }
    return done;
}

/* When the youngest of our stores to a line has left the store buffer: another vCPU cannot have had the line before. */
RARE uint64_t committed(const struct window *w, uint64_t line)
{
    for (uint32_t k = 1; k <= FORWARDS; k++) {
        const struct forward *f = &w->forward[(w->nforwards - k) & (FORWARDS - 1)];
        if (f->granule && (f->granule - 1) >> 3 == line && f->commit != UINT64_MAX) return f->commit;
    }
    return 0;
}

RARE uint64_t arrival(const struct window *w, uint64_t line, uint64_t done)
{
    for (uint32_t i = 0; i < w->limit.fills; i++) if (w->fill_line[i] == line && w->fill[i] > done) done = w->fill[i];
    return done;
}

/* When a hit's data is there if its line is still under way. */
INLINE uint64_t in_flight(const struct window *w, uint64_t line, uint64_t done) { return w->last_fill > done && w->filling >> (line & 63) & 1 ? arrival(w, line, done) : done; }

RARE void start_fill(struct window *w, uint64_t gpa, uint64_t done)
{
    w->fill[w->nfills % w->limit.fills] = done;
    w->fill_line[w->nfills++ % w->limit.fills] = gpa >> 6;
    w->last_fill = later(w->last_fill, done);
    w->filling = 0;
    for (uint32_t i = 0; i < w->limit.fills; i++) w->filling |= 1ull << (w->fill_line[i] & 63);
}

/* An access of `entries` times 8 bytes: its place in the log, and the slowest of its parts. */
RARE const struct access *take(const struct access **at, const struct access *end, uint32_t entries, uint32_t *miss, uint32_t *walk)
{
    const struct access *x = *at, *slowest = x;
    if (UNLIKELY(x >= end)) { *miss = *walk = 0; return &no_access; }
    *at = x + 1;
    for (uint32_t i = 1; UNLIKELY(i < entries) && *at < end; i++, ++*at) if ((*at)->latency + (*at)->walk > slowest->latency + slowest->walk) slowest = *at;
    *miss = slowest->latency;
    *walk = slowest->walk;
    return x;
}

/* ---- micro-ops ---- */
INLINE uint64_t operands(const struct window *w, const struct uop *u, uint64_t from)       /* twice the cycle */
{
    uint64_t at = later(later(w->ready[u->src[0]], w->ready[u->src[1]]), 2 * from);
    if (u->flags & UOP_MORE) at = later(at, later(w->ready[u->src[2]], w->ready[u->src[3]]));
    return at;
}

INLINE void finish(struct window *w, struct slot *s, const struct uop *u, uint64_t done, bool from_load)
{
    uint64_t value = 2 * done + from_load;
    w->ready[u->dst[0]] = value;
    w->ready[u->dst[1]] = value;
    w->ready[u->dst[2]] = value;
    if (u->flags & UOP_MORE) w->ready[u->dst[3]] = value;
    s->done = later(s->done, done);
}

/* Waits for what is before it, or makes what is behind it wait, or both. */
RARE struct slot serial(struct window *w, const struct uop *u, struct accesses *a, struct slot s)
{
    struct now *n = &w->now;
    uint32_t miss = 0, walk = 0, more, more_walk;
    uint64_t done;
    s.ready = operands(w, u, n->issue + 1) >> 1;
    if (u->flags & UOP_LOAD) take(&a->load, a->load_end, u->entries, &miss, &walk);
    if (u->flags & UOP_STORE_DATA) { take(&a->store, a->store_end, u->entries, &more, &more_walk); if (more + more_walk > miss + walk) { miss = more; walk = more_walk; } }
    if (u->flags & UOP_REST)              /* IRET and the like: whatever else was read */
        while (a->load < a->load_end) { take(&a->load, a->load_end, 1, &more, &more_walk); miss += more; walk += more_walk; }
    if (u->flags & UOP_DRAIN) s.ready = later(s.ready, later(n->retire, s.done));
    if (u->flags & UOP_LOCKED) s.ready = later(s.ready, later(w->store_commit, w->loads_from));
    s.dispatch = s.ready;
    done = s.ready + u->cost + miss + walk;
    if (u->flags & UOP_LOCKED) w->loads_from = w->store_commit = done;
    else w->serial_from = u->flags & UOP_DRAIN ? done : n->issue + u->cost;
    finish(w, &s, u, done, false);
    s.held = (s.held & ((1u << HELD_CAUSE) - 1)) | CS_SERIALISING << HELD_CAUSE;
    w->miss = w->walk = 0;
    return s;
}

/* An iteration of a string instruction: its cycles are rows of the table (cache.c), its misses overlap as loads' and stores' do. */
RARE struct slot repeat(struct window *w, const struct uop *u, struct accesses *a, struct slot s)
{
    uint32_t miss = 0, walk = 0, store_miss = 0, store_walk = 0;
    const struct access *x = u->flags & UOP_LOAD ? take(&a->load, a->load_end, 1, &miss, &walk) : &no_access;
    s.ready = later(w->now.issue + 1, w->loads_from);
    if (miss) {
        s.ready = later(s.ready, w->fill[w->nfills % w->limit.fills]);
        start_fill(w, x->gpa, s.ready + walk + miss);
    }
    s.dispatch = s.ready;
    uint64_t done = s.ready + walk + miss;
    if (u->flags & UOP_STORE_DATA) {
        take(&a->store, a->store_end, 1, &store_miss, &store_walk);
        issue_at(w, w->store_free[(w->nstores++ - w->limit.stores) & (BUFFER_MAX - 1)]);
        s.store = done + store_miss + store_walk;
        w->forward_from = w->nforwards;
    }
    finish(w, &s, u, done, false);
    s.held = (s.held & (HELD_LOAD - 1)) | HELD_LOAD | (miss | walk ? x->cause : 0u) << HELD_CAUSE;
    w->miss = miss;
    w->walk = walk;
    return s;
}

/* The stack engine moves RSP without a micro-op; who names RSP then makes it catch up. */
RARE void stack_sync(struct window *w, const struct witness *witness)
{
    struct here here = enter(w, false), *n = &here;
    struct delivery d = { w->front.cycle, w->front.left };
    struct slot s;
    int port;
    w->stack_moved = false;
    open_slot(w, n, &d, 0, false, false, &s);
    s.ready = later(w->ready[DREG_RSP] >> 1, n->issue + 1);
    s.dispatch = book(w, n, w->limit.alu_ports, s.ready, &port, false);
    s.done = s.dispatch + 1;
    w->ready[DREG_RSP] = 2 * s.done;
    if (witness) witness->micro_op(witness->data, (uint32_t)WITNESS_SYNC, d.cycle, s.issued, s.ready, s.dispatch, s.done, port);
    close_slot(w, n, &s, witness, false);
    w->front.cycle = d.cycle;
    w->front.left = d.left;
    leave(w, n, false);
}

INLINE uint64_t place_load(struct window *w, struct here *n, const struct uop *u, struct accesses *a, struct slot *s, int *port, bool roomy, bool four)
{
    const struct access *x = a->load, *first = x;
    uint32_t miss = 0, walk = 0, cost = u->cost;
    if (!roomy) {
        uint64_t oldest = w->load_slot[(w->nloads - w->limit.loads) & (BUFFER_MAX - 1)];
        if (n->slot - oldest < w->limit.rob) issue_to(w, n, w->rob[oldest & (ROB_MAX - 1)], four);
    }
    w->load_slot[w->nloads++ & (BUFFER_MAX - 1)] = n->slot;
    if (LIKELY(x < a->load_end && u->entries == 1)) {
        a->load = x + 1;
        miss = x->latency;
        walk = x->walk;
    } else {
        struct accesses copy = *a;
        x = take(&copy.load, copy.load_end, u->entries, &miss, &walk);
        a->load = copy.load;
    }
    if (u->flags & UOP_CHASED) cost -= w->ready[u->src[0]] & 1 && !miss ? w->limit.load_latency - w->limit.chased : 0;
    s->ready = operands(w, u, later(n->issue + 1, w->loads_from)) >> 1;
    if (UNLIKELY(miss)) {
        s->ready = later(s->ready, w->fill[w->nfills % w->limit.fills]);
        if (x->cause == CS_COHERENCE) s->ready = later(s->ready, committed(w, x->gpa >> 6));
    }
    s->dispatch = book(w, n, u->ports, s->ready, port, four);
    uint64_t done = s->dispatch + cost + miss + walk;
    if (UNLIKELY(miss)) start_fill(w, x->gpa, done);
    else {
        done = in_flight(w, x->gpa >> 6, done);
        for (const struct access *y = first; y < a->load; y++)     /* none where the log is short */
            if (UNLIKELY(may_forward(w, y->gpa >> 3, s->dispatch) || (((y->gpa & 7) + y->size > 8) && may_forward(w, (y->gpa + y->size - 1) >> 3, s->dispatch))))
                done = forwarded(w, y->gpa, y->size, s->dispatch, done);
    }
    s->held |= HELD_LOAD;
    if (UNLIKELY(miss | walk)) {
        s->held = (s->held & ((1u << HELD_CAUSE) - 1)) | (uint32_t)x->cause << HELD_CAUSE;
        w->miss = miss;
        w->walk = walk;
        if (x->cause == CS_TLB) w->loads_from = later(w->loads_from, s->dispatch + 1 + walk);
    }
    finish(w, s, u, done, true);
    return done;
}

INLINE uint64_t place_store(struct window *w, struct here *n, const struct uop *u, struct accesses *a, struct slot *s, int *port, bool roomy, bool four)
{
    if (!roomy) issue_to(w, n, w->store_free[(w->nstores - w->limit.stores) & (BUFFER_MAX - 1)], four);
    s->ready = operands(w, u, n->issue + 1) >> 1;
    s->dispatch = book(w, n, u->ports, s->ready, port, four);
    uint64_t done = s->dispatch + u->cost;
    finish(w, s, u, done, false);
    if (u->flags & UOP_STORE_ADDRESS) { w->address_done = done; return done; }
    const struct access *x = a->store, *first = x;
    uint32_t miss, walk;
    if (LIKELY(x < a->store_end && u->entries == 1)) {
        a->store = x + 1;
        miss = x->latency;
        walk = x->walk;
    } else {
        struct accesses copy = *a;
        x = take(&copy.store, copy.store_end, u->entries, &miss, &walk);
        a->store = copy.store;
    }
    w->nstores++;
    s->store = later(done, w->address_done + miss + walk);
    if (UNLIKELY(x->cause == CS_TLB)) w->store_commit += walk;
    w->forward_from = w->nforwards;
    for (const struct access *y = first; y < a->store; y++) remember_store(w, y->gpa, y->size, done);
    return done;
}

INLINE uint64_t place_op(struct window *w, struct here *n, const struct uop *u, struct slot *s, int *port, bool four)
{
    s->ready = operands(w, u, n->issue + 1) >> 1;
    if (UNLIKELY(u->hold)) s->ready = later(s->ready, w->divider_free);
    s->dispatch = book(w, n, u->ports, s->ready, port, four);
    uint64_t done = s->dispatch + u->cost;
    finish(w, s, u, done, false);
    if (UNLIKELY(u->hold)) w->divider_free = s->dispatch + 1 + u->hold;
    if (u->flags & UOP_BRANCH) w->branch_done = done;
    return done;
}

/* Eliminated: a move's result is its source's, any other's is there at once. */
INLINE void place_none(struct window *w, const struct uop *u)
{
    uint64_t value = u->flags & UOP_MOVE ? w->ready[u->src[0]] : 0;
    for (int k = 0; k < UOP_RESULTS; k++) w->ready[u->dst[k]] = value;
}

/* `roomy`: no buffer can fill up before the last of these micro-ops, so none is looked at. */
INLINE void place_all(struct window *w, const struct uops *b, uint32_t from, uint32_t to, uint64_t va, struct accesses a, bool legacy, bool roomy, bool four, const struct witness *witness)
{
    struct frontend *f = &w->front;
    struct here here = enter(w, four), *n = &here;
    struct delivery delivery = { f->cycle, f->left }, *d = &delivery;
    const struct uop *u = b->at + (from ? b->insn[from - 1].end : 0), *end = b->at + (to == b->ninsn ? b->n : to ? b->insn[to - 1].end : 0), *decoded = u;
    const struct uop_insn *x = b->insn + from, *past = b->insn + to;
    uint64_t at = va;
    if (legacy) for (uint32_t k = 0; k < from; k++) at += b->insn[k].length;
    for (;;) {
        if (legacy) {                                      /* instruction by instruction */
            f->cycle = d->cycle;
            f->left = d->left;
            for (; u == decoded && x < past; x++) {
                frontend_decode(w, x, at, n->slot);
                at += x->length;
                decoded = b->at + x->end;
            }
            *d = (struct delivery){ f->cycle, f->left };
        }
        if (u == end) break;
        uint32_t flags = u->flags;
        if (UNLIKELY(flags & (UOP_STACK | UOP_STACK_READ))) {
            if (flags & UOP_STACK) w->stack_moved = true;
            else if (w->stack_moved) {
                f->cycle = d->cycle;
                f->left = d->left;
                ASIDE(stack_sync(w, witness));
                *d = (struct delivery){ f->cycle, f->left };
            }
        }
        struct slot slot, *s = &slot;
        int port = -1;
        open_slot(w, n, d, legacy ? flags & ~(uint32_t)UOP_WINDOW : flags, roomy, four, s);
        do {
            uint64_t done = s->issued;
            if (witness) port = -1;
            if (u->kind == KIND_OP) done = place_op(w, n, u, s, &port, four);         /* the likely ones first */
            else if (u->kind == KIND_LOAD) done = place_load(w, n, u, &a, s, &port, roomy, four);
            else if (u->kind == KIND_STORE) done = place_store(w, n, u, &a, s, &port, roomy, four);
            else if (u->kind == KIND_NONE) place_none(w, u);
            else {
                struct accesses copy = a;
                struct slot old = slot, new;
                ASIDE(new = u->kind == KIND_REP ? repeat(w, u, &copy, old) : serial(w, u, &copy, old));
                slot = new;
                a = copy;
                done = s->done;
            }
            if (witness) {
                bool none = u->kind == KIND_NONE;
                witness->micro_op(witness->data, (uint32_t)(u - b->at), d->cycle, s->issued, none ? n->issue : s->ready, none ? n->issue : s->dispatch, none ? n->issue : done, port);
            }
        } while (!((++u)->flags & UOP_SLOT));
        close_slot(w, n, s, witness, four);
    }
    f->cycle = d->cycle;
    f->left = d->left;
    leave(w, n, four);
}

static bool fits(const struct window *w, uint32_t slots, uint32_t loads, uint32_t stores)
{
    const struct now *n = &w->now;
    uint64_t oldest = w->load_slot[(w->nloads + loads - w->limit.loads) & (BUFFER_MAX - 1)];
    return slots < w->limit.roomy && n->scheduled + slots <= w->limit.scheduler && w->serial_from <= n->issue
        && w->rob[(n->slot + slots - w->limit.rob) & (ROB_MAX - 1)] <= n->issue && n->slot + slots >= w->limit.rob
        && (n->slot - oldest >= w->limit.rob || w->rob[oldest & (ROB_MAX - 1)] <= n->issue)
        && w->store_free[(w->nstores + stores - w->limit.stores) & (BUFFER_MAX - 1)] <= n->issue;
}

RARE bool look_for_room(struct window *w, uint32_t slots, uint32_t loads, uint32_t stores)
{
    uint32_t more = w->limit.roomy - 1;
    if (w->now.scheduled + slots > w->limit.scheduler) sweep(w);
    if (slots <= more && loads <= more / 2 && stores <= more / 3 && fits(w, more, more / 2, more / 3)) {
        w->room = (struct room){ more - slots, more / 2 - loads, more / 3 - stores };
        return true;
    }
    w->room.slots = 0;
    return fits(w, slots, loads, stores);
}

/* Room that was there stays there: time only frees entries. So it is looked for ahead, and used up block by block. */
INLINE bool room(struct window *w, const struct uops *b)
{
    uint32_t slots = b->n + b->syncs;
    if (UNLIKELY(!b->roomy)) { w->room.slots = 0; return false; }
    if (UNLIKELY(slots > w->room.slots || b->loads > w->room.loads || b->stores > w->room.stores)) return look_for_room(w, slots, b->loads, b->stores);
    w->room.slots -= slots;
    w->room.loads -= b->loads;
    w->room.stores -= b->stores;
    return true;
}

void window_place(struct window *w, const struct uops *b, uint32_t from, uint32_t to, uint64_t va, struct accesses a, bool legacy)
{
    if (to > b->ninsn) to = b->ninsn;
    if (UNLIKELY(w->now.issue - w->base >= HORIZON / 2)) rebase(w);
    bool four = w->limit.width == 4 && w->limit.retire_width == 4 && !w->witness;
    if (LIKELY(!legacy && four && room(w, b))) { place_all(w, b, from, to, va, a, false, true, true, NULL); return; }
    w->room.slots = 0;
    if (w->now.scheduled + b->n > w->limit.scheduler) sweep(w);
    if (UNLIKELY(!four)) place_all(w, b, from, to, va, a, legacy, false, false, w->witness);
    else if (legacy) place_all(w, b, from, to, va, a, true, false, true, NULL);
    else place_all(w, b, from, to, va, a, false, false, true, NULL);
}

/* ---- life ---- */
void window_init(struct window *w, const struct uarch *u)
{
    memset(w, 0, sizeof *w);
#define LIMIT(field, name) w->limit.field = (uint32_t)u->row[UA_##name];
    LIMIT(width, issue_width) LIMIT(retire_width, retire_width) LIMIT(rob, rob) LIMIT(scheduler, scheduler) LIMIT(loads, load_buffer) LIMIT(stores, store_buffer)
    LIMIT(idq, idq) LIMIT(iq, instruction_queue) LIMIT(fills, fill_buffers) LIMIT(predecode_width, predecode_width) LIMIT(decoders, decoders)
    LIMIT(decode_slots, decode_slots) LIMIT(lcp, lcp_stall) LIMIT(dsb_width, dsb_width) LIMIT(ms_switch, ms_switch) LIMIT(fusible_held, fusible_held) LIMIT(refetch, mispredict) LIMIT(forward, store_forward)
    LIMIT(blocked, store_blocked) LIMIT(chased, load_latency_chased) LIMIT(load_latency, load_latency) LIMIT(store_commit, store_commit) LIMIT(alu_ports, alu_ports)
#undef LIMIT
    uint32_t least = w->limit.loads < w->limit.stores ? w->limit.loads : w->limit.stores;
    if (w->limit.rob < least) least = w->limit.rob;
    w->limit.roomy = least < 32 ? least : 32;
    w->front.dsb_sets = (uint32_t)u->row[UA_dsb_sets];
    w->front.dsb_ways = (uint32_t)u->row[UA_dsb_ways];
    w->front.rate = w->limit.dsb_width;
    w->front.cause = CS_FRONTEND;
    w->now.slot = 2 * ROB_MAX;            /* the rings look back */
    w->now.swept = w->base = 0;
    w->touched = 1u << CS_RETIRING;
}

void window_start(struct window *w, uint64_t clock)
{
    struct now *n = &w->now;
    if (clock <= n->retire) return;
    issue_at(w, clock);
    if (n->issue - w->base >= HORIZON) rebase(w);
    w->spent[CS_RETIRING] -= n->retired;  /* of a cycle that is now somebody else's */
    n->retire = clock;
    n->retired = 0;
    if (w->front.cycle < clock) { w->front.cycle = clock; w->front.left = 0; }
    if (w->front.predecode < clock) w->front.predecode = w->front.decode = clock;
}
