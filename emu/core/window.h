/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The out-of-order window of one vCPU: where the detailed level's cycles come from.
 *
 * Micro-ops are placed one by one in program order, each at the cycles at which it is delivered, issued, dispatched, done and retired; nothing is
 * simulated cycle by cycle. That is exact for in-order stages, and for a scheduler that takes the oldest ready micro-op of each port:
 * an older one has booked its cycle before a younger one is looked at.
 *
 *   front end (frontend.c) -> issue: `width` slots a cycle, in order, while ROB, scheduler, load and store buffers have room
 *   -> port chosen at issue by how many micro-ops wait for each -> dispatch: operands ready, port free, fill buffer for a miss
 *   -> retire in order. The retire clock is the vCPU's clock.
 *
 * Cycles are absolute (the vCPU's). Rings of the last HORIZON cycles hold what is booked; nothing is booked further ahead than that.
 */
#ifndef CS_WINDOW_H
#define CS_WINDOW_H
#include "uop.h"

enum { HORIZON = 1024, PORTS = 16, ROB_MAX = 512, IDQ_MAX = 256, BUFFER_MAX = 128, FILL_MAX = 32, IQ_MAX = 32, FORWARDS = 64, DSB_MAX = 64 * 12 };

enum { DREG_RSP = DREG_GPR + 4 };
struct forward { uint64_t granule /* address / 8, + 1; 0: empty */; uint64_t data /* when the store's data is there */, commit /* when it has left the store buffer */; uint8_t from, to; };

struct frontend {                        /* frontend.c; cycles at which a micro-op could issue, that is, behind the pipe's own depth */
    uint64_t cycle;                      /* of the group being delivered */
    uint32_t left, rate;                 /* slots left in it, and in the next ones */
    /* legacy decode */
    uint64_t predecode, decode; uint64_t window /* address / 16 of the bytes being predecoded, + 1 */;
    uint32_t predecoded, decoded, decoded_slots;         /* in this cycle */
    uint32_t ninsn; uint64_t iq[IQ_MAX];                 /* when the last ones left the instruction queue */
    bool legacy;                         /* delivered by the decoders last */
    uint64_t line[DSB_MAX]; uint32_t dsb_sets, dsb_ways; /* micro-op cache: window address + 1 by set, most recent first, a way for every line it takes */
    uint64_t last_window, next;          /* 32-byte window delivered last; where straight-line code goes on */
};

struct window_limits { uint32_t width, retire_width, rob, scheduler, loads, stores, idq, iq, fills, predecode_width, decoders, decode_slots, lcp, dsb_width, ms_switch,
    refetch, forward, blocked, chased, load_latency, store_commit; uint16_t load_ports, alu_ports; };

struct window {
    struct window_limits limit;
    uint64_t ready[REG_COUNT];           /* by register: when its value is there */
    uint8_t loaded[REG_COUNT];           /* its value comes straight from a load */
    uint64_t issue; uint32_t issued;     /* cycle, and slots used in it */
    uint64_t retire; uint32_t retired;   /* likewise */
    uint64_t slot;                       /* slots so far */
    uint64_t waiting[2];                 /* micro-ops bound to each port and not dispatched, a byte a port: now */
    uint64_t seen[2];                    /* and at the end of the cycle before */
    uint32_t scheduled;                  /* entries of the scheduler in use */
    uint16_t busy[HORIZON];              /* by cycle: ports taken */
    uint64_t taken[PORTS][HORIZON / 64]; /* the same, by port */
    uint64_t rob[ROB_MAX], idq[IDQ_MAX]; /* by slot: when it retired, when it issued */
    uint64_t load_slot[BUFFER_MAX], store_slot[BUFFER_MAX]; uint32_t nloads, nstores;    /* when each buffer entry is free again */
    uint64_t fill[FILL_MAX], fill_line[FILL_MAX], last_fill; uint32_t nfills;        /* line fill buffers: when the line is there */
    uint64_t store_commit, loads_from, serial_from, last_done, divider_free, address_done;
    uint32_t toggle;                     /* between the load ports */
    bool stack_moved;
    uint64_t branch_done;                /* the last branch's resolution */
    struct forward forward[FORWARDS]; uint32_t nforwards, forward_from;
    /* of the slot under way */
    uint64_t slot_done, slot_issue, slot_ready, slot_dispatch; uint8_t slot_cause, slot_front; uint16_t slot_walk; uint32_t slot_miss; bool slot_open, slot_load; uint64_t slot_store;
    uint8_t front_cause;                 /* why the front end is late, if it is: CS_FRONTEND or CS_BADSPEC */
    int64_t spent[CS_NCAUSES];           /* retire slots, not yet given to a block as cycles */
    uint32_t touched;                    /* causes with something spent, a bit each */
    bool legacy;                         /* the block under way comes from the decoders */
    struct frontend front;
    void (*witness)(void *, const struct uop *, uint32_t index, const uint64_t times[4], int port); void *witness_data;    /* for timelines: issue, ready, dispatch, done */
};

void window_init(struct window *, const struct uarch *);
void window_start(struct window *, uint64_t clock);                /* everything before has ended by then: after idling, an event, a device access */

/* Places the micro-ops of instructions [from, to) of a block that lies at va. The accesses are taken from the log, in order. `legacy`: by the
 * decoders, whatever the micro-op cache holds. */
struct accesses { const struct access *at; uint32_t n, load, store; };
void window_place(struct window *, const struct uops *, uint32_t from, uint32_t to, uint64_t va, struct accesses *, bool legacy);
void window_finish_slot(struct window *);                          /* retires the slot under way */

/* frontend.c */
bool frontend_enter(struct window *, const struct uops *, uint64_t va, uint32_t size, bool refetch, uint32_t late);   /* a block begins: true: decoders deliver it, false: the micro-op cache */
void frontend_decode(struct window *, const struct uop_insn *, uint64_t address);                                     /* one instruction, by the decoders */
#endif
