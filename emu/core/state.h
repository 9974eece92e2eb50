/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A World's state as bytes: one description for both ways. Each owner has a function that names its fields in order; it writes them, or reads
 * and checks them. What is read was written by anybody: every index, count and size is looked at before it is used, and what follows from
 * other state (directory, request that is current) is worked out again and not read. Pointers become numbers. docs/snapshot.md. */
#ifndef CS_STATE_H
#define CS_STATE_H
#include "internal.h"

struct state { cs_world *world; bool loading, bad; const uint8_t *from, *end; uint8_t *to; size_t n, room; };

void state_bytes(struct state *, void *, size_t n);                 /* writes n bytes, or reads them (zeros once the state is bad) */
#define STATE(s, x) state_bytes(s, &(x), sizeof(x))
void state_bool(struct state *, bool *);
uint64_t state_count(struct state *, uint64_t n, uint64_t most, size_t each, const char *what);     /* n of them follow, of `each` bytes or more; 0 once bad */
bool state_is(struct state *, bool, const char *what);              /* reading: else it is refused, naming what is wrong; false once bad */
void state_begin(struct state *, const char mark[4]);
bool state_below(struct state *, const uint64_t *, size_t n, uint64_t limit, const char *what);     /* all of them */
#define CLOCK_LIMIT (1ull << 60)                                    /* of clocks and times in cycles: sums of a few do not overflow */

void vcpu_state(struct state *, struct vcpu *);      /* vcpustate.c: registers, clock, pending costs, counters */
void blocks_state(struct state *, struct vcpu *);    /* blockstate.c */
uint32_t block_number(const struct vcpu *, const struct block *);   /* 0: none */
struct block *block_numbered(const struct vcpu *, uint32_t);
void block_adopt(struct vcpu *, struct block *);     /* block.c: the last of its chain */
void memory_state(struct state *, struct machine *); /* memory.c: who has translated what; RAM itself is Python's business */
void lapic_state(struct state *, struct vcpu *);     /* lapic.c */
void serial_state(struct state *, struct machine *); /* serial.c */
void caches_state(struct state *, struct machine *); /* cachestate.c: caches, TLBs, directory, DRAM, predictors */
struct branch;
void branch_state(struct state *, struct branch *);  /* branch.c */
void detail_state(struct state *, struct vcpu *);    /* detail.c */
struct window;
void window_state(struct state *, struct window *);  /* windowstate.c */
void probes_state(struct state *, struct machine *); /* probe.c */
void requests_state(struct state *);                 /* followstate.c */
#endif
