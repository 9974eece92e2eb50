/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Call stacks, followed from block starts alone: which function runs, how control came there, and RSP. See profile.h for the records.
 *
 * A frame is a function and RSP when it was entered; it has returned once RSP is above. That alone survives tail calls, longjmp, retpolines and
 * dropped frames; return addresses are asked only where a callee leaves more on the stack than it found (Linux's error_entry).
 *
 * RSP says nothing across stacks, so frames lie in segments, one a stack, and a context is a logical thread's segments: a program's stack, the
 * kernel's below it, an interrupt's. A block that gives RSP a value of its own (BLK_STACK), IRET and what enters or leaves the kernel may go to
 *   - a stack further up in the same context, which it had left there: the segments in between are over;
 *   - a suspended context, near where that was left: a thread is switched in;
 *   - a stack not seen before: by a call or within a function the context goes on there; by a return it is a new thread's.
 * Guests may do anything with RSP: then paths are wrong, but never unbounded, and each function's own cycles stay right (a frame is renamed or
 * pushed so that the last one is the function that runs).
 */
#include "profile.h"
#include "machine.h"
#include <stdlib.h>

enum { NEAR = 512 /* what a block pushes and pops besides, at most */, UNDERFLOW = 256, FAR = 1 << 20, KERNEL_FRAMES = 64 /* kept for them */, SEARCH = 16 };

struct step {
    struct profile *p; struct shadow *s; struct context *c; const struct block *b;
    uint64_t rsp, end, space; uint32_t how; bool user;
};

static struct frame *last(struct context *c) { return &c->frame[c->n - 1]; }

/* ---- contexts ---- */

static struct context *context_new(struct profile *p)
{
    struct context *oldest = NULL, *c;
    for (uint32_t i = 0; i < p->ncontexts; i++) {
        c = p->context[i];
        if (c->on) continue;
        if (!c->n) { c->on = true; return c; }
        if (!oldest || c->used < oldest->used) oldest = c;
    }
    if (p->ncontexts < PROFILE_CONTEXTS && (c = malloc(sizeof *c))) p->context[p->ncontexts++] = c;
    else if ((c = oldest)) p->lost[CS_L_STACKS]++;
    if (c) { c->n = 0; c->on = true; }
    return c;
}

static void suspend(struct step *t, uint64_t left)
{
    t->c->left = left;
    t->c->space = t->space;
    t->c->used = ++t->p->used;
    t->c->on = false;
}

static bool resume(struct step *t)
{
    struct context *found = NULL;
    uint64_t least = NEAR + 1;
    for (uint32_t i = 0; i < t->p->ncontexts; i++) {
        struct context *c = t->p->context[i];
        uint64_t off = c->left > t->rsp ? c->left - t->rsp : t->rsp - c->left;
        if (c->on || !c->n || c->space != t->space || off >= least) continue;
        found = c;
        least = off;
    }
    if (!found) return false;
    suspend(t, t->s->rsp);
    found->on = true;
    t->c = t->s->context = found;
    return true;
}

static bool begin(struct step *t)
{
    return (t->c = t->s->context = context_new(t->p));
}

/* ---- frames ---- */

static void push(struct step *t, uint32_t flags, uint64_t rsp, uint32_t node)
{
    struct context *c = t->c;
    uint32_t most = flags & FRAME_EVENT || !t->user ? PROFILE_DEPTH : PROFILE_DEPTH - KERNEL_FRAMES;
    if (UNLIKELY(c->n >= most)) {                     /* it takes the last one's place; what it calls will, too */
        t->p->lost[CS_L_FRAMES]++;
        last(c)->node = profile_child(t->p, c->frame[c->n - 2].node, t->b->symbol);
        last(c)->symbol = t->b->symbol;
        return;
    }
    c->frame[c->n++] = (struct frame){ .rsp = rsp, .left = t->s->rsp, .flags = flags | (t->user ? FRAME_USER : 0), .node = node, .symbol = t->b->symbol };
}

static void entered(struct step *t) { t->p->node[last(t->c)->node].calls++; }

/* Down to n frames. An event that is over leaves control as it was when it came. */
static void cut(struct step *t, uint32_t n)
{
    while (t->c->n > n) {
        const struct frame *f = &t->c->frame[--t->c->n];
        if (f->flags & FRAME_EVENT) { t->how = f->how; t->end = f->end; }
    }
}

static uint32_t segment(const struct context *c, uint32_t i)      /* the first frame on the stack that frame i is on */
{
    while (i && !(c->frame[i].flags & FRAME_SEGMENT)) i--;
    return i;
}

/* ---- how control can come ---- */

static void enter(struct step *t, int event, bool from_user)
{
    struct context *c = t->c;
    uint32_t parent = event == EVENT_INTERRUPT ? ROOT_INTERRUPT : c->n ? last(c)->node : ROOT_RESUMED;
    bool same = c->n && t->user == from_user && t->rsp <= t->s->rsp && t->s->rsp - t->rsp <= NEAR;
    push(t, FRAME_EVENT | (same ? 0 : FRAME_SEGMENT), t->rsp, profile_child(t->p, parent, t->b->symbol));
    last(c)->how = t->how;
    last(c)->end = t->end;
    entered(t);
}

static void leave_kernel(struct step *t)
{
    uint32_t n = t->c->n;
    while (n && !(t->c->frame[n - 1].flags & FRAME_USER)) n--;
    t->how = 0;
    cut(t, n);
    if (n && t->rsp < last(t->c)->rsp && last(t->c)->rsp - t->rsp > FAR) t->c->n = 0;       /* another program's */
}

/* RSP got a value of its own. True: on a stack not seen before, and the context goes on there. */
static bool moved(struct step *t)
{
    struct context *c = t->c;
    uint32_t symbol = t->b->symbol;
    if (c->n) {
        uint32_t first = segment(c, c->n - 1);
        if (t->rsp <= c->frame[first].rsp + UNDERFLOW && t->rsp + NEAR >= t->s->rsp) return false;
        for (uint32_t above = first, own; above; above = own) {
            own = segment(c, above - 1);
            bool within = t->rsp + UNDERFLOW >= c->frame[above].left && t->rsp <= c->frame[own].rsp + UNDERFLOW;
            bool back = t->how & (BLK_IRET | BLK_RET) || symbol == last(c)->symbol || t->s->symbol == c->frame[above - 1].symbol;
            if (!within || !back) continue;
            cut(t, above);
            return false;
        }
    }
    bool calls = t->how & BLK_CALL && (symbol != t->s->symbol || t->b->flags & BLK_ENTRY);
    if (!calls && resume(t)) return false;            /* who calls stays the same thread */
    if (!c->n) return false;
    if (!(t->how & (BLK_RET | BLK_IRET)) || symbol == last(c)->symbol) return true;
    suspend(t, t->s->rsp);
    begin(t);
    return false;
}

/* What RSP is above has returned. */
static void settle(struct step *t)
{
    uint64_t below = t->rsp + (t->how & BLK_CALL ? 1 : 0);        /* nothing that still runs was entered where a callee is */
    bool iret = t->how & BLK_IRET;
    while (t->c->n && last(t->c)->rsp < below) {
        struct frame *f = last(t->c);
        if (f->flags & FRAME_EVENT && !iret && t->rsp - f->rsp <= UNDERFLOW) return;          /* its end drops the error code, and may be a function of its own */
        if (!(f->flags & FRAME_SEGMENT) || t->c->n == 1) { cut(t, t->c->n - 1); continue; }
        if (f[-1].symbol == t->b->symbol) {           /* back in the function that called it on this stack, and is here until it moves */
            *f = (struct frame){ .rsp = t->rsp, .left = f->left, .flags = FRAME_SEGMENT | (f->flags & FRAME_USER), .node = f[-1].node, .symbol = f[-1].symbol };
            return;
        }
        t->c->n--;                                    /* a thread of its own, as it turns out: the one below was left when it began */
        suspend(t, f->left);
        if (!begin(t)) return;
    }
}

static bool returned(struct step *t)                  /* to a frame's return address, though RSP is not above it */
{
    struct context *c = t->c;
    for (uint32_t i = c->n; i > 1 && c->n - i < SEARCH && !(c->frame[i - 1].flags & FRAME_EVENT); i--)
        if (c->frame[i - 1].ret == t->b->va) {
            cut(t, i - 1);
            return last(c)->symbol == t->b->symbol;
        }
    return false;
}

static void jumped(struct step *t)
{
    struct context *c = t->c;
    uint32_t symbol = t->b->symbol;
    for (uint32_t i = c->n - 1; i && c->frame[i].flags & FRAME_JUMPED && !(c->frame[i].flags & FRAME_SEGMENT); i--)
        if (c->frame[i - 1].symbol == symbol) { cut(t, i); if (t->b->flags & BLK_ENTRY) entered(t); return; }
    struct frame *f = last(c);
    if (f->rsp == t->rsp && !(f->flags & FRAME_JUMPED) && (t->how & BLK_RET || f->flags & FRAME_INSIDE)) {   /* a retpoline, a procedure linkage table */
        f->node = profile_child(t->p, t->p->node[f->node].parent, symbol);
        f->symbol = symbol;
        f->flags &= ~(uint32_t)FRAME_INSIDE;
    } else {                                          /* a tail call, a .cold part */
        push(t, FRAME_JUMPED, f->rsp, profile_child(t->p, f->node, symbol));
    }
    if (t->b->flags & BLK_ENTRY) entered(t);
}

static void arrive(struct step *t, bool fresh)
{
    uint32_t symbol = t->b->symbol, segment = fresh ? FRAME_SEGMENT : 0;
    bool at_entry = t->b->flags & BLK_ENTRY;
    if (!fresh) settle(t);
    if (!t->c) return;
    if (!t->c->n) {
        push(t, 0, t->rsp, profile_child(t->p, at_entry ? ROOT_THREAD : ROOT_RESUMED, symbol));
        if (at_entry) entered(t);
        return;
    }
    const struct frame *f = last(t->c);
    bool within = f->symbol == symbol && !(t->how & BLK_CALL && at_entry);        /* to the next instruction, for example */
    if (within && !fresh) return;
    if (within) { push(t, segment, t->rsp, f->node); return; }
    uint32_t child = profile_child(t->p, f->node, symbol);
    if (t->how & BLK_CALL) {
        push(t, segment | (at_entry ? 0 : FRAME_INSIDE), t->rsp, child);
        last(t->c)->ret = t->end;
        entered(t);
    } else if (fresh) {
        push(t, segment | FRAME_JUMPED, t->rsp, child);
        if (at_entry) entered(t);
    } else if (!(t->how & BLK_RET && returned(t))) {
        jumped(t);
    }
}

void shadow_step(struct vcpu *v, const struct block *b, uint64_t rsp)
{
    struct shadow *s = v->shadow;
    struct step t = { .p = v->machine->profile, .s = s, .c = s->context, .b = b, .rsp = rsp, .end = s->end, .how = s->flags & SHADOW_TRANSFERS,
                      .user = b->flags & BLK_USER, .space = s->flags & BLK_USER ? (env_of(v)->cr[3] >> 13) + 1 : 0 };
    bool from_user = s->flags & BLK_USER;
    profile_charge(v);
    if (t.c || begin(&t)) {
        if (s->event) {
            enter(&t, s->event, from_user);
        } else if (from_user && !t.user) {
            t.how = 0;                                /* a system call returns to the next instruction */
            enter(&t, EVENT_NONE, true);
        } else {
            bool fresh = false;
            if (t.user && !from_user) leave_kernel(&t);
            else if (t.how & (BLK_STACK | BLK_IRET)) fresh = moved(&t);
            arrive(&t, fresh);
        }
    }
    s->event = EVENT_NONE;
    s->symbol = b->symbol;
    s->node = t.c ? last(t.c)->node : ROOT_LOST;
}
