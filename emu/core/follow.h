/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests and who works for them: the records behind request.c (a request's life) and follow.c (threads, nesting levels), and the
 * one branch a block pays when no request is current.
 *
 * A request's life is charged by moving its frontier forward: a claim up to `until` charges until - frontier, never less than
 * nothing, to one part. So parts sum to frontier - start at all times, and no moment is charged twice.
 *
 * Ownership is by claim number. A level remembers (token, claim); every bind, release, drop or theft gives the request a new
 * number, so whatever remembered the old one no longer owns it, without anybody having to be found and told.
 */
#ifndef CS_FOLLOW_H
#define CS_FOLLOW_H
#include "internal.h"

enum {
    MAX_LEVELS = 16,               /* interrupts and exceptions nested in one thread */
    HISTORY = 32,                  /* charges a close can take back, when the end lies before the frontier */
    MAX_REQUESTS = 1 << 18, MAX_TAGS = 1 << 18, MAX_THREADS = 1 << 14, MAX_NOTES = 4096, MAX_RETURNS = 1024,
    NO_REASON = 0xff, NO_PART = CS_MAX_PARTS };

struct thread;
struct charge { int64_t until_ps; uint32_t part; };   /* part: row of its place * CS_MAX_PARTS + part */

struct request {
    uint64_t token; int64_t start_ps, frontier_ps;
    struct vcpu *on;               /* the vCPU it is current on, or NULL: it waits for `reason` */
    uint64_t claim;                /* who owns it: see above; unique in the World */
    uint8_t reason;                /* what it waits for; meaningless while it runs */
    uint8_t place;                 /* where it waits; likewise */
    uint8_t home;                  /* what it waits for again when dropped without a word */
    uint8_t queued_for;            /* the reason behind a wait for the run queue of the thread that was woken for it, or NO_REASON */
    struct thread *woken;          /* that thread */
    struct tag *tags;              /* buffers that carry its token */
    struct request *next;          /* hash chain */
    struct request *lead;          /* it goes along with that one, or NULL: company.c */
    struct request *company, *next_along;   /* those that go along with it, in the order in which they joined */
    struct request *heir, *late;   /* it has ended, and its token means that one; a list of such, of the one they mean */
    uint32_t ncharges;             /* the last HISTORY charges are history[(ncharges - 1) % HISTORY] and before */
    struct charge history[HISTORY];
    uint32_t nplaces, room;        /* places it has come to, in that order; rows there is memory for: a request of many machines' cluster comes to few of them */
    uint8_t came_to[CS_MAX_PLACES];
    int64_t *parts_ps;             /* [nplaces][CS_MAX_PARTS] */
    uint64_t cycles[CS_NCAUSES];   /* of the blocks that ran for it at the detailed level; they sum to `worked` */
    uint64_t worked;
};

struct tag { uint64_t gpa; int32_t machine; struct request *request; struct tag *next /* hash chain */, *same, **same_at; };

struct level { uint64_t token, claim, last, sent; };   /* last: token last bound here, for answers in several frames; sent: whose answer left while others stayed */

struct thread {
    uint64_t key; int32_t machine; bool runnable; uint8_t pending;       /* pending: from `wait`, or NO_REASON */
    uint32_t n, over;              /* levels in use (>= 1); levels that found no room */
    struct vcpu *on;               /* the vCPU it is switched in on */
    struct request *woken_for;     /* and that request's `woken` is this thread */
    struct thread *next;           /* hash chain */
    struct level level[MAX_LEVELS];
};

struct follow {                    /* per vCPU */
    struct request *current;       /* the request of the thread's top level, if it runs here */
    struct thread *thread;         /* never NULL: `own` before the first switch */
    uint32_t owed_part;            /* charge `current` owes up to owed_cycle, NO_PART: none; one conversion to time a run of like blocks */
    uint64_t owed_cycle;
    uint64_t released, released_claim;  /* the last request released here: a wake may still be for it */
    uint64_t idle_cycles;          /* halted, or not started: no block ran */
    struct thread own;
};

struct requests {
    struct request *request[1 << 14]; struct tag *tag[1 << 15]; struct thread *thread[1 << 12];
    struct request *free_request; struct tag *free_tag;
    uint32_t nrequests, ntags, nthreads;
    uint64_t claims;
    uint64_t dropped[CS_D_COUNT];
};

static inline uint32_t place_of(const struct vcpu *v) { return 1 + (uint32_t)v->machine->index; }   /* see core.h */

static inline uint64_t follow_mix(uint64_t x)   /* guests choose the keys: spread them */
{
    x ^= x >> 33; x *= 0xff51afd7ed558ccdULL; x ^= x >> 29; x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 32);
}
#define BUCKET(table, key) (&(table)[follow_mix(key) & (sizeof(table) / sizeof(*(table)) - 1)])

/* request.c */
struct requests *requests_of(cs_world *);                                        /* made at first use; NULL: no memory */
struct request *request_find(cs_world *, uint64_t token);                        /* or its heir; NULL: not open, or token 0 */
void request_charge(struct request *, uint32_t place, uint32_t part, int64_t until_ps);
bool request_places(struct request *, uint32_t places);                          /* memory for so many; false: there is none */
void request_pay(struct request *);                                              /* what it owes to the blocks that ran: before any other charge */
void request_wait(struct request *, uint32_t place, uint8_t reason, int64_t now_ps);   /* stops wherever it runs, waits from now on; keeps its claim */
void request_run(struct request *, struct vcpu *, int64_t now_ps);               /* ends its wait and makes it current there; keeps its claim */
uint64_t request_claim(cs_world *, struct request *);                             /* whoever owned it does not any more */
void request_unwake(struct request *);                                           /* forgets which thread was woken for it */
void token_put(cs_world *, int machine, uint64_t gpa, uint64_t token);           /* 0 wipes */
uint64_t token_at(cs_world *, int machine, uint64_t gpa);
void request_untag(cs_world *, struct request *);                                /* no buffer carries its token */
void request_retag(struct request *, struct request *to);                        /* its buffers carry the other's */

/* company.c */
void company_join(cs_world *, struct request *, struct request *lead, int64_t now_ps);   /* goes along with lead, or with whom that goes along */
void company_leave(struct request *);                                            /* goes its own way, waiting for what its lead waits for */
struct request *company_split(struct request *);                                 /* its company, led by the first, goes its own way; NULL: it has none */
void company_inherit(struct request *, struct vcpu *on);                         /* it ends and has company: the first goes on in its place; on: where it ran */

/* follow.c: the verbs of the manifest. now is the vCPU's clock. */
void follow_bind(struct vcpu *, uint64_t token);
void follow_release(struct vcpu *, uint8_t reason);
void follow_handoff(struct vcpu *, uint64_t gpa, bool mapped, uint8_t reason);
void follow_clear(struct vcpu *);
void follow_pending(struct vcpu *, uint8_t reason);
void follow_wake(struct vcpu *, uint64_t thread);
void follow_switch(struct vcpu *, uint64_t previous, uint64_t next);
void follow_enter(struct vcpu *); void follow_leave(struct vcpu *);             /* a nesting level that is no interrupt's: softirqs */
void follow_gather(struct vcpu *, uint64_t token);
void follow_part(struct vcpu *, uint64_t token);
void follow_sent(struct vcpu *, uint64_t token, uint8_t reason);
void follow_merge(struct vcpu *, uint64_t gpa, uint64_t to);
void follow_waited(struct vcpu *, uint64_t token, uint8_t reason);
uint64_t follow_token(struct vcpu *);                                            /* the current request's, or the last bound's */

/* The request, if any, whose cycles by cause a block at the detailed level adds to. Idle blocks are nobody's work. */
static inline struct request *follow_worker(const struct vcpu *v, const struct block *b)
{
    return v->window && !(b->flags & BLK_IDLE) ? v->follow->current : NULL;
}

static inline void follow_worked(const struct vcpu *v, const struct block *b, uint64_t from_cycle, uint64_t to_cycle)
{
    struct request *r = follow_worker(v, b);
    if (r) r->worked += to_cycle - from_cycle;
}

/* trace.c */
void trace_block(struct vcpu *, const struct block *, uint64_t from_cycle, uint64_t to_cycle);

/* A block, or a part of one, was charged to the vCPU's clock. */
static inline void follow_block(struct vcpu *v, const struct block *b, uint64_t from_cycle, uint64_t to_cycle)
{
    struct follow *f = v->follow;
    if (UNLIKELY(f->current != NULL)) {
        follow_worked(v, b, from_cycle, to_cycle);
        if (LIKELY(f->owed_part == b->component && !(b->flags & (BLK_SPIN | BLK_IDLE)))) f->owed_cycle = to_cycle;
        else follow_charge(v, b, from_cycle, to_cycle);
    }
    if (UNLIKELY(v->machine->world->trace != NULL)) trace_block(v, b, from_cycle, to_cycle);
}
#endif
