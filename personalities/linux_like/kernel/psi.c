/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pressure: the time in which some thread could run and had no processor (Weiner, "psi: pressure stall information", 2018), kept at each change of who runs and
 * who waits, read from /proc/pressure/cpu. A reader may come at any moment: a count tells it when an account changed under it.
 */
#include "sched.h"
#include "fs.h"

/* The time up to now went to what was; from now on it is `nr` threads, and one of them runs if `busy`. */
noinline void psi_change(struct rq *rq, u32 nr, bool busy)
{
    struct psi *p = &rq->psi;
    u64 now = rq->clock;
    WRITE_ONCE(p->seq, p->seq + 1);
    barrier();
    if (p->waiting > 0)
        p->some += now - p->since;
    p->since = now;
    p->waiting = nr - busy;
    barrier();
    WRITE_ONCE(p->seq, p->seq + 1);
}

u64 psi_some_ns(u32 cpu, u64 now)
{
    struct psi *p = &sched_rq(cpu)->psi;
    for (;;) {
        u32 seq = READ_ONCE(p->seq);
        barrier();
        u64 some = p->some + (p->waiting > 0 && now > p->since ? now - p->since : 0);
        barrier();
        if (!(seq & 1) && READ_ONCE(p->seq) == seq)
            return some;
    }
}

/* Averages are the reader's to make: of two totals. */
static u32 psi_show(char *buf, u32 n)
{
    u64 now = time_ns(), some = 0;
    for (u32 i = 0; i < ncpus; i++)
        some += psi_some_ns(i, now);
    return (u32)snprintk(buf, n, "some total=%lu\nfull total=0\n", some / 1000);
}

void psi_init(void) { proc_make("/proc/pressure/cpu", psi_show); }
