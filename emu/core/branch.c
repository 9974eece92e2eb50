/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Branch prediction, once a block: p ran, `next` is where control goes. docs/branch-prediction.md; tests/branch_referee.py is its referee.
 *
 * History is the path: every taken branch shifts it by two bits and mixes its own and its target's low address bits in; branches that are
 * not taken leave no trace. Each tagged table sees the newest `length` taken branches of it. These are at most three words: to hash them
 * when somebody asks costs less than folded histories kept up to date, and loops cannot make it collide with itself.
 *
 * Directions: a bimodal base and up to TABLES tagged tables of four ways (TAGE). Targets: direct ones are known once the branch is in the
 * BTB; indirect ones by address, or by address and path where that has paid (two tagged tables, ITTAGE's form); returns by a circular stack.
 */
#include "cache.h"
#include "state.h"
#include "uarch.h"
#include <emmintrin.h>
#include <stdlib.h>
#include <string.h>

enum { TABLES = 4, WAYS = 4, HISTORY_WORDS = 3, HISTORY_MAX = 32 * HISTORY_WORDS, MIN_LENGTH = 8, TARGET_TABLES = 2, AGE_BITS = 18 };
/* an entry of a tagged table: tag 11 bits, counter 3, useful 2; a set is the four of a word; 0: empty, no tag being 0 */
enum { NEW = 4, FAILED = 8 };
enum { USEFUL = 3, COUNTER = 7 << 2, ONE = 1 << 2, TAG = 0xffe0, TAKEN = 4 << 2 };
#define LANES 0x0001000100010001ull
#define UNROLL _Pragma("GCC unroll 4")      /* where the number of tables is known, it pays */

struct target { uint32_t to; uint16_t tag; uint8_t sure, pad; };

struct branch {
    uint64_t history[HISTORY_WORDS], oldest[TABLES], seen[TABLES];           /* mask of the last word that a table sees; hash of what it sees, unless stale */
    uint8_t ntables, words[TABLES], address_bit, returns_mask; bool stale;
    int8_t prefer_alternative;               /* of a fresh entry and the next best: whose word counts, >= 0 the latter */
    uint32_t top, base_mask, set_shift, btb_mask, target_mask, decided, turn;
    uint8_t *base;                           /* counters 0..3, taken from 2 up; FAILED: was wrong once, so there may be tagged entries; or NEW */
    uint64_t *set[TABLES];
    uint64_t *btb;                           /* sets of four 16-bit tags, newest in the low bits */
    struct target *target[TARGET_TABLES + 1];/* by address; by a short and a longer path */
    uint8_t target_table[TARGET_TABLES];     /* whose history they use */
    uint64_t returns[];
};

static inline uint32_t mix(uint32_t x) { x *= 0x9e3779b1u; return x ^ x >> 15; }
static inline uint32_t address_of(uint64_t end) { return (uint32_t)(end - 1); }      /* a branch is known by its last byte */

/* ---- history ---- */
static inline void took(struct branch *s, uint64_t end, uint64_t to)
{
    uint32_t foot = mix((address_of(end) >> s->address_bit & 0xffff) | ((uint32_t)to & 0x3f) << 16) & 0xffff;
    s->history[2] = s->history[2] << 2 | s->history[1] >> 62;
    s->history[1] = s->history[1] << 2 | s->history[0] >> 62;
    s->history[0] = s->history[0] << 2 ^ foot;
    s->stale = true;
}

static inline __attribute__((always_inline)) void see(struct branch *s, int ntables)
{
    s->stale = false;
    UNROLL for (int t = 0; t < ntables; t++) {
        int last = s->words[t] - 1;
        uint64_t x = (uint64_t)t;
        if (last > 0) x = (x ^ s->history[0]) * 0x9e3779b97f4a7c15ull;
        if (last > 1) x = (x ^ s->history[1]) * 0x9e3779b97f4a7c15ull;
        x = (x ^ (s->history[last] & s->oldest[t])) * 0x9e3779b97f4a7c15ull;
        s->seen[t] = x ^ x >> 32;
    }
}

/* a branch and what table t sees of the path before it */
static inline uint32_t path_hash(const struct branch *s, int t, uint32_t a) { return (uint32_t)((s->seen[t] ^ (uint64_t)a << 21) * 0xbf58476d1ce4e5b9ull >> 32); }

/* ---- the BTB: has the front end seen this branch taken? It has now. ---- */
static __attribute__((noinline)) bool btb_older(uint64_t *set, uint64_t tag)
{
    uint64_t w = *set, part;
    bool found = true;
    if ((w >> 16 & 0xffff) == tag) part = 0xffffffff;
    else if ((w >> 32 & 0xffff) == tag) part = 0xffffffffffff;
    else { part = ~0ull; found = w >> 48 == tag; }
    *set = (w & ~part) | (w << 16 & part) | tag;
    return found;
}

/* its path is longer by a taken branch */
static inline enum branch_answer goes(struct branch *s, const struct branch_site *at, uint64_t end, uint64_t next, bool missed)
{
    uint64_t *set = &s->btb[at->line & s->btb_mask];
    took(s, end, next);
    if (UNLIKELY((uint16_t)*set != at->tag) && !btb_older(set, at->tag) && !missed) return BRANCH_RESTEER;
    return missed ? BRANCH_MISSED : BRANCH_RIGHT;
}

/* ---- directions ---- */
static inline uint32_t counted(uint32_t c, bool taken) { return taken ? c + (c < 3) : c - (c > 0); }

static inline uint32_t tag_of(uint32_t hash) { uint32_t tag = (hash & 0x7ff) << 5; return LIKELY(tag) ? tag : 1 << 5; }

/* which ways of a set have that tag: none or one, since only a branch that has none there gets an entry */
static inline __m128i ways_with(const uint64_t *set, uint32_t tag)
{
    return _mm_cmpeq_epi16(_mm_and_si128(_mm_loadl_epi64((const __m128i *)set), _mm_set1_epi16((short)TAG)), _mm_shufflelo_epi16(_mm_cvtsi32_si128((int)tag), 0));
}

/* after a miss, in the tables whose histories are longer than the one that answered: the path is still the one it was looked up with */
static __attribute__((noinline)) void allocate(struct branch *s, uint32_t a, int from, bool taken)
{
    uint64_t *set[TABLES];
    s->turn++;                                                   /* or newcomers of one set would push each other out */
    for (int t = from; t < s->ntables; t++) {
        uint32_t m = path_hash(s, t, a);
        set[t] = &s->set[t][m >> s->set_shift];
        for (uint32_t way = 0; way < WAYS; way++) {
            uint16_t *e = (uint16_t *)set[t] + (s->turn + way) % WAYS;
            if (!(*e & USEFUL)) { *e = (uint16_t)(tag_of(m) | (taken ? TAKEN : TAKEN - ONE)); return; }
        }
    }
    for (int t = from; t < s->ntables; t++) *set[t] -= LANES;    /* all useful: less so now */
}

static void age(struct branch *s)
{
    s->decided = 0;
    for (int t = 0; t < s->ntables; t++)
        for (uint32_t i = 0; i <= ~0u >> s->set_shift; i++) s->set[t][i] = (s->set[t][i] & LANES * (TAG | COUNTER)) | (s->set[t][i] >> 1 & LANES);
}

/* by its paths; base: its counter there, which was wrong at some time, or is now */
static inline __attribute__((always_inline)) bool tagged_missed(struct branch *s, int ntables, uint32_t a, uint8_t *base, bool taken)
{
    uint64_t *set[TABLES];
    __m128i with[TABLES] = { _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128() };
    bool answer = (*base & 3) >= 2;
    int first = -1;
    if (s->stale) see(s, ntables);
    UNROLL for (int t = 0; t < ntables; t++) {
        uint32_t m = path_hash(s, t, a);
        set[t] = &s->set[t][m >> s->set_shift];
        with[t] = ways_with(set[t], tag_of(m));
    }
    uint32_t found = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_unpacklo_epi64(with[0], with[1]), _mm_unpacklo_epi64(with[2], with[3])));
    if (UNLIKELY(++s->decided >> AGE_BITS)) age(s);
    if (!found) {                                                /* four bits a table */
        *base = (uint8_t)(FAILED | counted(*base & 3, taken));
    } else {
        uint32_t top = 31 - (uint32_t)__builtin_clz(found), rest = found & ((1u << (top & ~3u)) - 1);
        first = (int)top >> 2;
        uint16_t *entry = (uint16_t *)set[first] + top % WAYS;   /* the longest path's; `other`: what the next best says */
        uint32_t e = *entry, c = e & COUNTER;
        bool says = c >= TAKEN, other = answer;
        if (rest) {
            uint32_t next = 31 - (uint32_t)__builtin_clz(rest);
            other = ((uint16_t *)set[next >> 2])[next % WAYS] & TAKEN;
        }
        answer = says;
        if (says != other) {
            if (!(e & USEFUL) && (c == TAKEN || c == TAKEN - ONE)) {         /* fresh */
                if (s->prefer_alternative >= 0) answer = other;
                if (other == taken) s->prefer_alternative += s->prefer_alternative < 7;
                else s->prefer_alternative -= s->prefer_alternative > -8;
            }
            if (says == taken) e += (e & USEFUL) < USEFUL; else e -= (e & USEFUL) > 0;
        }
        if (taken) e += c < COUNTER ? ONE : 0; else e -= c ? ONE : 0;
        *entry = (uint16_t)e;
    }
    if (LIKELY(answer == taken)) return false;
    if (first + 1 < ntables) allocate(s, a, first + 1, taken);
    return true;
}

static __attribute__((noinline)) enum branch_answer unsure(struct branch *s, const struct branch_site *at, uint64_t end, uint64_t next)
{
    uint8_t *base = &s->base[at->spot & s->base_mask];
    bool taken = next != end, missed;
    if (UNLIKELY(*base == NEW)) { *base = taken ? 3 : 0; missed = taken; }
    else if (LIKELY(s->ntables == 3)) missed = tagged_missed(s, 3, address_of(end), base, taken);
    else missed = tagged_missed(s, s->ntables, address_of(end), base, taken);
    return taken ? goes(s, at, end, next, missed) : missed ? BRANCH_MISSED : BRANCH_RIGHT;
}

/* ---- indirect targets: by address, unless a path says better ---- */
static inline bool target_missed(struct branch *s, uint64_t end, uint64_t to64)
{
    uint32_t a = address_of(end), to = (uint32_t)to64;
    struct target *t[TARGET_TABLES + 1];
    uint16_t tag[TARGET_TABLES + 1];
    int first = 0;
    if (s->stale) see(s, s->ntables);
    for (int i = 0; i <= TARGET_TABLES; i++) {
        uint32_t m = i ? path_hash(s, s->target_table[i - 1], a) : mix(a);
        t[i] = &s->target[i][(m >> 20) & s->target_mask];
        tag[i] = (uint16_t)(m | 1);
        if (i && t[i]->tag == tag[i]) first = i;
    }
    struct target *p = t[first];
    bool missed = p->to != to;
    if (!missed) p->sure += p->sure < 3;
    else if (p->sure && first) p->sure--;
    else p->to = to;
    if (first) t[0]->to = to;
    if (missed && first < TARGET_TABLES) {
        struct target *n = t[first + 1];
        if (n->sure) n->sure--;
        else *n = (struct target){ to, tag[first + 1], 0, 0 };
    }
    return missed;
}

static __attribute__((noinline)) enum branch_answer indirect(struct branch *s, const struct branch_site *at, uint64_t end, uint64_t next)
{
    return goes(s, at, end, next, target_missed(s, end, next));
}

enum branch_answer branch_next(struct branch *s, uint32_t kind, const struct branch_site *at, uint64_t end, uint64_t next)
{
    bool missed = false;
    if (LIKELY(kind & BLK_COND)) {                               /* most go one way only: never wrong, a base counter is 0 or 3 */
        uint8_t base = s->base[at->spot & s->base_mask];
        if (next == end && base == 0) return BRANCH_RIGHT;
        if (next == end || base != 3) return unsure(s, at, end, next);
    } else if (kind & BLK_RET) {
        missed = s->returns[--s->top & s->returns_mask] != next;
    } else {
        if (kind & BLK_CALL && next != end) s->returns[s->top++ & s->returns_mask] = end;     /* CALL to the next instruction only reads RIP */
        if (UNLIKELY(kind & BLK_INDIRECT)) return indirect(s, at, end, next);
    }
    return goes(s, at, end, next, missed);
}

/* ---- life ---- */
static bool power_of_two(int64_t n) { return n > 0 && !(n & (n - 1)); }

int branch_geometry(cs_world *w, const struct uarch *u)
{
    const int64_t *r = u->row, *length = &r[UA_tage_history1];
    int n = 0;
    while (n < TABLES && length[n]) n++;
    for (int i = 0; i < TABLES; i++)
        if ((i < n) != (length[i] > 0) || (i < n && (length[i] < (i ? length[i - 1] + 1 : MIN_LENGTH) || length[i] > HISTORY_MAX)))
            return world_fail(w, "processor table: tage_history1 to %d must grow from %d or more to %d or less, and then be 0", TABLES, MIN_LENGTH, HISTORY_MAX);
    if (!n) return world_fail(w, "processor table: there must be a tage_history1");
    if (!power_of_two(r[UA_bimodal_entries]) || !power_of_two(r[UA_tage_entries]) || r[UA_tage_entries] < 8 * WAYS || r[UA_tage_entries] > WAYS << 16
        || !power_of_two(r[UA_btb_entries]) || r[UA_btb_entries] < WAYS || !power_of_two(r[UA_indirect_entries]) || r[UA_indirect_entries] > 4096
        || !power_of_two(r[UA_return_entries]) || r[UA_return_entries] > 256)
        return world_fail(w, "processor table: the sizes of the branch predictor's parts must be powers of two, within reason");
    if (r[UA_tage_ways] != WAYS || r[UA_btb_ways] != WAYS) return world_fail(w, "processor table: tage_ways and btb_ways must be %d", WAYS);
    if (r[UA_branch_address_bit] > 16) return world_fail(w, "processor table: branch_address_bit must be 16 or less");
    return 0;
}

struct branch *branch_new(const struct uarch *u)
{
    const int64_t *r = u->row;
    uint32_t returns = (uint32_t)r[UA_return_entries], sets = (uint32_t)r[UA_tage_entries] / WAYS;
    struct branch *s = calloc(1, sizeof *s + returns * sizeof *s->returns);
    if (!s) return NULL;
    s->address_bit = (uint8_t)r[UA_branch_address_bit];
    s->returns_mask = (uint8_t)(returns - 1);
    s->base_mask = (uint32_t)r[UA_bimodal_entries] - 1;
    s->btb_mask = (uint32_t)r[UA_btb_entries] / WAYS - 1;
    s->target_mask = (uint32_t)r[UA_indirect_entries] - 1;
    s->set_shift = 32 - (uint32_t)__builtin_ctz(sets);
    s->stale = true;
    bool bad = !(s->base = calloc(s->base_mask + 1, 1)) || !(s->btb = aligned_alloc(64, 64 + 8 * ((size_t)s->btb_mask + 1)));
    if (!bad) { memset(s->base, NEW, s->base_mask + 1); memset(s->btb, 0, 8 * ((size_t)s->btb_mask + 1)); }
    for (int t = 0; t < TABLES && r[UA_tage_history1 + t] && !bad; t++) {
        uint32_t bits = 2 * (uint32_t)r[UA_tage_history1 + t];
        s->words[t] = (uint8_t)((bits + 63) / 64);
        s->oldest[t] = ~0ull >> (63 - (bits - 1) % 64);
        bad = !(s->set[t] = calloc(sets, sizeof **s->set));
        s->ntables++;
    }
    for (int i = 0; i <= TARGET_TABLES && !bad; i++) bad = !(s->target[i] = calloc(s->target_mask + 1, sizeof **s->target));
    s->target_table[1] = s->ntables > 1;
    if (!bad) return s;
    branch_free(s);
    return NULL;
}

void branch_free(struct branch *s)
{
    if (!s) return;
    for (int t = 0; t < TABLES; t++) free(s->set[t]);
    for (int i = 0; i <= TARGET_TABLES; i++) free(s->target[i]);
    free(s->base); free(s->btb); free(s);
}

void branch_state(struct state *s, struct branch *b)
{
    state_begin(s, "BRAN");
    STATE(s, b->history); STATE(s, b->seen); state_bool(s, &b->stale); STATE(s, b->prefer_alternative); STATE(s, b->top); STATE(s, b->decided); STATE(s, b->turn);
    state_is(s, b->prefer_alternative >= -8 && b->prefer_alternative <= 7 && !(b->decided >> AGE_BITS), "a branch predictor's counter");
    state_bytes(s, b->base, b->base_mask + 1);
    for (uint32_t i = 0; i <= b->base_mask; i++) state_is(s, b->base[i] < 16, "a branch predictor's counter");
    for (int t = 0; t < b->ntables; t++) state_bytes(s, b->set[t], ((size_t)(~0u >> b->set_shift) + 1) * sizeof **b->set);
    state_bytes(s, b->btb, ((size_t)b->btb_mask + 1) * sizeof *b->btb);
    for (int i = 0; i <= TARGET_TABLES; i++) state_bytes(s, b->target[i], ((size_t)b->target_mask + 1) * sizeof **b->target);
    state_bytes(s, b->returns, ((size_t)b->returns_mask + 1) * sizeof *b->returns);
}

/* ---- testing ---- */
int cs_test_branch(cs_world *w, int machine, int vcpu, const cs_branch *b, int n, uint8_t *answers)
{
    if (!w || machine < 0 || machine >= w->nmachines || vcpu < 0 || vcpu >= w->machine[machine]->ncpus || !w->machine[machine]->llc)
        return world_fail(w, "test branch: no such vCPU, or no processor table");
    for (int i = 0; i < n; i++) {
        struct branch_site at = branch_site(b[i].end);
        answers[i] = (uint8_t)branch_next(w->machine[machine]->vcpu[vcpu]->caches->branch, b[i].kind, &at, b[i].end, b[i].next);
    }
    return 0;
}
