/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clock calls. */
#include "defs.h"
#include "task.h"

enum { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME, CLOCK_THREAD_CPUTIME, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
       CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME };
#define TIMER_ABSTIME 1
#define NS 1000000000ul

static bool clock_read(u32 id, u64 *ns)
{
    switch (id) {
    case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: *ns = time_realtime_ns(); return true;
    case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_RAW: case CLOCK_MONOTONIC_COARSE: case CLOCK_BOOTTIME: *ns = time_ns(); return true;
    case CLOCK_PROCESS_CPUTIME: *ns = process_usage(current->proc).exec_ns; return true;
    case CLOCK_THREAD_CPUTIME: *ns = task_exec_ns(current); return true;
    default: return false;
    }
}

static long put_timespec(u64 uts, u64 ns)
{
    struct timespec ts = { (s64)(ns / NS), (s64)(ns % NS) };
    return copy_to_user(uts, &ts, sizeof ts) ? -EFAULT : 0;
}

long sys_clock_gettime(u32 id, u64 uts)
{
    u64 ns;
    return clock_read(id, &ns) ? put_timespec(uts, ns) : -EINVAL;
}

long sys_clock_getres(u32 id, u64 uts)
{
    u64 ns;
    return !clock_read(id, &ns) ? -EINVAL : uts ? put_timespec(uts, 1) : 0;
}

long sys_gettimeofday(u64 utv, u64 utz)
{
    u64 ns = time_realtime_ns();
    struct timeval tv = { (s64)(ns / NS), (s64)(ns % NS / 1000) };
    return utv && copy_to_user(utv, &tv, sizeof tv) ? -EFAULT : 0;
}

long sys_time(u64 ut)
{
    u64 s = time_realtime_ns() / NS;
    return ut && put_user64(ut, s) ? -EFAULT : (long)s;
}

/* Sleeps; a signal breaks it off, and without a handler it goes on for the rest. */
static long sleep_until(u64 until, u64 urem, bool absolute)
{
    struct task *me = current;
    for (;;) {
        atomic_xchg(&me->state, TASK_INTERRUPTIBLE);
        if (signal_pending(me)) {
            me->state = TASK_RUNNING;
            u64 t = time_ns();
            if (urem && !absolute)
                put_timespec(urem, until > t ? until - t : 0);
            me->restart_until = until;
            me->restart_rem = urem;
            return absolute ? -ERESTARTNOHAND : -ERESTART_RESTARTBLOCK;
        }
        if (!timer_schedule_until(until))
            return 0;
    }
}

long sys_restart_syscall(void) { return current->restart_until ? sleep_until(current->restart_until, current->restart_rem, false) : -EINTR; }

long sys_clock_nanosleep(u32 id, u32 flags, u64 uts, u64 urem)
{
    struct timespec ts;
    u64 now;
    if (copy_from_user(&ts, uts, sizeof ts))
        return -EFAULT;
    if (ts.sec < 0 || (u64)ts.nsec >= NS || !clock_read(id, &now))
        return -EINVAL;
    u64 want = MIN((u64)ts.sec, 1ul << 32) * NS + (u64)ts.nsec, until = time_ns();
    if (flags & TIMER_ABSTIME)
        until += want > now ? want - now : 0;
    else
        until += want;
    return sleep_until(until, urem, flags & TIMER_ABSTIME);
}

long sys_nanosleep(u64 uts, u64 urem) { return sys_clock_nanosleep(CLOCK_MONOTONIC, 0, uts, urem); }

/* Time is not told apart into user's and system's: all of it is the user's. */
long sys_times(u64 buf)
{
    struct process *p = current->proc;
    u64 t[4] = { process_usage(p).exec_ns / (NS / 100), 0, p->reaped.exec_ns / (NS / 100), 0 };
    if (buf && copy_to_user(buf, t, sizeof t))
        return -EFAULT;
    return (long)(time_ns() / (NS / 100));
}

long sys_getrusage(int who, u64 uru)
{
    enum { SELF = 0, CHILDREN = -1, THREAD = 1 };
    struct task *t = current;
    if (who < CHILDREN || who > THREAD)
        return -EINVAL;
    struct usage u = who == SELF ? process_usage(t->proc) : who == CHILDREN ? t->proc->reaped : (struct usage){ task_exec_ns(t), t->minflt, t->nvcsw, t->nivcsw };
    u64 ru[18] = { u.exec_ns / NS, u.exec_ns % NS / 1000 };
    ru[8] = u.minflt;
    ru[16] = u.nvcsw;
    ru[17] = u.nivcsw;
    return copy_to_user(uru, ru, sizeof ru) ? -EFAULT : 0;
}
