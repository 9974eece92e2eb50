/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory system's state, and the few instructions every L1 hit costs us (the memory hooks inline cache_hit). docs/memory-model.md has the model
 * in words, tests/cache_referee.py in plain Python.
 *
 *   cache.c     a vCPU's L1D and L2, what an access waits, and how that is charged or logged
 *   fetch.c     its L1I: what a block waits for its code       prefetch.c   lines that come before they are asked for
 *   tlb.c       its TLBs and page walks
 *   llc.c       the machine's last-level cache and directory, devices    dram.c   channels, rows, bandwidth
 *   geometry.c  sizes, checked and laid out
 *
 * Arrays hold line number + 1 ("key"), shifted left by two, with the MESI state below: 0 is an empty way. A set's ways are in order of use.
 * An E line becomes M in the L1 without telling anyone; a line that is M in the L2 is E in the L1 until it is written again.
 */
#ifndef CS_CACHE_H
#define CS_CACHE_H
#include "branch.h"
#include <emmintrin.h>

enum { LINE_BITS = 6, LINE = 1 << LINE_BITS, L1_MAX_SETS = 64 /* of one page's lines */, WAYS_MAX = 32, FRONT = 16, FLIGHTS = 64, STREAMS_MAX = 64, FLIGHTS_MAX = 32 };
enum { ST_S = 1, ST_E = 2, ST_M = 3, ST_MASK = 3, STATE_BITS = 2 };
#define KEY(line) ((uint32_t)(line) + 1)
#define ENTRY_KEY(e) ((e) >> STATE_BITS)
#define NO_GVA UINT64_MAX        /* the access's virtual address is not known: no TLB is looked at */
#define FRONT_TAG(gva) ((gva) | 4095)

struct ways { uint32_t *at, sets, ways; };           /* sets: a power of two, but for the LLC's */

struct tlb_level {               /* a first-level TLB: 4 KiB and 2 MiB pages in sets, 1 GiB pages in one */
    uint64_t *small, *large, *huge; uint32_t small_sets, small_ways, large_sets, large_ways, huge_ways;
    struct caches *data_of;      /* of the data side: `front` there is FRONT_TAG of the last page looked up in each slot; see tlb.c */
};
struct tlb {
    struct tlb_level data, code;
    uint32_t *second, second_sets, second_bits, second_ways; uint64_t *second_local /* a bit for each set that may hold other than global pages */, *second_huge; uint32_t second_huge_sets, second_huge_ways;
    uint64_t *structure[3]; uint32_t structure_ways[3];          /* paging-structure caches: PDEs, PDPTEs, PML4Es */
    uint64_t cr[3];              /* CR0, CR3, CR4 when last looked at */
    uint64_t code_last;          /* page + 1 of the last code look-up, if `code` answers it: it leads its set there */
};

struct stream { uint32_t page /* + 1 */; uint8_t line, ahead, run; int8_t way; };    /* what the streamer saw of a physical page */

struct caches {
    uint32_t quick[2][L1_MAX_SETS];      /* [0]: key of the set's most recent way; [1]: the same if it is M */
    uint64_t front[FRONT];               /* see struct tlb_level */
    uint64_t store_front[FRONT];         /* the same, where the page holds no translated code (access.c) */
    uint64_t written[L1_MAX_SETS];       /* when that way was last written, if it is M (this vCPU's clock), */
    uint64_t *wtime;                     /* and the others, beside l1d */
    struct ways l1d, l1i, l2;
    uint32_t l1_mask;
    uint32_t flight[FLIGHTS]; uint64_t arrives[FLIGHTS];         /* prefetched lines not asked for yet: key << 1 | from memory; when they are there */
    struct stream stream[STREAMS_MAX];
    uint64_t under_way[FLIGHTS_MAX]; uint32_t next_flight;       /* prefetches from beyond the L2: when each slot is free again */
    uint32_t missed;                     /* key of the last line a load brought into the L1 */
    uint64_t epoch;                      /* counts changes of the L1I and ITLB: see block.code_line_stamp */
    uint32_t filled;                     /* key of the line a LOCKed block's load has just fetched: its store pays nothing more */
    uint64_t filled_at;                  /* when it arrives */
    uint64_t later;                      /* than the block's start: see later() */
    struct block *prev;                  /* the block before, for branches, REP and translations */
    uint32_t rep_bytes, rep_acc16;
    struct { uint64_t until; uint32_t wait, left; } shadow;      /* of the last load that stalled: see overlapped() */
    struct branch *branch;
    int32_t load_latency, load_hidden, chased_hidden, fill_buffers, store_hidden, fetch_hidden, l2_latency, llc_latency, transfer_latency, upgrade_latency, stlb_latency, walk_start,
        l1_next_line, l2_adjacent, streams, stream_ahead, prefetches, mispredict, resteer, rep_startup, rep_line16;
};

struct dir_line { uint64_t mtime; uint16_t sharers; uint8_t owner /* vCPU + 1, of E or M */, writer /* vCPU + 1 at mtime */, in_llc; uint8_t pad[3]; };
struct channel { uint64_t at; uint64_t backlog16; };             /* the bus has that much to do, at that time */
struct dram {
    struct channel *channel; uint32_t *row /* + 1, by bank */; uint32_t channels, banks, row_lines;
    uint32_t latency, hit, empty;        /* of a load: a row must be closed for it; its row is open; no row is open */
    uint32_t line16;                     /* a line on the bus */
};
struct llc {
    struct dir_line *dir; uint64_t dir_lines;
    struct ways tags;                    /* sets: of one slice. Flags in place of the state */
    uint32_t slices, ddio_ways; bool inclusive;
    struct dram dram;
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

void cache_slow(struct vcpu *, uint64_t gpa, uint64_t gva, uint32_t size, bool write);
static inline void front_clear(struct caches *c, uint32_t slot) { c->front[slot] = c->store_front[slot] = 0; }

static inline __attribute__((always_inline)) void cache_hit(struct vcpu *v, uint64_t gpa, uint64_t gva, uint32_t size, bool write) {
    struct caches *c = v->caches;
    uint32_t set = (uint32_t)(gpa >> LINE_BITS) & c->l1_mask;
    if (v->log) log_access(v->log, gpa, size, write);
    if (LIKELY(c->quick[write][set] == KEY(gpa >> LINE_BITS) && c->front[(gva >> 12) & (FRONT - 1)] == FRONT_TAG(gva) && (gpa & (LINE - 1)) + size <= LINE)) {
        if (write) c->written[set] = cache_now(v);
        return;
    }
    cache_slow(v, gpa, gva, size, write);
}

/* --- what the files offer one another. Latencies are load to use, in full --- */
struct answer { uint32_t latency; uint8_t cause; bool held /* by another vCPU's write: nothing hides that */, memory /* it comes from there */, looked_up /* in the L2 */; };

/* cache.c */
struct answer line_data(struct vcpu *, uint32_t key, bool write, bool locked, uint64_t now);     /* one line of an access, from wherever it is, into the L1D */
struct answer line_fetch(struct vcpu *, uint32_t key, bool write, uint64_t now);                 /* it misses the L2: in it comes */
bool line_prefetch(struct vcpu *, uint32_t key, uint64_t now);                                   /* likewise, unless another vCPU holds it; false: no */
void line_ahead(struct vcpu *, uint32_t key, uint64_t now);                                      /* from the L2 into the L1D, if it is in the first only */
uint32_t *l2_find(struct caches *, uint32_t key);
void l2_front(struct caches *, uint32_t *entry);
uint32_t flight_wait(struct caches *, uint32_t key, uint64_t now, uint8_t *cause);               /* a line of the L2 or L1 is asked for: cycles until it is there; forgets it */
uint32_t line_snoop(struct machine *, int vcpu, uint32_t key, bool keep);                        /* that vCPU loses the line (or keeps it shared); the state it had */
void charge(struct vcpu *, int cause, uint64_t cycles);
/* prefetch.c */
void prefetch_train(struct vcpu *, uint32_t key, uint64_t now);                                  /* the L2 was looked up for a line */
void prefetch_pair(struct vcpu *, uint32_t key, uint64_t now);                                   /* a line comes from memory */
void prefetch_next(struct vcpu *, uint32_t key, uint64_t now);                                   /* a load brings a line into the L1D */
void flight_note(struct caches *, uint32_t key, uint64_t arrival, bool memory);
/* tlb.c: cycles, 0 on a first-level hit */
uint32_t tlb_data(struct vcpu *, uint64_t gva);
uint32_t tlb_code(struct vcpu *, uint64_t gva);
#define TLB_PAGES ((1ull << 36) - 1)                             /* 48-bit addresses, as page numbers */
static inline bool tlb_code_leads(const struct tlb *t, uint64_t gva) { return t->code_last == (gva >> 12 & TLB_PAGES) + 1; }   /* a look-up would change nothing */
int tlb_new(struct vcpu *); void tlb_free(struct vcpu *); void tlb_restored(struct tlb *);
void tlb_changed(struct vcpu *, const struct block *);           /* that block ended in an instruction that changes translations */
void tlb_flush(struct vcpu *, bool all /* global pages too */); void tlb_drop(struct vcpu *, uint64_t gva);
/* llc.c */
uint32_t llc_index(const struct llc *, uint32_t key);            /* number of its set, over all slices */
void llc_insert(struct machine *, uint32_t key, uint8_t flags, uint64_t now);
uint8_t llc_remove(struct llc *, uint32_t key);                  /* its flags */
void llc_touch(struct llc *, uint32_t key, uint8_t flags);       /* it is there: the most recent now, with these flags too */
void llc_invalidate(struct machine *, uint32_t key, int keep);   /* all vCPUs but `keep` (-1: all) lose the line */
/* dram.c */
int dram_new(struct machine *); void dram_free(struct dram *);
uint32_t dram_read(struct machine *, uint32_t line, uint64_t now);            /* latency */
void dram_write(struct machine *, uint32_t line, uint64_t now);               /* nobody waits, but the channel is busy */

#define NO_MEMMOVE __asm__ volatile("")      /* keeps a short loop a loop: k is 1 as a rule, and memmove costs more */

/* Moves way k of a set to its front; ways beyond k keep their order. */
static inline void lru_front(uint32_t *set, uint32_t k, uint32_t entry) {
    for (; k; k--) { set[k] = set[k - 1]; NO_MEMMOVE; }
    set[0] = entry;
}
/* Takes way k out; the freed way becomes the oldest. */
static inline void lru_drop(uint32_t *set, uint32_t ways, uint32_t k) {
    for (; k + 1 < ways; k++) set[k] = set[k + 1];
    set[k] = 0;
}
/* The way of a set whose entry, `shift` bits of state left out, is `key`; `ways` when none is: four at a time. */
static inline __attribute__((always_inline)) uint32_t way_with(const uint32_t *set, uint32_t ways, uint32_t key, int shift) {
    const __m128i keys = _mm_set1_epi32((int)key);
    uint32_t k = 0;
    for (; k + 4 <= ways; k += 4) {
        int found = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_srli_epi32(_mm_loadu_si128((const __m128i *)(set + k)), shift), keys)));
        if (found) return k + (uint32_t)__builtin_ctz((unsigned)found);
    }
    for (; k < ways; k++) if (set[k] >> shift == key) break;
    return k;
}
static inline uint32_t *ways_of(const struct ways *w, uint32_t key) { return w->at + (size_t)((key - 1) & (w->sets - 1)) * w->ways; }
#endif
