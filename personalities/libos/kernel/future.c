/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Futures. Whoever decides one takes the list of those that wait and sends each its event; from the first of these on, the
 * future's storage may be gone.
 */
#include "cpu.h"

void future_then(struct future *future, struct future_wait *wait, event_fn fn, void *arg)
{
    wait->next = NULL;
    wait->cpu = cpu_id();
    wait->fn = fn;
    wait->arg = arg;
    spin_lock(&future->lock);

    bool decided = future->state != FUTURE_PENDING;

    if (!decided) {
        *(future->first ? &future->last->next : &future->first) = wait;
        future->last = wait;
    }
    spin_unlock(&future->lock);
    if (decided)
        event_post(wait->cpu, &wait->event, fn, arg);
}

static void future_decide(struct future *future, uint32_t state, void *value, int error)
{
    spin_lock(&future->lock);
    if (future->state != FUTURE_PENDING)
        panic("future: %p is decided twice", (void *)future);
    future->value = value;
    future->error = error;
    __atomic_store_n(&future->state, state, __ATOMIC_RELEASE);

    struct future_wait *wait = future->first;

    spin_unlock(&future->lock);
    while (wait) {
        struct future_wait *next = wait->next;

        event_post(wait->cpu, &wait->event, wait->fn, wait->arg);
        wait = next;
    }
}

void future_fulfil(struct future *future, void *value)
{
    future_decide(future, FUTURE_FULFILLED, value, 0);
}

void future_fail(struct future *future, int error)
{
    future_decide(future, FUTURE_FAILED, NULL, error);
}

void *future_value(const struct future *future)
{
    if (__atomic_load_n(&future->state, __ATOMIC_ACQUIRE) != FUTURE_FULFILLED)
        panic("future: %p has no value", (const void *)future);
    return future->value;
}
