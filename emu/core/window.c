/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See window.h. A plain Python twin of this file and of frontend.c is the referee: tests/window_referee.py.
 *
 * This runs for every micro-op, so the state that each of them changes (struct now) lives in a local while a block is placed; what is rare
 * (serialising and locked instructions, string iterations, the stack engine) is done out of line, on the state in memory.
 */
#include "window.h"
#include <emmintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define RARE static __attribute__((noinline))
static const struct access no_access = { .cause = CS_L1 };
struct placed { uint64_t ready, dispatch, done; int port; };         /* a micro-op's cycles */

INLINE uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- time passes at issue ---- */
INLINE void issue_to(struct now *n, uint64_t cycle)
{
    n->issued = cycle > n->issue ? 0 : n->issued;
    n->issue = later(n->issue, cycle);
}

/* What was dispatched before the issue cycle has left the scheduler. Done now and then: `scheduled` is an upper bound in between. */
RARE void sweep(const struct window *w, struct now *n)
{
    uint64_t c = n->swept - w->base, to = later(n->issue, n->swept) - w->base;
    if (to > BOOKED) to = BOOKED;
    for (; c + 4 <= to; c += 4) {                          /* four cycles at a time: ones in pairs, in fours, in eights, and their sum */
        uint64_t x;
        memcpy(&x, &w->booked[c], sizeof x);
        x -= x >> 1 & 0x5555555555555555ull;
        x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
        n->scheduled -= (uint32_t)(((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full) * 0x0101010101010101ull >> 56);
    }
    for (; c < to; c++) n->scheduled -= (uint32_t)__builtin_popcount(w->booked[c]);
    n->swept = later(n->issue, n->swept);
}

/* The past makes room. */
RARE void rebase(struct window *w, struct now *n)
{
    sweep(w, n);
    uint64_t gone = n->issue - w->base, kept = gone < BOOKED ? BOOKED - gone : 0;
    memmove(w->booked, w->booked + (BOOKED - kept), kept * sizeof *w->booked);
    memset(w->booked + kept, 0, (BOOKED - kept) * sizeof *w->booked);
    w->base = n->issue;
}

RARE void wait_for_scheduler(struct window *w, struct now *n)
{
    sweep(w, n);
    while (n->scheduled >= w->limit.scheduler) { issue_to(n, n->issue + 1); sweep(w, n); }
}

/* What is rare is done on the state in memory: so the rest can keep it in registers. */
#define ASIDE(call) do { w->now = *n; call; *n = w->now; } while (0)

/* The first cycle from `from` on at which one of the ports is free: eight cycles are looked at at a time. */
INLINE uint64_t book(struct window *w, struct now *n, uint32_t ports, uint64_t from, int *port)
{
    if (UNLIKELY(from >= n->issue + HORIZON - 256)) issue_to(n, from - (HORIZON - 512));
    if (UNLIKELY(from - w->base >= BOOKED - 256)) ASIDE(rebase(w, &w->now));     /* a long block comes far within itself */
    uint64_t c = from - w->base;
    const __m128i want = _mm_set1_epi16((short)ports), none = _mm_setzero_si128();
    uint32_t full;
    while (UNLIKELY((full = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_andnot_si128(_mm_loadu_si128((const __m128i *)&w->booked[c]), want), none))) == 0xffff)) c += 8;
    c += (uint32_t)__builtin_ctz(~full) / 2;
    uint32_t taken = w->booked[c];
    *port = 31 - __builtin_clz(ports & ~taken);
    w->booked[c] = (uint16_t)(taken | 1u << *port);
    n->scheduled++;
    return w->base + c;
}

/* ---- retirement, and what its lost slots were lost to ---- */
RARE void lose_to_memory(struct window *w, int64_t lost, uint32_t cause, uint32_t miss, uint32_t walk)
{
    int64_t rate = (int64_t)w->limit.retire_width, part = cause == CS_SERIALISING ? lost : (int64_t)miss * rate;
    if (part > lost) part = lost;
    w->spent[cause] += part;
    w->touched |= 1u << cause | 1u << CS_TLB | 1u << CS_L1;
    lost -= part;
    part = (int64_t)walk * rate;
    if (part > lost) part = lost;
    w->spent[CS_TLB] += part;
    w->spent[CS_L1] += lost - part;
}

/* One cause a slot: it waited for a port; or the front end held it up, and nothing else did; or it loads; or it waited for operands, or for its own latency. */
INLINE int why(const struct now *n)
{
    if (n->dispatch > n->ready) return CS_CORE_BOUND;
    bool waited = n->ready > n->issued_at + 1;
    if (n->front && !waited) return n->front;
    if (n->load) return CS_L1;
    return waited || n->done > n->dispatch + 1 ? CS_DEPENDENCY : CS_CORE_BOUND;
}

RARE void commit_store(struct window *w, uint64_t retired, uint64_t earliest)
{
    w->store_commit = later(later(w->store_commit + w->limit.store_commit, retired), earliest);
    w->store_free[(w->nstores - 1) & (BUFFER_MAX - 1)] = w->store_commit;
    for (uint32_t i = w->forward_from; i != w->nforwards; i++) w->forward[i & (FORWARDS - 1)].commit = w->store_commit;
}

INLINE void close_slot(struct window *w, struct now *n)
{
    uint32_t width = w->limit.retire_width;
    uint64_t at = later(n->done, n->retire + (n->retired == width));
    if (at > n->retire) {
        int64_t lost = (int64_t)((at - n->retire) * width) - n->retired;
        if (UNLIKELY(n->cause)) lose_to_memory(w, lost, n->cause, n->miss, n->walk);
        else {
            int cause = why(n);
            w->spent[cause] += lost;
            w->touched |= 1u << cause;
        }
        n->retire = at;
        n->retired = 0;
    }
    n->retired++;
    w->rob[n->slot & (ROB_MAX - 1)] = at;
    if (n->store) { commit_store(w, at, n->store); n->store = 0; }
    n->slot++;
}

INLINE void open_slot(struct window *w, struct now *n, uint32_t flags, bool roomy)
{
    struct frontend *f = &w->front;
    if (flags & UOP_WINDOW || !f->left) { f->cycle++; f->left = f->rate; }
    f->left--;
    uint64_t t = n->issue + (n->issued + (flags >> 16 & 1) >= w->limit.width);    /* UOP_PAIR: room for two */
    if (!roomy) t = later(t, later(w->rob[(n->slot - w->limit.rob) & (ROB_MAX - 1)], w->serial_from));
    n->front = 0;
    if (f->cycle > t) { t = f->cycle; n->front = f->cause; }
    else f->cause = CS_FRONTEND;
    issue_to(n, t);
    if (!roomy && UNLIKELY(n->scheduled >= w->limit.scheduler)) ASIDE(wait_for_scheduler(w, &w->now));
    n->issued++;
    w->idq[n->slot & (IDQ_MAX - 1)] = n->issue;
    n->open = true;
    n->issued_at = n->done = n->dispatch = n->ready = n->issue;
    n->cause = n->load = 0;
}

/* ---- memory ---- */
static uint32_t filter_bit(uint64_t granule) { return (uint32_t)(granule ^ granule >> 8) & 255; }

RARE void remember_store(struct window *w, uint64_t issue, uint64_t gpa, uint32_t bytes, uint64_t data)
{
    for (uint64_t g = gpa >> 3; g <= (gpa + bytes - 1) >> 3; g++) {
        uint64_t low = g << 3;
        if (!(w->nforwards & 31)) {                        /* forget those that have left the store buffer */
            memset(w->filter, 0, sizeof w->filter);
            for (int i = 0; i < FORWARDS; i++)
                if (w->forward[i].granule && w->forward[i].commit > issue) w->filter[filter_bit(w->forward[i].granule - 1) >> 6] |= 1ull << (filter_bit(w->forward[i].granule - 1) & 63);
        }
        w->forward[w->nforwards++ & (FORWARDS - 1)] = (struct forward){ g + 1, data, UINT64_MAX, (uint8_t)(gpa > low ? gpa - low : 0), (uint8_t)(gpa + bytes < low + 8 ? gpa + bytes - low : 8) };
        w->filter[filter_bit(g) >> 6] |= 1ull << (filter_bit(g) & 63);
    }
}

INLINE bool may_forward(const struct window *w, uint64_t granule) { uint32_t b = filter_bit(granule); return w->filter[b >> 6] >> (b & 63) & 1; }

/* When the load's data is there, if a store that has not left the store buffer holds some of it. */
RARE uint64_t forwarded(const struct window *w, uint64_t gpa, uint32_t bytes, uint64_t dispatch, uint64_t done)
{
    for (uint64_t g = gpa >> 3; g <= (gpa + bytes - 1) >> 3; g++) {
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

/* When the youngest of our stores to a line has left the store buffer: another vCPU cannot have had the line before. */
RARE uint64_t committed(const struct window *w, uint64_t line)
{
    for (uint32_t k = 1; k <= FORWARDS; k++) {
        const struct forward *f = &w->forward[(w->nforwards - k) & (FORWARDS - 1)];
        if (f->granule && (f->granule - 1) >> 3 == line && f->commit != UINT64_MAX) return f->commit;
    }
    return 0;
}

RARE uint64_t in_flight(const struct window *w, uint64_t line, uint64_t done)      /* a hit on a line that is still under way */
{
    for (uint32_t i = 0; i < w->limit.fills; i++) if (w->fill_line[i] == line && w->fill[i] > done) done = w->fill[i];
    return done;
}

static void start_fill(struct window *w, uint64_t gpa, uint64_t done)
{
    w->fill[w->nfills % w->limit.fills] = done;
    w->fill_line[w->nfills++ % w->limit.fills] = gpa >> 6;
    w->last_fill = later(w->last_fill, done);
}

/* An access of `entries` times 8 bytes: its place in the log, and the slowest of its parts. */
INLINE const struct access *take(const struct access **at, const struct access *end, uint32_t entries, uint32_t *miss, uint32_t *walk)
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

INLINE void finish(struct window *w, struct now *n, const struct uop *u, const struct placed *p, bool from_load)
{
    uint64_t value = 2 * p->done + from_load;
    w->ready[u->dst[0]] = value;
    w->ready[u->dst[1]] = value;
    w->ready[u->dst[2]] = value;
    if (u->flags & UOP_MORE) w->ready[u->dst[3]] = value;
    n->ready = p->ready;
    n->dispatch = p->dispatch;
    n->done = later(n->done, p->done);
}

/* Waits for what is before it, or makes what is behind it wait, or both. */
RARE void serial(struct window *w, const struct uop *u, struct accesses *a)
{
    struct now *n = &w->now;
    struct placed p = { .ready = operands(w, u, n->issue + 1) >> 1 };
    uint32_t miss = 0, walk = 0, more, more_walk;
    if (u->flags & UOP_LOAD) take(&a->load, a->load_end, u->entries, &miss, &walk);
    if (u->flags & UOP_STORE_DATA) { take(&a->store, a->store_end, u->entries, &more, &more_walk); if (more + more_walk > miss + walk) { miss = more; walk = more_walk; } }
    if (u->flags & UOP_REST)              /* IRET and the like: whatever else was read */
        while (a->load < a->load_end) { take(&a->load, a->load_end, 1, &more, &more_walk); miss += more; walk += more_walk; }
    if (u->flags & UOP_DRAIN) p.ready = later(p.ready, later(n->retire, n->done));
    if (u->flags & UOP_LOCKED) p.ready = later(p.ready, later(w->store_commit, w->loads_from));
    p.dispatch = p.ready;
    p.done = p.ready + u->cost + miss + walk;
    if (u->flags & UOP_LOCKED) w->loads_from = w->store_commit = p.done;
    else w->serial_from = u->flags & UOP_DRAIN ? p.done : n->issue + u->cost;
    finish(w, n, u, &p, false);
    n->cause = CS_SERIALISING;
    n->miss = n->walk = 0;
}

/* An iteration of a string instruction: its cycles are rows of the table (cache.c), its misses overlap as loads' and stores' do. */
RARE void repeat(struct window *w, const struct uop *u, struct accesses *a)
{
    struct now *n = &w->now;
    struct placed p = { .ready = later(n->issue + 1, w->loads_from) };
    uint32_t miss = 0, walk = 0, store_miss = 0, store_walk = 0;
    const struct access *x = u->flags & UOP_LOAD ? take(&a->load, a->load_end, 1, &miss, &walk) : &no_access;
    if (miss) {
        p.ready = later(p.ready, w->fill[w->nfills % w->limit.fills]);
        start_fill(w, x->gpa, p.ready + walk + miss);
    }
    p.dispatch = p.ready;
    p.done = p.ready + walk + miss;
    if (u->flags & UOP_STORE_DATA) {
        take(&a->store, a->store_end, 1, &store_miss, &store_walk);
        issue_to(n, w->store_free[(w->nstores++ - w->limit.stores) & (BUFFER_MAX - 1)]);
        n->store = p.done + store_miss + store_walk;
        w->forward_from = w->nforwards;
    }
    finish(w, n, u, &p, false);
    n->load = 1;
    n->cause = miss | walk ? x->cause : 0;
    n->miss = miss;
    n->walk = walk;
}

/* The stack engine moves RSP without a micro-op; who names RSP then makes it catch up. */
RARE void stack_sync(struct window *w)
{
    struct now here = w->now, *n = &here;
    struct placed p = { .port = -1 };
    w->stack_moved = false;
    if (n->open) { close_slot(w, n); if (w->witness) w->witness->retired(w->witness->data, n->retire); }
    open_slot(w, n, 0, false);
    p.ready = later(w->ready[DREG_RSP] >> 1, n->issue + 1);
    p.dispatch = book(w, n, w->limit.alu_ports, p.ready, &p.port);
    p.done = p.dispatch + 1;
    w->ready[DREG_RSP] = 2 * p.done;
    n->done = p.done;
    n->ready = p.ready;
    n->dispatch = p.dispatch;
    if (w->witness) w->witness->micro_op(w->witness->data, (uint32_t)WITNESS_SYNC, w->front.cycle, n->issued_at, p.ready, p.dispatch, p.done, p.port);
    w->now = here;
}

INLINE void place_load(struct window *w, struct now *n, const struct uop *u, struct accesses *a, struct placed *p, bool roomy)
{
    uint32_t miss, walk;
    const struct access *first = a->load, *x = take(&a->load, a->load_end, u->entries, &miss, &walk);
    if (!roomy) {
        uint64_t oldest = w->load_slot[(w->nloads - w->limit.loads) & (BUFFER_MAX - 1)];
        if (n->slot - oldest < w->limit.rob) issue_to(n, w->rob[oldest & (ROB_MAX - 1)]);
    }
    w->load_slot[w->nloads++ & (BUFFER_MAX - 1)] = n->slot;
    uint32_t cost = u->cost + miss + walk;
    if (u->flags & UOP_CHASED) cost -= w->ready[u->src[0]] & 1 && !miss ? w->limit.load_latency - w->limit.chased : 0;
    p->ready = operands(w, u, later(n->issue + 1, w->loads_from)) >> 1;
    if (UNLIKELY(miss)) p->ready = later(p->ready, w->fill[w->nfills % w->limit.fills]);
    if (UNLIKELY(miss) && x->cause == CS_COHERENCE) p->ready = later(p->ready, committed(w, x->gpa >> 6));
    p->dispatch = book(w, n, u->ports, p->ready, &p->port);
    p->done = p->dispatch + cost;
    if (UNLIKELY(miss)) start_fill(w, x->gpa, p->done);
    else {
        if (UNLIKELY(w->last_fill > p->done)) p->done = in_flight(w, x->gpa >> 6, p->done);
        for (const struct access *y = first; y < a->load; y++)     /* none where the log is short */
            if (UNLIKELY(may_forward(w, y->gpa >> 3) | may_forward(w, (y->gpa + y->size - 1) >> 3))) p->done = forwarded(w, y->gpa, y->size, p->dispatch, p->done);
    }
    n->load = 1;
    if (UNLIKELY(miss | walk)) {
        n->cause = x->cause; n->miss = miss; n->walk = walk;
        if (x->cause == CS_TLB) w->loads_from = later(w->loads_from, p->dispatch + 1 + walk);
    }
    finish(w, n, u, p, true);
}

INLINE void place_store(struct window *w, struct now *n, const struct uop *u, struct accesses *a, struct placed *p, bool roomy)
{
    if (!roomy) issue_to(n, w->store_free[(w->nstores - w->limit.stores) & (BUFFER_MAX - 1)]);
    p->ready = operands(w, u, n->issue + 1) >> 1;
    p->dispatch = book(w, n, u->ports, p->ready, &p->port);
    p->done = p->dispatch + u->cost;
    finish(w, n, u, p, false);
    if (u->flags & UOP_STORE_ADDRESS) { w->address_done = p->done; return; }
    uint32_t miss, walk;
    const struct access *first = a->store, *x = take(&a->store, a->store_end, u->entries, &miss, &walk);
    w->nstores++;
    n->store = later(p->done, w->address_done + miss + walk);
    if (UNLIKELY(x->cause == CS_TLB)) w->store_commit += walk;
    w->forward_from = w->nforwards;
    for (const struct access *y = first; y < a->store; y++) remember_store(w, n->issue, y->gpa, y->size, p->done);
}

INLINE void place_op(struct window *w, struct now *n, const struct uop *u, struct placed *p)
{
    p->ready = operands(w, u, n->issue + 1) >> 1;
    if (UNLIKELY(u->hold)) p->ready = later(p->ready, w->divider_free);
    p->dispatch = book(w, n, u->ports, p->ready, &p->port);
    p->done = p->dispatch + u->cost;
    finish(w, n, u, p, false);
    if (UNLIKELY(u->hold)) w->divider_free = p->dispatch + 1 + u->hold;
    if (u->flags & UOP_BRANCH) w->branch_done = p->done;
}

/* Eliminated: a move's result is its source's, any other's is there at once. */
INLINE void place_none(struct window *w, const struct now *n, const struct uop *u, struct placed *p)
{
    uint64_t value = u->flags & UOP_MOVE ? w->ready[u->src[0]] : 0;
    for (int k = 0; k < UOP_RESULTS; k++) w->ready[u->dst[k]] = value;
    p->ready = p->dispatch = p->done = n->issue;
}

/* `roomy`: no buffer can fill up before the last of these micro-ops, so none is looked at. */
INLINE void place_all(struct window *w, const struct uops *b, uint32_t from, uint32_t to, uint64_t va, struct accesses *a, bool legacy, bool roomy, const struct witness *witness)
{
    struct now here, *n = &here;
    here.issue = w->now.issue; here.retire = w->now.retire; here.slot = w->now.slot; here.issued = w->now.issued; here.retired = w->now.retired;
    here.scheduled = w->now.scheduled; here.swept = w->now.swept;
    here.open = false;                                     /* between blocks no slot is */
    here.cause = here.load = here.front = 0;
    here.walk = here.miss = 0;
    here.issued_at = here.done = here.ready = here.dispatch = here.store = 0;
    uint32_t in = from, i = from ? b->insn[from - 1].end : 0, end = to ? b->insn[to - 1].end : 0, stop = end;
    uint64_t at = va;
    if (legacy) for (uint32_t k = 0; k < from; k++) at += b->insn[k].length;
    do {
        if (legacy) {                                      /* instruction by instruction */
            if (in == to) break;
            const struct uop_insn *x = &b->insn[in++];
            frontend_decode(w, x, at, n->slot + n->open);
            at += x->length;
            stop = x->end;
        }
        for (; i < stop; i++) {
            const struct uop *u = &b->at[i];
            struct placed p = { .port = -1 };
            if (UNLIKELY(u->flags & (UOP_STACK | UOP_STACK_READ))) {
                if (u->flags & UOP_STACK) w->stack_moved = true;
                else if (w->stack_moved) ASIDE(stack_sync(w));
            }
            if (u->flags & UOP_SLOT) {
                if (n->open) { close_slot(w, n); if (witness) witness->retired(witness->data, n->retire); }
                open_slot(w, n, legacy ? u->flags & ~(uint32_t)UOP_WINDOW : u->flags, roomy);
            }
            if (u->kind == KIND_OP) place_op(w, n, u, &p);         /* the likely ones first */
            else if (u->kind == KIND_LOAD) place_load(w, n, u, a, &p, roomy);
            else if (u->kind == KIND_STORE) place_store(w, n, u, a, &p, roomy);
            else if (u->kind == KIND_NONE) place_none(w, n, u, &p);
            else {
                if (u->kind == KIND_REP) ASIDE(repeat(w, u, a));
                else ASIDE(serial(w, u, a));
                p.ready = p.dispatch = n->dispatch;
                p.done = n->done;
            }
            if (witness) witness->micro_op(witness->data, i, w->front.cycle, n->issued_at, p.ready, p.dispatch, p.done, p.port);
        }
    } while (legacy);
    if (n->open) { close_slot(w, n); if (witness) witness->retired(witness->data, n->retire); }
    w->now.issue = here.issue; w->now.retire = here.retire; w->now.slot = here.slot; w->now.issued = here.issued; w->now.retired = here.retired;
    w->now.scheduled = here.scheduled; w->now.swept = here.swept;
    w->now.open = false;
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
    if (w->now.scheduled + slots > w->limit.scheduler) sweep(w, &w->now);
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
    if (UNLIKELY(w->now.issue - w->base >= HORIZON / 2)) rebase(w, &w->now);
    if (LIKELY(!legacy && !w->witness && room(w, b))) { place_all(w, b, from, to, va, &a, false, true, NULL); return; }
    w->room.slots = 0;
    if (w->now.scheduled + b->n > w->limit.scheduler) sweep(w, &w->now);
    if (UNLIKELY(w->witness != NULL)) place_all(w, b, from, to, va, &a, legacy, false, w->witness);
    else if (legacy) place_all(w, b, from, to, va, &a, true, false, NULL);
    else place_all(w, b, from, to, va, &a, false, false, NULL);
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
    issue_to(n, clock);
    if (n->issue - w->base >= HORIZON) rebase(w, n);
    w->spent[CS_RETIRING] -= n->retired;  /* of a cycle that is now somebody else's */
    n->retire = clock;
    n->retired = 0;
    if (w->front.cycle < clock) { w->front.cycle = clock; w->front.left = 0; }
    if (w->front.predecode < clock) w->front.predecode = w->front.decode = clock;
}
