/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop of each vCPU (an Ebb). Events run to completion with interrupts off. Interrupt handlers only queue
 * events; they get in between rounds of the loop, or while the vCPU sleeps.
 */
#include "event.h"
#include "ebb.h"
#include "irq.h"
#include "lapic.h"
#include "timer.h"

struct event_rep {
    struct event *first;
    struct event **last;
    uint64_t run;
    /* Written by other vCPUs. */
    struct event *incoming cacheline_aligned;   /* newest first */
    uint32_t sleeping;
    uint32_t apic_id;
};

void idle_wait(void);

static void event_wakeup(void)
{
    /* The interrupt has done its work by ending idle_wait. */
}

static void *event_miss(ebb_id id, void *root)
{
    struct event_rep *rep = ebb_rep_memory(sizeof(*rep));

    (void)id;
    (void)root;
    rep->last = &rep->first;
    rep->apic_id = this_cpu()->apic_id;
    return rep;
}

void event_init(void)
{
    ebb_install(EBB_EVENT, event_miss, NULL);
    irq_register(IRQ_WAKEUP, event_wakeup);
}

static void event_append(struct event_rep *rep, struct event *event)
{
    event->next = NULL;
    *rep->last = event;
    rep->last = &event->next;
}

void event_raise(struct event *event)
{
    if (event->queued)
        return;
    event->queued = 1;
    event_append(ebb_rep(EBB_EVENT), event);
}

static noinline void event_post_remote(unsigned cpu, struct event *event)
{
    struct event_rep *rep = ebb_peek(EBB_EVENT, cpu);

    event->next = __atomic_load_n(&rep->incoming, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&rep->incoming, &event->next, event, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    /* Only the first to find it sleeping pays for the interrupt. */
    if (__atomic_load_n(&rep->sleeping, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&rep->sleeping, 0, __ATOMIC_SEQ_CST))
        lapic_send_ipi(rep->apic_id, IRQ_WAKEUP);
}

void event_post(unsigned cpu, struct event *event, event_fn fn, void *arg)
{
    event->fn = fn;
    event->arg = arg;
    event->queued = 1;
    event->allocated = 0;
    if (cpu == this_cpu()->id)
        event_append(ebb_rep(EBB_EVENT), event);
    else
        event_post_remote(cpu, event);
}

bool event_spawn(unsigned cpu, event_fn fn, void *arg)
{
    if (cpu >= cpu_count())
        panic("event: spawned on vCPU %u of %u", cpu, cpu_count());

    struct event *event = mem_alloc(sizeof(*event));

    if (event == NULL)
        return false;
    event->fn = fn;
    event->arg = arg;
    event->queued = 1;
    event->allocated = 1;
    if (cpu == this_cpu()->id)
        event_append(ebb_rep(EBB_EVENT), event);
    else
        event_post_remote(cpu, event);
    return true;
}

/* Moves what other vCPUs sent to the own queue, oldest first. */
static void event_collect(struct event_rep *rep)
{
    if (__atomic_load_n(&rep->incoming, __ATOMIC_RELAXED) == NULL)
        return;

    struct event *newest = __atomic_exchange_n(&rep->incoming, NULL, __ATOMIC_ACQUIRE);
    struct event *oldest = NULL;

    while (newest) {
        struct event *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct event *next = oldest->next;

        event_append(rep, oldest);
        oldest = next;
    }
}

/* Runs what is queued now, not what that queues in turn: timers and other vCPUs get their turn after it. */
static void event_run(struct event_rep *rep)
{
    struct event *event = rep->first;

    rep->first = NULL;
    rep->last = &rep->first;
    while (event) {
        struct event *next = event->next;
        event_fn fn = event->fn;
        void *arg = event->arg;

        event->queued = 0;
        if (event->allocated)
            mem_free(event);
        rep->run++;
        fn(arg);
        event = next;
    }
}

uint64_t event_count(unsigned cpu)
{
    const struct event_rep *rep = ebb_peek(EBB_EVENT, cpu);

    return rep ? __atomic_load_n(&rep->run, __ATOMIC_RELAXED) : 0;
}

/* Nothing to do: sleep, unless something arrived from another vCPU meanwhile. */
static void idle_enter(struct event_rep *rep)
{
    timer_arm();
    __atomic_store_n(&rep->sleeping, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&rep->incoming, __ATOMIC_SEQ_CST) == NULL)
        idle_wait();
    __atomic_store_n(&rep->sleeping, 0, __ATOMIC_RELAXED);
}

void event_loop(void)
{
    struct event_rep *rep = ebb_rep(EBB_EVENT);

    for (;;) {
        event_collect(rep);
        timer_run();
        if (rep->first) {
            event_run(rep);
            irq_window();
        } else {
            idle_enter(rep);
        }
    }
}
