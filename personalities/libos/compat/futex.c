/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Futexes: threads that wait for a word, by its address. */
#include "compat.h"

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAKE_BITSET 10
#define FUTEX_PRIVATE 128u
#define FUTEX_CLOCK_REALTIME 256u
#define FUTEX_BUCKETS 64u
#define EVERY_BIT 0xFFFFFFFFu

enum { WANT_WORD, WANT_BITS };      /* of thread.want */

struct futex_bucket {
    struct spinlock lock;
    struct thread *first;
} cacheline_aligned;

struct linux_timespec {
    int64_t seconds, nanoseconds;
};

static struct futex_bucket futex_buckets[FUTEX_BUCKETS];

int64_t linux_futex(uint32_t *word, uint64_t operation, uint32_t value, const struct linux_timespec *limit, uint32_t *word2, uint32_t bits);
void futex_wake_all(uint32_t *word);

static struct futex_bucket *futex_bucket(const uint32_t *word)
{
    return &futex_buckets[((uint64_t)word >> 2 ^ (uint64_t)word >> 8) % FUTEX_BUCKETS];
}

/* True: it waited there, and is taken out; what wakes it is the caller's to do. */
static bool futex_remove(struct futex_bucket *bucket, struct thread *thread)
{
    for (struct thread **at = &bucket->first; *at; at = &(*at)->next)
        if (*at == thread) {
            *at = thread->next;
            return true;
        }
    return false;
}

static void futex_timeout(void *arg)
{
    struct thread *thread = arg;
    struct futex_bucket *bucket = futex_bucket((uint32_t *)thread->want[WANT_WORD]);

    spin_lock(&bucket->lock);

    bool waited = futex_remove(bucket, thread);

    spin_unlock(&bucket->lock);
    if (waited)
        thread_go_on(thread, -LINUX_ETIMEDOUT);
}

/* How long it may last, from now: FUTEX_WAIT counts from now, the others name a time of a clock that starts with us. */
static bool futex_limit(uint64_t operation, const struct linux_timespec *limit, uint64_t *ns)
{
    if (limit->seconds < 0 || limit->nanoseconds < 0 || limit->nanoseconds >= 1000000000)
        return false;
    *ns = (uint64_t)limit->seconds * 1000000000u + (uint64_t)limit->nanoseconds;
    if ((operation & 127) == FUTEX_WAIT_BITSET) {
        uint64_t now = clock_ns();

        *ns = *ns > now ? *ns - now : 0;
    }
    return true;
}

static int64_t futex_wait(uint32_t *word, uint64_t operation, uint32_t value, const struct linux_timespec *limit, uint32_t bits)
{
    struct futex_bucket *bucket = futex_bucket(word);
    struct thread *thread = thread_current();
    uint64_t ns = 0;

    if (bits == 0 || (limit && !futex_limit(operation, limit, &ns)))
        return -LINUX_EINVAL;
    thread->want[WANT_WORD] = (uint64_t)word;
    thread->want[WANT_BITS] = bits;
    if (limit && !timer_start(&thread->timer, ns, futex_timeout, thread))
        return -LINUX_ENOMEM;
    spin_lock(&bucket->lock);
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != value) {
        spin_unlock(&bucket->lock);
        timer_cancel(&thread->timer);
        return -LINUX_EAGAIN;
    }

    struct thread **last = &bucket->first;

    while (*last)
        last = &(*last)->next;
    thread->next = NULL;
    *last = thread;

    /* It may be woken from now on, by an event that comes behind this one. */
    int64_t waits = thread_wait_for_lock(thread);

    spin_unlock(&bucket->lock);
    return waits;
}

/* A timer belongs to its vCPU: there it is stopped, before the thread goes on. */
static void futex_go_on(void *arg)
{
    struct thread *thread = arg;

    timer_cancel(&thread->timer);
    thread_go_on(thread, 0);
}

static int64_t futex_wake(uint32_t *word, uint32_t count, uint32_t bits)
{
    struct futex_bucket *bucket = futex_bucket(word);
    struct thread *woken = NULL, **last = &woken;
    int64_t found = 0;

    spin_lock(&bucket->lock);
    for (struct thread **at = &bucket->first; *at && found < count;) {
        struct thread *thread = *at;

        if (thread->want[WANT_WORD] == (uint64_t)word && thread->want[WANT_BITS] & bits) {
            *at = thread->next;
            thread->next = NULL;
            *last = thread;
            last = &thread->next;
            found++;
        } else {
            at = &thread->next;
        }
    }
    spin_unlock(&bucket->lock);
    while (woken) {
        struct thread *next = woken->next;

        if (woken->timer.slot)
            event_post(woken->cpu, &woken->event, futex_go_on, woken);
        else
            thread_go_on(woken, 0);
        woken = next;
    }
    return found;
}

void futex_wake_all(uint32_t *word)
{
    futex_wake(word, EVERY_BIT, EVERY_BIT);
}

int64_t linux_futex(uint32_t *word, uint64_t operation, uint32_t value, const struct linux_timespec *limit, uint32_t *word2, uint32_t bits)
{
    (void)word2;
    if ((uint64_t)word % sizeof(*word))
        return -LINUX_EINVAL;
    switch (operation & ~(uint64_t)(FUTEX_PRIVATE | FUTEX_CLOCK_REALTIME)) {
    case FUTEX_WAIT:
        return futex_wait(word, operation, value, limit, EVERY_BIT);
    case FUTEX_WAIT_BITSET:
        return futex_wait(word, operation, value, limit, bits);
    case FUTEX_WAKE:
        return futex_wake(word, value, EVERY_BIT);
    case FUTEX_WAKE_BITSET:
        return futex_wake(word, value, bits);
    default:
        linux_say_once(2, "linux: futex operation %lu is not there: ENOSYS\n", operation & 127);
        return -LINUX_ENOSYS;
    }
}
