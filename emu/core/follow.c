/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who works for which request: a current request per vCPU, kept per thread and nesting level, moved by probes and interrupts.
 * The contract is docs/guest-contract.md, "Probes". Times are the acting vCPU's own clock, at a block's start. */
#include "follow.h"
#include <stdlib.h>
#include <string.h>

static int64_t now(const struct vcpu *v) { return vcpu_ps(v, v->clock); }
static cs_world *world(const struct vcpu *v) { return v->machine->world; }
static struct level *top(struct thread *t) { return &t->level[t->n - 1]; }

static struct request *owned(const struct vcpu *v, const struct level *l)   /* the level's request, if it still owns it */
{
    struct request *r = request_find(world(v), l->token);
    return r && r->claim == l->claim ? r : NULL;
}

static void thread_reset(struct thread *t)
{
    if (t->woken_for) request_unwake(t->woken_for);
    t->n = 1;
    t->over = 0;
    t->pending = NO_REASON;
    t->level[0] = (struct level){0};
}

int follow_new(struct vcpu *v)
{
    struct follow *f = calloc(1, sizeof *f);
    if (!f) return -1;
    f->thread = &f->own;
    f->owed_part = NO_PART;
    f->own.on = v;
    f->own.machine = v->machine->index;
    thread_reset(&f->own);
    v->follow = f;
    return 0;
}

void follow_free(struct vcpu *v)
{
    free(v->follow);
    v->follow = NULL;
}

/* The request stops being current anywhere, owned by nobody. */
static void drop(struct vcpu *v, struct request *r, uint8_t reason)
{
    request_wait(r, place_of(v), reason, now(v));
    request_claim(world(v), r);
}

static void own(struct vcpu *v, struct level *l, struct request *r)
{
    l->token = l->last = r->token;
    l->claim = request_claim(world(v), r);
    request_run(r, v, now(v));
}

/* ---- what a request waits for again when whoever had it turns to something else ---- */

static uint8_t home_of(const struct request *r)
{
    if (r->queued_for != NO_REASON) return r->queued_for;
    return r->on || r->reason == CS_W_PREEMPTED || r->reason == CS_W_RUNQUEUE ? r->home : r->reason;
}

static void unwoken(struct vcpu *v, struct thread *t)   /* the thread took another request than the one it was woken for */
{
    struct request *r = t->woken_for;
    if (!r) return;
    if (!r->on && r->queued_for != NO_REASON) request_wait(r, place_of(v), r->queued_for, now(v));
    request_unwake(r);
}

/* ---- verbs ---- */

void follow_bind(struct vcpu *v, uint64_t token)
{
    struct follow *f = v->follow;
    struct request *r = request_find(world(v), token), *had = f->current;
    struct level *l = top(f->thread);
    f->released = 0;
    f->thread->pending = NO_REASON;
    l->last = r ? token : 0;
    if (r && r == had) return;
    l->sent = 0;
    if (had) drop(v, had, had->home);
    if (r) {
        company_leave(r);
        r->home = home_of(r);
        request_unwake(r);
    }
    if (f->thread->woken_for) unwoken(v, f->thread);
    if (r) own(v, l, r);
    else *l = (struct level){0};
}

void follow_release(struct vcpu *v, uint8_t reason)
{
    struct follow *f = v->follow;
    struct request *r = f->current;
    if (!r) return;
    bool queued = reason == CS_W_SOCKET || reason == CS_W_THREAD;   /* queues that threads are woken for */
    if (!queued) request_unwake(r);
    drop(v, r, r->woken ? CS_W_RUNQUEUE : reason);
    if (r->woken) r->queued_for = reason;
    top(f->thread)->token = 0;
    f->released = queued ? r->token : 0;
    f->released_claim = r->claim;
}

uint64_t follow_token(struct vcpu *v)
{
    if (v->follow->current) return v->follow->current->token;
    struct request *r = request_find(world(v), top(v->follow->thread)->last);
    return r ? r->token : 0;
}

void follow_handoff(struct vcpu *v, uint64_t gpa, bool mapped, uint8_t reason)
{
    if (mapped) token_put(world(v), v->machine->index, gpa, follow_token(v));
    follow_release(v, reason);
}

void follow_clear(struct vcpu *v)
{
    struct follow *f = v->follow;
    f->thread->pending = NO_REASON;
    f->released = 0;
    if (f->current && !top(f->thread)->last) return;   /* woken or interrupted for it, and it is still to be taken: it is the next one */
    if (f->current && top(f->thread)->sent) {   /* read together with what was answered, and still to be answered; or more of it is to come */
        f->thread->pending = CS_W_SOCKET;
        return;
    }
    if (f->current) drop(v, f->current, CS_W_UNATTRIBUTED);
    *top(f->thread) = (struct level){0};
}

/* The thread reads on, and this buffer's request with what it has. */
void follow_gather(struct vcpu *v, uint64_t token)
{
    struct request *r = request_find(world(v), token), *had = v->follow->current;
    if (!r) return;
    if (!had || r == had || !top(v->follow->thread)->last) { follow_bind(v, token); return; }
    v->follow->thread->pending = NO_REASON;
    company_join(world(v), r, had, now(v));
}

/* An answer leaves: those that went along with its request stay with whoever had it. */
void follow_part(struct vcpu *v, uint64_t token)
{
    struct thread *t = v->follow->thread;
    struct request *r = request_find(world(v), token), *rest;
    for (uint32_t i = 0; r && i + 1 < t->n; i++) {
        struct level *l = &t->level[i];
        if (owned(v, l) != r || !(rest = company_split(r))) continue;
        *l = (struct level){ .token = rest->token, .claim = request_claim(world(v), rest), .last = rest->token, .sent = r->token };
    }
    follow_bind(v, token);
}

/* The thread has written an answer. It is still here if the first buffer that has not left carries it, or another's, which will take it along. */
void follow_sent(struct vcpu *v, uint64_t token, uint8_t reason)
{
    struct level *l = top(v->follow->thread);
    struct request *r = v->follow->current, *queued = request_find(world(v), token);
    if (!r || !queued || queued->token == l->sent) return;
    struct request *rest = company_split(r);
    if (queued == r || queued->lead == r) drop(v, r, reason);
    else company_join(world(v), r, queued, now(v));
    if (!rest) return;
    own(v, l, rest);
    l->sent = r->token;
}

/* A buffer's contents are another's now. */
void follow_merge(struct vcpu *v, uint64_t gpa, uint64_t to)
{
    int machine = v->machine->index;
    struct request *r = request_find(world(v), token_at(world(v), machine, gpa)), *lead = request_find(world(v), token_at(world(v), machine, to));
    if (!r || gpa == to) return;
    token_put(world(v), machine, gpa, 0);
    if (lead) company_join(world(v), r, lead, now(v));
    else token_put(world(v), machine, to, r->token);
}

/* It turns out what a request has been waiting for. */
void follow_waited(struct vcpu *v, uint64_t token, uint8_t reason)
{
    struct request *r = request_find(world(v), token);
    if (r && r->lead) r = r->lead;
    if (r && !r->on) r->reason = reason;
}

void follow_pending(struct vcpu *v, uint8_t reason) { v->follow->thread->pending = reason; }

/* ---- threads ---- */

static struct thread *thread_find(struct vcpu *v, uint64_t key)
{
    struct requests *q = requests_of(world(v));
    if (!q) return NULL;
    int machine = v->machine->index;
    struct thread **slot = BUCKET(q->thread, key ^ (uint64_t)machine << 56), *t = *slot;
    while (t && (t->key != key || t->machine != machine)) t = t->next;
    if (t) return t;
    if (q->nthreads >= MAX_THREADS || !(t = calloc(1, sizeof *t))) { q->dropped[CS_D_THREADS]++; return NULL; }
    t->key = key;
    t->machine = machine;
    thread_reset(t);
    t->next = *slot;
    *slot = t;
    q->nthreads++;
    return t;
}

void follow_wake(struct vcpu *v, uint64_t key)
{
    struct follow *f = v->follow;
    struct thread *t = thread_find(v, key);
    if (!t || t->on || t->runnable) return;
    t->runnable = true;
    bool busy = false;   /* with a request of its own, which may run again from now on */
    for (uint32_t i = 0; i < t->n; i++) {
        struct request *r = owned(v, &t->level[i]);
        if (!r || r->on) continue;
        busy = true;
        if (r->reason != CS_W_RUNQUEUE) request_wait(r, place_of(v), CS_W_RUNQUEUE, now(v));
    }
    if (busy || t->woken_for) return;
    struct request *r = f->current;
    if (!r) {
        r = request_find(world(v), f->released);
        if (!r || r->claim != f->released_claim || r->on || r->woken) return;
        r->queued_for = r->reason;
        request_wait(r, place_of(v), CS_W_RUNQUEUE, now(v));
    } else if (r->woken) {
        return;
    }
    r->woken = t;
    t->woken_for = r;
}

static void thread_move(struct thread *to, struct thread *from)   /* levels only; `from` starts afresh */
{
    thread_reset(to);
    memcpy(to->level, from->level, sizeof *to->level * from->n);
    to->n = from->n;
    to->over = from->over;
    to->pending = from->pending;
    thread_reset(from);
}

static void switch_out(struct vcpu *v, struct thread *t)
{
    uint8_t reason = t->pending == NO_REASON ? CS_W_RUNQUEUE : t->pending;
    for (uint32_t i = 0; i < t->n; i++) {
        struct request *r = owned(v, &t->level[i]);
        if (r) request_wait(r, place_of(v), reason, now(v));
    }
    if (t->woken_for) unwoken(v, t);
    t->pending = NO_REASON;
    t->runnable = false;
    t->on = NULL;
    v->follow->thread = NULL;
}

static void switch_in(struct vcpu *v, struct thread *t)
{
    v->follow->thread = t;
    t->on = v;
    t->runnable = false;
    struct level *last = top(t);
    for (struct level *l = t->level; l < last; l++) {
        struct request *r = owned(v, l);
        if (r) request_wait(r, place_of(v), CS_W_PREEMPTED, now(v));
    }
    struct request *r = owned(v, last), *woken = t->woken_for;
    if (r) request_run(r, v, now(v));
    if (!woken) return;
    if (!r && t->n == 1 && !woken->on && woken->queued_for != NO_REASON) {
        woken->home = woken->queued_for;
        request_unwake(woken);
        own(v, last, woken);
        last->last = 0;   /* not taken yet */
    } else if (r || t->n > 1) {
        unwoken(v, t);
    }
}

void follow_switch(struct vcpu *v, uint64_t previous, uint64_t next)
{
    struct follow *f = v->follow;
    f->released = 0;
    struct thread *out = f->thread, *saved = out == &f->own || out->key != previous ? thread_find(v, previous) : out;
    if (saved != out && saved && !saved->on) {   /* before the first switch, or a switch went unseen: the work was the previous thread's */
        thread_move(saved, out);
        out->on = NULL;
        out = saved;
    }
    switch_out(v, out);
    struct thread *in = thread_find(v, next);
    if (!in || in->on) {                         /* no room, or two vCPUs claim one thread */
        if (in) world(v)->requests->dropped[CS_D_THREADS]++;
        in = &f->own;
        thread_reset(in);
    }
    switch_in(v, in);
}

/* ---- nesting levels ---- */

static struct level *push(struct vcpu *v)
{
    struct thread *t = v->follow->thread;
    if (t->n == MAX_LEVELS) {
        struct requests *q = requests_of(world(v));
        if (t->over != UINT32_MAX) t->over++;
        if (q) q->dropped[CS_D_LEVELS]++;
        return NULL;
    }
    struct level *l = &t->level[t->n++];
    *l = (struct level){0};
    return l;
}

static bool awaits_driver(const struct request *r)
{
    return r && !r->on && !r->lead && (r->reason == CS_W_RING || r->reason == CS_W_MODERATION || r->reason == CS_W_IRQ);
}

void follow_interrupt(struct vcpu *v, uint64_t token)
{
    struct follow *f = v->follow;
    f->released = 0;
    struct level *l = push(v);
    if (!l) return;
    if (f->current) request_wait(f->current, place_of(v), CS_W_PREEMPTED, now(v));
    struct request *r = request_find(world(v), token);
    if (!awaits_driver(r)) return;
    r->home = r->reason;
    own(v, l, r);
    l->last = 0;   /* not taken by a driver yet */
}

void follow_raised(struct vcpu *v, uint64_t token, uint32_t part, uint64_t cycle)
{
    struct request *r = request_find(world(v), token);
    if (!awaits_driver(r)) return;
    int64_t ps = vcpu_ps(v, cycle);
    request_charge(r, place_of(v), part, ps);
    if (world(v)->trace) trace_event(world(v), CS_T_MARK, NULL, part, 0, ps, token, place_of(v));
}

void follow_exception(struct vcpu *v)
{
    struct level below = *top(v->follow->thread), *l = push(v);
    if (l) *l = below;
}

static void pop(struct vcpu *v)
{
    struct follow *f = v->follow;
    struct thread *t = f->thread;
    if (t->over) { t->over--; return; }
    if (t->n == 1) return;   /* an IRET that answers nothing: a way to start a thread */
    struct level *below = &t->level[t->n - 2];
    struct request *resumed = owned(v, below);
    if (f->current && f->current != resumed) drop(v, f->current, f->current->home);
    t->n--;
    if (resumed && !resumed->on) request_run(resumed, v, now(v));
}

/* Other requests' work begins within a thread or at the end of a handler. What the interrupt raised and no driver took comes along. */
void follow_enter(struct vcpu *v)
{
    struct follow *f = v->follow;
    struct request *r = f->current;
    bool untaken = r && !top(f->thread)->last && f->thread->n > 1;
    f->released = 0;
    struct level *l = push(v);
    if (!l || !r) return;
    if (!untaken) { request_wait(r, place_of(v), CS_W_PREEMPTED, now(v)); return; }
    own(v, l, r);
    l->last = 0;
}

void follow_leave(struct vcpu *v)
{
    v->follow->released = 0;
    pop(v);
}

void follow_iret(struct vcpu *v, bool to_user)
{
    struct thread *t = v->follow->thread;
    if (world(v)->trace) trace_event(world(v), CS_T_IRET, v, 0, now(v), now(v), to_user, 0);
    v->follow->released = 0;
    if (to_user) { t->over = 0; while (t->n > 1) pop(v); }
    else pop(v);
}

/* ---- time ---- */

void follow_charge(struct vcpu *v, const struct block *b, uint64_t from_cycle, uint64_t to_cycle)
{
    struct request *r = v->follow->current;
    if (!r) return;
    if (b->flags & BLK_IDLE) {   /* nobody works: a probe is missing, and the row that says so must show it */
        request_wait(r, place_of(v), CS_W_UNATTRIBUTED, vcpu_ps(v, from_cycle));
        request_claim(world(v), r);
        return;
    }
    request_pay(r);
    v->follow->owed_part = b->flags & BLK_SPIN ? CS_MAX_COMPONENTS + CS_W_LOCK : b->component;
    v->follow->owed_cycle = to_cycle;
}

void follow_idle(struct vcpu *v, uint64_t from_cycle, uint64_t to_cycle)
{
    struct follow *f = v->follow;
    f->idle_cycles += to_cycle - from_cycle;
    if (world(v)->trace) trace_event(world(v), CS_T_IDLE, v, 0, vcpu_ps(v, from_cycle), vcpu_ps(v, to_cycle), 0, 0);
    if (!f->current) return;
    struct request *r = f->current;
    request_wait(r, place_of(v), CS_W_UNATTRIBUTED, vcpu_ps(v, from_cycle));
    request_claim(world(v), r);
}
