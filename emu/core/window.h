/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The out-of-order window of one vCPU: where the detailed level's cycles come from.
 *
 * Micro-ops are placed one by one in program order, each at the cycles at which it is delivered, issued, dispatched, done and retired; nothing is
 * simulated cycle by cycle. That is exact for in-order stages, and for a scheduler that takes the oldest ready micro-op first: an
 * older one has booked its port's cycle before a younger one is looked at.
 *
 *   front end (frontend.c) -> issue: `width` slots a cycle, in order, while ROB, scheduler, load and store buffers have room
 *   -> dispatch: operands ready, a port free (of several the highest-numbered), a fill buffer for a miss
 *   -> retire in order. The retire clock is the vCPU's clock.
 *
 * Cycles are absolute (the vCPU's). What is booked is held for HORIZON cycles from the issue cycle on; what would lie beyond drags issue along.
 */
#ifndef CS_WINDOW_H
#define CS_WINDOW_H
#include "uop.h"

enum { HORIZON = 1024, BOOKED = 2 * HORIZON, ROB_MAX = 512, IDQ_MAX = 256, BUFFER_MAX = 128, FILL_MAX = 32, IQ_MAX = 32, FORWARDS = 64, BUCKETS = 256, DSB_SETS_MAX = 128, DSB_WAYS_MAX = 12 };
enum { DREG_RSP = DREG_GPR + 4 };

struct forward { uint64_t granule /* address / 8, + 1; 0: empty */, data /* when the store's data is there */, commit /* when it has left the store buffer */; uint8_t from, to, bucket, older /* the place of the one before it in its bucket */; };

struct dsb_line { uint64_t key /* window address + 1; 0: empty */; uint32_t ways; };
struct frontend {                        /* frontend.c; cycles at which a micro-op could issue, that is, behind the pipe's own depth */
    uint64_t cycle;                      /* of the group being delivered */
    uint32_t left, rate;                 /* slots left in it, and in the next ones */
    bool legacy;                         /* delivered by the decoders last */
    uint8_t cause;                       /* why it is late, if it is: CS_FRONTEND or CS_BADSPEC */
    uint64_t last_window, next;          /* 32-byte window delivered last; where straight-line code goes on */
    uint64_t predecode, decode, window /* address / 16 of the bytes being predecoded, + 1 */;
    uint32_t predecoded, decoded, decoded_slots;         /* in this cycle */
    uint32_t ninsn; uint64_t iq[IQ_MAX];                 /* when the last ones left the instruction queue */
    uint32_t dsb_sets, dsb_ways;
    struct dsb_line dsb[DSB_SETS_MAX][DSB_WAYS_MAX];     /* the micro-op cache, most recent first; a set's lines take dsb_ways ways at most */
};

struct window_limits { uint32_t width, retire_width, rob, scheduler, loads, stores, idq, iq, fills, predecode_width, decoders, decode_slots, lcp, dsb_width, ms_switch, fusible_held,
    refetch, forward, blocked, chased, load_latency, store_commit, alu_ports, roomy /* so few micro-ops cannot fill a buffer by themselves */; };

struct now {                             /* what changes with every micro-op */
    uint64_t issue, retire, slot;        /* cycles; slots so far */
    uint32_t issued, retired;            /* slots used in those cycles */
    uint32_t scheduled;                  /* micro-ops dispatched at cycle `swept` or later: the scheduler's entries in use, and some that are not any more */
    uint64_t swept;
};

enum { WITNESS_SYNC = -1 };
struct witness {                         /* told of every micro-op and slot: for timelines */
    void *data;
    void (*micro_op)(void *, uint32_t index /* WITNESS_SYNC: the stack engine's */, uint64_t delivered, uint64_t issued, uint64_t ready, uint64_t dispatched, uint64_t done, int port /* -1: none */);
    void (*retired)(void *, uint64_t cycle);             /* the slot before */
};

struct window {
    struct window_limits limit;
    struct now now;
    struct room { uint32_t slots, loads, stores; } room; /* that may be used before a buffer can be full */
    uint64_t ready[REG_COUNT];           /* by register: twice the cycle at which its value is there; odd if it comes straight from a load */
    uint64_t base;                       /* booked[0]'s cycle */
    uint16_t booked[BOOKED + 8];         /* by cycle: ports taken, that is, micro-ops that leave the scheduler */
    uint64_t rob[ROB_MAX], idq[IDQ_MAX]; /* by slot: when it retired, when it issued */
    uint64_t load_slot[BUFFER_MAX], store_free[BUFFER_MAX]; uint32_t nloads, nstores;    /* the slots of the last loads; when the entries of the last stores are free again */
    uint64_t fill[FILL_MAX], fill_line[FILL_MAX], last_fill, filling /* which lines, by their last bits */; uint32_t nfills;        /* line fill buffers: when the line is there */
    uint64_t store_commit, loads_from, serial_from, divider_free, address_done, branch_done /* when the last branch was resolved */;
    uint32_t miss, walk;                 /* of the last load that has a cause */
    bool stack_moved, legacy /* the block under way comes from the decoders */;
    struct forward forward[FORWARDS]; uint32_t nforwards, forward_from; uint8_t youngest[BUCKETS];      /* by granule: the place of the last one */
    int64_t spent[CS_NCAUSES];           /* retire slots, not yet given to a block as cycles */
    uint32_t touched;                    /* causes that may have a whole cycle to give, a bit each */
    struct frontend front;
    const struct witness *witness;
};

void window_init(struct window *, const struct uarch *);
void window_start(struct window *, uint64_t clock);                /* everything before has ended by then: after idling, an event, a device access */

/* Places the micro-ops of instructions [from, to) of a block that lies at va, and retires them. Loads and stores take their accesses in order. */
struct accesses { const struct access *load, *load_end, *store, *store_end; };
void window_place(struct window *, const struct uops *, uint32_t from, uint32_t to, uint64_t va, struct accesses, bool legacy);

/* frontend.c */
bool frontend_enter(struct window *, const struct uops *, uint64_t va, uint32_t size, bool refetch, uint32_t late);   /* a block begins: true: decoders deliver it, false: the micro-op cache */
void frontend_decode(struct window *, const struct uop_insn *, uint64_t address, uint64_t slot);                      /* one instruction, by the decoders */
#endif
