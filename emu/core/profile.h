/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inclusive profile: each vCPU's time and instructions by call stack. Opt-in (cs_profile): what is here only looks, at block starts, and neither
 * writes to the guest nor charges a cycle.
 *
 * shadow.c follows the stacks, profile.c keeps the tree of call stacks and what each of them cost. A path of the tree begins at one of the roots
 * below; every cycle that is not halted time is some node's own, so the nodes' cycles sum to the vCPUs' busy time (cs_profile_read gives both).
 */
#ifndef CS_PROFILE_H
#define CS_PROFILE_H
#include "follow.h"
#include "layout.h"

enum { PROFILE_NODES = 1 << 18, PROFILE_CONTEXTS = 1024, PROFILE_DEPTH = 256, NO_SYMBOL = 0xffffffff };
/* A path's first node. RESUMED: a stack that was there before it was followed, or whose callers were lost. INTERRUPT: nobody called its handler.
 * LOST: there was no room for another path. */
enum profile_root { ROOT_THREAD, ROOT_RESUMED, ROOT_INTERRUPT, ROOT_LOST, PROFILE_ROOTS };

enum frame_flags {
    FRAME_USER = 1, FRAME_EVENT = 2,             /* an interrupt, exception or system call entered here */
    FRAME_SEGMENT = 4,                           /* the first one on another stack than the frame below */
    FRAME_JUMPED = 8,                            /* jumped to by the function below, whose stack it has: tail calls, .cold parts, labels of assembly code */
    FRAME_INSIDE = 16 };                         /* called elsewhere than at its symbol's start */
struct frame {
    uint64_t rsp;                                /* when it was entered: it has returned once RSP is above */
    uint64_t ret;                                /* where it returns to; 0: it was not called */
    uint64_t left;                               /* FRAME_SEGMENT: RSP when the stack below was left */
    uint64_t end;                                /* FRAME_EVENT: shadow.end and flags then, which hold again when it is over */
    uint32_t how, flags, node, symbol;
};
/* A logical thread: its frames, oldest first, which may lie on several stacks (a program's, the kernel's, an interrupt's). */
struct context { uint64_t left, space, used; bool on; uint32_t n; struct frame frame[PROFILE_DEPTH]; };

enum shadow_event { EVENT_NONE, EVENT_INTERRUPT, EVENT_EXCEPTION };
struct shadow {                                  /* a vCPU's */
    struct context *context;
    uint32_t node, symbol;                       /* of the context's last frame */
    uint32_t flags; uint64_t end, rsp;           /* of the block that runs: block_flags, the address behind it, RSP at its start */
    int event;                                   /* what came since it ran */
    uint64_t since16, instructions;              /* of the node, not yet in it */
    uint64_t token;                              /* of the request that they are for; 0: nobody's, or nobody asks (tally.c) */
};
struct node { uint32_t parent, symbol; uint64_t cycles16, instructions, calls; };
struct tally { cs_request_cost *row; uint32_t n, bits; uint64_t first_lost; };             /* 1 << bits rows; token 0: free */
struct profile {                                 /* a machine's */
    struct node *node; uint32_t *slot, n, bits;  /* 1 << bits slots, twice as many as nodes; 0: free */
    struct context *context[PROFILE_CONTEXTS]; uint32_t ncontexts; uint64_t used;
    uint64_t lost[CS_L_COUNT];
    struct tally tally;                          /* row NULL: not wanted */
    struct shadow shadow[CS_MAX_VCPUS];
};

/* profile.c */
uint32_t profile_child(struct profile *, uint32_t parent, uint32_t symbol);        /* ROOT_LOST: no room */
void profile_charge(struct vcpu *);                                               /* what is pending, to the node and the request */
uint64_t profile_settle(struct machine *);                                        /* all that is pending; all vCPUs' time that was not halted, in sixteenths */
/* tally.c */
void tally_add(struct tally *, uint64_t token, uint32_t symbol, uint64_t cycles16, uint64_t instructions);
void tally_free(struct tally *);

/* shadow.c */
void shadow_step(struct vcpu *, const struct block *, uint64_t rsp);              /* control came to the block otherwise than within a function */

enum { SHADOW_TRANSFERS = BLK_CALL | BLK_RET | BLK_IRET | BLK_STACK };

/* A block starts. */
static inline void profile_block(struct vcpu *v, const struct block *b)
{
    struct shadow *s = v->shadow;
    uint64_t rsp = env_of(v)->regs[GPR_RSP];
    if (UNLIKELY(b->symbol != s->symbol || s->flags & SHADOW_TRANSFERS || s->event || (b->flags ^ s->flags) & BLK_USER)) shadow_step(v, b, rsp);
    s->instructions += b->ninsn;
    s->flags = b->flags;
    s->end = b->va + b->size;
    s->rsp = rsp;
}

/* The block's probes have said whom it is for. */
static inline void profile_request(struct vcpu *v, const struct block *b)
{
    struct shadow *s = v->shadow;
    const struct request *r = v->follow->current;
    uint64_t token = r && v->machine->profile->tally.row ? r->token : 0;
    if (LIKELY(token == s->token)) return;
    s->instructions -= b->ninsn;
    profile_charge(v);
    s->instructions = b->ninsn;
    s->token = token;
}

/* Before an interrupt or exception takes over. whole: the block that ran did so to its end. */
static inline void profile_event(struct vcpu *v, enum shadow_event event, bool whole)
{
    struct shadow *s = v->shadow;
    if (LIKELY(!s)) return;
    if (!s->event && !whole) s->flags &= ~(uint32_t)SHADOW_TRANSFERS;
    s->event = event;
    s->rsp = env_of(v)->regs[GPR_RSP];
}
#endif
