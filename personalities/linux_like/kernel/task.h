/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads (struct task) and the processes they make up (struct process). */
#pragma once
#include "defs.h"
#include "lock.h"
#include "mm.h"
#include "percpu.h"
#include "rbtree.h"
#include "uapi.h"

enum { TASK_RUNNING = 0, TASK_INTERRUPTIBLE = 1, TASK_UNINTERRUPTIBLE = 2, TASK_DEAD = 4 };
#define TIF_NEED_RESCHED 1u
#define TIF_SIGPENDING 2u
#define TIF_FPU_RELOAD 4u

struct inode;
struct files;

/* sched_load.c: how busy a thread, or a vCPU, has been lately */
#define LOAD_SCALE 1024u             /* all the time; of a vCPU's threads together, as many times that */
struct load {
    u64 at;                          /* ns: accounted up to here */
    u32 part;                        /* us into the current period */
    u32 running_sum;
    u64 runnable_sum;
    u32 runnable, running;           /* 0 .. LOAD_SCALE a thread */
};
void load_init(void);
void load_update(struct load *l, u64 now, u32 runnable, bool running);

struct psi { u32 seq; s32 waiting; u64 since, some; }; /* psi.c */

struct process {
    s32 pid;
    struct process *parent;
    struct list children, sibling;   /* tasklist_lock */
    struct list threads;             /* tasklist_lock */
    u32 nr_threads;
    u32 refs;
    bool zombie, exiting, execed;
    s32 status;                      /* as wait4 reports it */
    s32 pgid, sid;
    s32 exit_signal;
    struct wait_queue child_wait;    /* wait4; also execve waiting for its threads */
    struct spinlock siglock;
    struct k_sigaction actions[NSIG + 1];
    u64 shared_pending;
    struct inode *cwd;
    u32 umask;
    char exe[128];
    struct timer itimer;             /* tasklist_lock, as the next two */
    bool itimer_armed;
    u64 itimer_interval;             /* ns */
};

struct task {
    u64 ksp;                         /* entry.S */
    u32 tif;                         /* ring0.S */
    struct process *proc;
    struct mm *mm;                   /* NULL: kernel thread */
    struct files *files;
    s32 tid;
    char comm[16];
    u8 *stack;
    u32 refs;

    volatile int state;
    u32 cpu;
    bool on_rq;                      /* queued or running */
    volatile bool on_cpu;
    bool is_idle;
    u64 cpus_allowed;
    u64 vruntime, exec_start, sum_exec, slice_start; /* ns */
    struct rb_node rq_node;
    struct load load;
    struct task *wake_next;          /* in a run queue's `woken` */
    struct spinlock pi_lock;         /* serialises wake-ups */

    u64 fsbase, gsbase;
    u8 *fpu;                         /* 512 bytes, FXSAVE */
    u32 fpu_cpu;                     /* where the registers last held it */

    struct list thread_node, all_node;
    u64 set_child_tid, clear_child_tid, robust_list;
    struct task *vfork_parent;
    bool vfork_done;
    struct wait_queue vfork_wait;

    u64 sigmask, saved_sigmask, pending, fault_addr;
    bool restore_sigmask;
    struct sigaltstack altstack;
    u64 nvcsw, nivcsw, minflt;
    u32 nofault;                     /* > 0: user copies fail rather than fault pages in (a spinlock is held) */
};

_Static_assert(offsetof(struct task, ksp) == 0, "entry.S");

static inline struct pt_regs *task_regs(struct task *t)
{
    return (struct pt_regs *)(t->stack + (PAGE_SIZE << KSTACK_ORDER) - 8) - 1;
}
static inline bool signal_pending(struct task *t) { return READ_ONCE(t->tif) & TIF_SIGPENDING; }

/* sched.c: one run queue a vCPU, by virtual run time */
void sched_init(void);
void sched_init_idle(u32 cpu);
void schedule(void);
void sched_yield_current(void);
probed bool try_to_wake_up(struct task *t, int states);
static inline bool wake_task(struct task *t) { return try_to_wake_up(t, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE); }
void sched_start(struct task *t);    /* a new task's first wake-up */
void sched_tick(void);
void sched_take_woken(void);         /* queues what other vCPUs woke for this one; interrupts off */
void sched_finish_switch(struct task *prev);
long sched_set_affinity(struct task *t, u64 mask);
void sched_quiesce(void);            /* returns after every vCPU has left the code it was running in softirq or lockless lookups */
u32 sched_nr_running(void);
void task_put(struct task *t);

/* fork.c, exit.c, exec.c */
extern struct spinlock tasklist_lock;
extern struct list all_tasks;
extern struct process *init_process;
struct task *fork_idle(u32 cpu);
struct task *fork_kthread(void (*fn)(void *), void *arg, const char *name, u64 cpus_allowed);
void fork_init_process(void (*fn)(void *), void *arg);
long fork_clone(struct pt_regs *regs, u64 flags, u64 stack, u64 ptid, u64 ctid, u64 tls);
void process_put(struct process *p);
struct task *task_find(s32 tid);     /* with a reference, or NULL */
noreturn void exit_thread(void);
noreturn void exit_group(s32 status);
void exit_release_mm(struct task *t);
long exec_load(const char *path, char **argv, char **envp, struct pt_regs *regs);
bool exec_kill_siblings(void);

/* signal.c */
void signal_init(void);
void signal_send_process(struct process *p, int sig);
void signal_send_task(struct task *t, int sig);
void signal_force(int sig, u64 addr);  /* a fault of current: cannot be blocked or ignored */
void signal_deliver(struct pt_regs *regs);
void signal_recalc(struct task *t);
void signal_exec_reset(struct process *p);

/* fpu.c */
void fpu_init_task(struct task *t);
void fpu_save(struct task *t);
void fpu_restore_current(void);
void fpu_fork(struct task *child);
void fpu_reset_current(void);
