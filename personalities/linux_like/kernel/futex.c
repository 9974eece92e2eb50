/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Futexes: sleep if a word still holds a value; wake those who sleep on a word. */
#include "defs.h"
#include "task.h"

#define FUTEX_BUCKETS 256
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4, FUTEX_WAKE_OP = 5, FUTEX_WAIT_BITSET = 9,
       FUTEX_WAKE_BITSET = 10, FUTEX_PRIVATE = 128, FUTEX_CLOCK_REALTIME = 256 };
#define FUTEX_TID_MASK 0x3fffffffu
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_WAITERS 0x80000000u

/* What a word is known by: an address in an address space, or a place in shared memory. */
struct futex_key { const void *space; u64 at; };
struct futex_waiter {
    struct list node;
    struct futex_key key;
    struct task *task;
    u32 bitset;
    struct bucket *bucket;   /* NULL: woken */
};
struct bucket { struct spinlock lock; struct list waiters; } cacheline_aligned;

static struct bucket futex_table[FUTEX_BUCKETS];

void futex_init(void)
{
    for (u32 i = 0; i < FUTEX_BUCKETS; i++)
        list_init(&futex_table[i].waiters);
}

static int futex_get_key(u64 uaddr, bool private, struct futex_key *k)
{
    struct mm *mm = current->mm;
    if (uaddr & 3)
        return -EINVAL;
    if (uaddr >= USER_TOP)
        return -EFAULT;
    *k = (struct futex_key){ mm, uaddr };
    if (!private) {
        down_read(&mm->lock);
        struct vma *v = mm_find_vma(mm, uaddr);
        if (v && v->start <= uaddr && v->shm)
            *k = (struct futex_key){ v->shm, uaddr - v->start + v->offset };
        up_read(&mm->lock);
    }
    return 0;
}

static struct bucket *futex_bucket(const struct futex_key *k)
{
    u64 h = ((u64)k->space >> 6 ^ k->at >> 2) * 0x9e3779b97f4a7c15ul;
    return &futex_table[h >> 56];
}

static bool same_key(const struct futex_key *a, const struct futex_key *b) { return a->space == b->space && a->at == b->at; }

/* Takes w off its bucket, whose lock is held, and wakes it. w may be gone after that. */
static void futex_wake_one(struct futex_waiter *w)
{
    struct task *t = w->task;
    list_del(&w->node);
    atomic_add(&t->refs, 1);
    __atomic_store_n(&w->bucket, NULL, __ATOMIC_RELEASE);
    wake_task(t);
    task_put(t);
}

long futex_wake(u64 uaddr, u32 nr, u32 bitset, bool private)
{
    struct futex_key k;
    long woken = 0;
    int r = futex_get_key(uaddr, private, &k);
    if (r || !bitset)
        return r ? r : -EINVAL;
    struct bucket *b = futex_bucket(&k);
    struct futex_waiter *w, *tmp;
    spin_lock(&b->lock);
    list_for_each_safe(w, tmp, &b->waiters, node)
        if (woken < (long)nr && same_key(&w->key, &k) && w->bitset & bitset) {
            futex_wake_one(w);
            woken++;
        }
    spin_unlock(&b->lock);
    return woken;
}

/* Leaves the bucket the waiter is in now, which requeueing may have changed. True: it had been woken. */
static bool futex_unqueue(struct futex_waiter *w)
{
    struct bucket *b;
    while ((b = READ_ONCE(w->bucket))) {
        spin_lock(&b->lock);
        if (w->bucket == b) {
            list_del(&w->node);
            spin_unlock(&b->lock);
            return false;
        }
        spin_unlock(&b->lock);
    }
    return true;
}

/* The word, under a spinlock: -EFAULT also when its page has to be faulted in first. */
static int futex_load(u32 *v, u64 uaddr)
{
    current->nofault++;
    int r = get_user32(v, uaddr);
    current->nofault--;
    return r;
}

/* Queued, bucket lock held; gives up the vCPU until woken, a signal, or the time. */
probed static long futex_queue_wait(struct futex_waiter *w, struct bucket *b, u64 until)
{
    long r = 0;
    atomic_xchg(&current->state, TASK_INTERRUPTIBLE);
    spin_unlock(&b->lock);
    while (READ_ONCE(w->bucket)) {
        if (signal_pending(current)) {
            r = -ERESTARTSYS;
            break;
        }
        if (!timer_schedule_until(until)) {
            r = -ETIMEDOUT;
            break;
        }
        atomic_xchg(&current->state, TASK_INTERRUPTIBLE);
    }
    current->state = TASK_RUNNING;
    return r;
}

static long futex_wait(u64 uaddr, u32 val, u64 until, u32 bitset, bool private)
{
    struct futex_waiter w = { .task = current, .bitset = bitset };
    u32 now;
    int r = futex_get_key(uaddr, private, &w.key);
    if (r || !bitset)
        return r ? r : -EINVAL;
    struct bucket *b = futex_bucket(&w.key);
    for (;;) {
        spin_lock(&b->lock);
        if (!futex_load(&now, uaddr))
            break;
        spin_unlock(&b->lock);
        if (get_user32(&now, uaddr)) /* may sleep */
            return -EFAULT;
    }
    if (now != val) {
        spin_unlock(&b->lock);
        return -EAGAIN;
    }
    w.bucket = b;
    list_add_tail(&w.node, &b->waiters);
    long res = futex_queue_wait(&w, b, until);
    return futex_unqueue(&w) ? 0 : res == -ERESTARTSYS && until ? -EINTR : res;
}

static void futex_lock_both(struct bucket *a, struct bucket *b)
{
    spin_lock(a < b ? &a->lock : &b->lock);
    if (a != b)
        spin_lock(a < b ? &b->lock : &a->lock);
}

static void futex_unlock_both(struct bucket *a, struct bucket *b)
{
    spin_unlock(&a->lock);
    if (a != b)
        spin_unlock(&b->lock);
}

static long futex_requeue(u64 from, u32 nr_wake, u64 to, u32 nr_move, bool compare, u32 val, bool private)
{
    struct futex_key k1, k2;
    struct futex_waiter *w, *tmp;
    u32 now;
    long done = 0;
    int r = futex_get_key(from, private, &k1);
    if (!r)
        r = futex_get_key(to, private, &k2);
    if (r)
        return r;
    struct bucket *a = futex_bucket(&k1), *b = futex_bucket(&k2);
    for (;;) {
        futex_lock_both(a, b);
        if (!futex_load(&now, from))
            break;
        futex_unlock_both(a, b);
        if (get_user32(&now, from)) /* may sleep */
            return -EFAULT;
    }
    if (compare && now != val) {
        done = -EAGAIN;
        goto out;
    }
    list_for_each_safe(w, tmp, &a->waiters, node) {
        if (!same_key(&w->key, &k1))
            continue;
        if (done < (long)nr_wake) {
            futex_wake_one(w);
        } else if (done - (long)nr_wake < (long)nr_move) {
            list_del(&w->node);
            w->key = k2;
            list_add_tail(&w->node, &b->waiters);
            WRITE_ONCE(w->bucket, b);
        } else {
            break;
        }
        done++;
    }
out:
    futex_unlock_both(a, b);
    return done;
}

long sys_futex(u64 uaddr, u32 op, u32 val, u64 timeout, u64 uaddr2, u32 val3)
{
    bool private = op & FUTEX_PRIVATE, wall = op & FUTEX_CLOCK_REALTIME;
    u32 cmd = op & 127;
    struct timespec ts;
    u64 until = 0;
    if (timeout && (cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET)) {
        if (copy_from_user(&ts, timeout, sizeof ts))
            return -EFAULT;
        if (ts.sec < 0 || (u64)ts.nsec >= 1000000000ul)
            return -EINVAL;
        until = (u64)ts.sec * 1000000000ul + (u64)ts.nsec;
        if (cmd == FUTEX_WAIT)
            until += time_ns();
        else if (wall)
            until -= MIN(until, time_realtime_ns() - time_ns());
        until = MAX(until, 1ul); /* 0 would be for ever */
    }
    switch (cmd) {
    case FUTEX_WAIT: return futex_wait(uaddr, val, until, ~0u, private);
    case FUTEX_WAIT_BITSET: return futex_wait(uaddr, val, until, val3, private);
    case FUTEX_WAKE: return futex_wake(uaddr, val, ~0u, private);
    case FUTEX_WAKE_BITSET: return futex_wake(uaddr, val, val3, private);
    case FUTEX_REQUEUE: return futex_requeue(uaddr, val, uaddr2, (u32)timeout, false, 0, private);
    case FUTEX_CMP_REQUEUE: return futex_requeue(uaddr, val, uaddr2, (u32)timeout, true, val3, private);
    default: return -ENOSYS;
    }
}

/* The robust list's locks of a dying thread: marked, and one waiter each is woken. */
void futex_exit_robust(struct task *t)
{
    u64 head = t->robust_list, next, offset, pending;
    t->robust_list = 0;
    if (!head || get_user64(&next, head) || get_user64(&offset, head + 8) || get_user64(&pending, head + 16))
        return;
    for (int i = 0; i < 2048 && (next & ~1ul) != head; i++) {
        u64 entry = next & ~1ul, word = entry + offset;
        u32 v;
        if (get_user64(&next, entry) || word & 3 || get_user32(&v, word))
            return;
        if ((v & FUTEX_TID_MASK) == (u32)t->tid) {
            u32 died = (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
            if (put_user32(word, died))
                return;
            if (v & FUTEX_WAITERS)
                futex_wake(word, 1, ~0u, false);
        }
    }
}
