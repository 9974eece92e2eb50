/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contexts. A vCPU keeps the stacks that it made. Entering one is a call that returns when the context waits or ends; whoever entered is where it
 * goes on, so the event loop and everything under it keep their one stack.
 */
#include "context.h"
#include "cpu.h"
#include "fault.h"
#include "window.h"

/* At the top of its stack. */
struct context {
    struct context *next;       /* free ones */
    void *sp;                   /* while it does not run */
    void *back;                 /* stack pointer of who entered it */
    event_fn fn;
    void *arg;
    struct event event;
    uint32_t cpu;
    bool ended;
} cacheline_aligned;

struct context_cpu {
    struct context *current;
    struct context *free;
    bool begun;
} cacheline_aligned;

void context_switch(void **from, void *to);     /* context_switch.S */
void context_start(void);

void context_main(void);

static struct context_cpu context_cpus[LIBOS_MAX_CPUS];
static uint32_t context_count;

struct context *context_current(void)
{
    return context_cpus[cpu_id()].current;
}

static noinline struct context *context_make(struct context_cpu *own)
{
    uint32_t number = __atomic_fetch_add(&context_count, 1, __ATOMIC_RELAXED);

    if (!own->begun)
        fault_begin();
    own->begun = true;
    if (number >= CONTEXTS_MOST || !window_stack(number)) {
        __atomic_fetch_sub(&context_count, 1, __ATOMIC_RELAXED);
        return NULL;
    }

    struct context *context = (struct context *)(WINDOW_STACKS + (number + 1ul) * WINDOW_STACK - sizeof(*context));

    context->cpu = cpu_id();
    return context;
}

/* Until it waits or ends. */
static void context_enter(struct context *context)
{
    struct context_cpu *own = &context_cpus[context->cpu];
    struct context *outer = own->current;

    own->current = context;
    context_switch(&context->back, context->sp);
    own->current = outer;
    if (context->ended) {
        context->next = own->free;
        own->free = context;
    }
}

static void context_continue(void *arg)
{
    context_enter(arg);
}

void context_main(void)
{
    struct context *context = context_current();

    context->fn(context->arg);
    context_exit();
}

bool context_run(event_fn fn, void *arg)
{
    struct context_cpu *own = &context_cpus[cpu_id()];
    struct context *context = own->free;

    if (context)
        own->free = context->next;
    else if ((context = context_make(own)) == NULL)
        return false;

    void **top = (void **)context - 9;

    top[0] = top[1] = top[2] = top[3] = top[4] = top[5] = NULL;     /* what context_switch takes back */
    top[6] = (void *)context_start;
    context->sp = top;
    context->fn = fn;
    context->arg = arg;
    context->ended = false;
    context_enter(context);
    return true;
}

void context_suspend(void)
{
    struct context *context = context_current();

    if (context == NULL)
        panic("context: an event waits outside a context");
    context_switch(&context->sp, context->back);
}

/* On its vCPU events run when the context has stopped: resuming needs to know nothing of where it is. */
void context_resume(struct context *context)
{
    event_post(context->cpu, &context->event, context_continue, context);
}

void context_yield(void)
{
    struct context *context = context_current();

    if (context == NULL)
        panic("context: an event yields outside a context");
    context_resume(context);
    context_suspend();
}

void context_exit(void)
{
    struct context *context = context_current();

    if (context == NULL)
        panic("context: an event that is in no context leaves one");
    context->ended = true;
    context_switch(&context->sp, context->back);
    __builtin_unreachable();
}

static void context_decided(void *arg)
{
    context_enter(arg);
}

int future_wait(struct future *future)
{
    struct future_wait wait;

    if (context_current() == NULL)
        panic("context: a future is waited for outside a context");
    if (!future_decided(future)) {
        future_then(future, &wait, context_decided, context_current());
        context_suspend();
    }
    return future->state == FUTURE_FAILED ? future->error : 0;
}
