/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers: a binary heap per vCPU (an Ebb). The LAPIC timer is only programmed when the vCPU is about to sleep; a busy
 * one compares the TSC once per round of its loop.
 */
#include "timer.h"
#include "clock.h"
#include "ebb.h"
#include "irq.h"
#include "lapic.h"

#define TIMER_FIRST_CAPACITY 64

struct timer_rep {
    struct timer **heap;        /* 1-based */
    uint32_t count;
    uint32_t capacity;
    uint64_t armed;             /* the deadline the LAPIC is set to; 0: stopped */
};

static void timer_interrupt(void)
{
    struct timer_rep *rep = ebb_rep(EBB_TIMER);

    rep->armed = 0;             /* timer_run looks at the heap next */
}

static void *timer_miss(ebb_id id, void *root)
{
    (void)id;
    (void)root;
    return ebb_rep_memory(sizeof(struct timer_rep));
}

void timer_init(void)
{
    ebb_install(EBB_TIMER, timer_miss, NULL);
    irq_register(IRQ_TIMER, timer_interrupt);
}

static void timer_place(struct timer_rep *rep, uint32_t slot, struct timer *timer)
{
    rep->heap[slot] = timer;
    timer->slot = slot;
}

static void timer_sift_up(struct timer_rep *rep, uint32_t slot, struct timer *timer)
{
    while (slot > 1 && rep->heap[slot / 2]->deadline > timer->deadline) {
        timer_place(rep, slot, rep->heap[slot / 2]);
        slot /= 2;
    }
    timer_place(rep, slot, timer);
}

static void timer_sift_down(struct timer_rep *rep, uint32_t slot, struct timer *timer)
{
    for (;;) {
        uint32_t child = slot * 2;

        if (child > rep->count)
            break;
        if (child < rep->count && rep->heap[child + 1]->deadline < rep->heap[child]->deadline)
            child++;
        if (timer->deadline <= rep->heap[child]->deadline)
            break;
        timer_place(rep, slot, rep->heap[child]);
        slot = child;
    }
    timer_place(rep, slot, timer);
}

static bool timer_grow(struct timer_rep *rep)
{
    uint32_t capacity = rep->capacity ? rep->capacity * 2 : TIMER_FIRST_CAPACITY;
    struct timer **heap = mem_alloc((capacity + 1) * sizeof(*heap));

    if (heap == NULL)
        return false;
    if (rep->heap)
        memcpy(heap, rep->heap, (rep->count + 1) * sizeof(*heap));
    mem_free(rep->heap);
    rep->heap = heap;
    rep->capacity = capacity;
    return true;
}

static void timer_remove(struct timer_rep *rep, struct timer *timer)
{
    uint32_t slot = timer->slot;
    struct timer *last = rep->heap[rep->count--];

    timer->slot = 0;
    if (last == timer)
        return;
    if (slot > 1 && rep->heap[slot / 2]->deadline > last->deadline)
        timer_sift_up(rep, slot, last);
    else
        timer_sift_down(rep, slot, last);
}

bool timer_start(struct timer *timer, uint64_t delay_ns, event_fn fn, void *arg)
{
    struct timer_rep *rep = ebb_rep(EBB_TIMER);

    if (timer->slot)
        timer_remove(rep, timer);
    if (rep->count == rep->capacity && !timer_grow(rep))
        return false;
    timer->deadline = rdtsc() + clock_from_ns(delay_ns);
    timer->fn = fn;
    timer->arg = arg;
    timer_sift_up(rep, ++rep->count, timer);
    return true;
}

void timer_cancel(struct timer *timer)
{
    if (timer->slot)
        timer_remove(ebb_rep(EBB_TIMER), timer);
}

void timer_run(void)
{
    struct timer_rep *rep = ebb_rep(EBB_TIMER);

    if (rep->count == 0)
        return;

    uint64_t now = rdtsc();

    /* `now` is read once: a timer that restarts itself cannot keep the loop here. */
    while (rep->count && rep->heap[1]->deadline <= now) {
        struct timer *timer = rep->heap[1];

        timer_remove(rep, timer);
        timer->fn(timer->arg);
    }
}

void timer_arm(void)
{
    struct timer_rep *rep = ebb_rep(EBB_TIMER);
    uint64_t deadline = rep->count ? rep->heap[1]->deadline : 0;

    if (deadline == rep->armed)
        return;
    rep->armed = deadline;
    if (deadline == 0) {
        lapic_timer_stop();
        return;
    }

    uint64_t now = rdtsc();

    lapic_timer_start(deadline > now ? deadline - now : 1);
}
