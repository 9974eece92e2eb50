/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks, all of which start with the machine (libos knows no date), and sleeping. */
#include "compat.h"

#define NS_PER_S 1000000000u
#define TIMER_ABSTIME 1u
#define CLOCKS 12u

struct linux_timespec {
    int64_t seconds, nanoseconds;
};

int64_t linux_clock_gettime(uint64_t clock, struct linux_timespec *time);
int64_t linux_clock_getres(uint64_t clock, struct linux_timespec *resolution);
int64_t linux_gettimeofday(struct linux_timespec *time);
int64_t linux_time(int64_t *seconds);
int64_t linux_nanosleep(const struct linux_timespec *wanted);
int64_t linux_clock_nanosleep(uint64_t clock, uint64_t flags, const struct linux_timespec *wanted);

int64_t linux_clock_gettime(uint64_t clock, struct linux_timespec *time)
{
    uint64_t now = clock_ns();

    if (clock >= CLOCKS)
        return -LINUX_EINVAL;
    *time = (struct linux_timespec){ (int64_t)(now / NS_PER_S), (int64_t)(now % NS_PER_S) };
    return 0;
}

int64_t linux_clock_getres(uint64_t clock, struct linux_timespec *resolution)
{
    if (clock >= CLOCKS)
        return -LINUX_EINVAL;
    if (resolution)
        *resolution = (struct linux_timespec){ 0, 1 };
    return 0;
}

int64_t linux_gettimeofday(struct linux_timespec *time)
{
    uint64_t now = clock_ns();

    if (time)
        *time = (struct linux_timespec){ (int64_t)(now / NS_PER_S), (int64_t)(now % NS_PER_S / 1000) };
    return 0;
}

int64_t linux_time(int64_t *seconds)
{
    int64_t now = (int64_t)(clock_ns() / NS_PER_S);

    if (seconds)
        *seconds = now;
    return now;
}

static void clock_wake(void *arg)
{
    thread_go_on(arg, 0);
}

int64_t linux_clock_nanosleep(uint64_t clock, uint64_t flags, const struct linux_timespec *wanted)
{
    struct thread *thread = thread_current();

    if (clock >= CLOCKS || wanted->seconds < 0 || wanted->nanoseconds < 0 || wanted->nanoseconds >= NS_PER_S)
        return -LINUX_EINVAL;

    uint64_t ns = (uint64_t)wanted->seconds * NS_PER_S + (uint64_t)wanted->nanoseconds;

    if (flags & TIMER_ABSTIME) {
        uint64_t now = clock_ns();

        ns = ns > now ? ns - now : 0;
    }
    if (!timer_start(&thread->timer, ns, clock_wake, thread))
        return -LINUX_ENOMEM;
    return thread_wait_for_event(thread);
}

int64_t linux_nanosleep(const struct linux_timespec *wanted)
{
    return linux_clock_nanosleep(0, 0, wanted);
}
