/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the scheduler's files share: the run queue and its accounts. */
#pragma once
#include "task.h"

struct rq {
    struct spinlock lock;
    struct rb_tree queue;    /* runnable, not running; by vruntime */
    u32 nr;                  /* queued + running, the idle thread not counted */
    u32 ticks;
    struct task *curr;
    u64 min_vruntime;
    u64 clock;               /* ns: when the operation at hand began */
    u64 busy_ns;             /* spent with threads other than the idle one */
    struct load load;        /* of all its threads */
    struct psi psi;
    struct task *woken cacheline_aligned; /* by other vCPUs, to be queued here: a stack linked by wake_next */
    bool expecting;          /* some are on their way: until they count in nr */
} cacheline_aligned;

/* psi.c. The rq's lock is held; nr counts as it will be from now on. */
void psi_change(struct rq *rq, u32 nr, bool busy);
void psi_init(void);
u64 psi_some_ns(u32 cpu, u64 now);

struct rq *sched_rq(u32 cpu);
