/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads (struct task) and the processes they make up (struct process). */
#pragma once
#include "defs.h"
#include "lock.h"
#include "mm.h"
#include "percpu.h"
#include "rbtree.h"
#include "uapi.h"

enum { TASK_RUNNING = 0, TASK_INTERRUPTIBLE = 1, TASK_UNINTERRUPTIBLE = 2, TASK_DEAD = 4, TASK_STOPPED = 8 };
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

/* Who sent a signal, and why: what siginfo says. */
struct sig_source { s32 code, pid, status; u64 value; };
#define NR_SOURCES 32                /* of the signals before the real-time ones */

struct usage { u64 exec_ns, minflt, nvcsw, nivcsw; };

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
    struct list all_node;            /* in all_processes, until it is reaped; tasklist_lock */
    char comm[16];                   /* its last thread's, once that is gone */
    u64 start_ns;                    /* since boot */
    s32 pdeath_signal;               /* when the parent ends */
    bool stopped, stop_news, cont_news; /* news: for wait4, not told yet; siglock */
    s32 stop_signal;
    struct sig_source source[NR_SOURCES]; /* of shared_pending; siglock */
    struct usage ended, reaped;      /* of threads that are gone; of children that were waited for, and theirs */
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

    u64 sigmask, saved_sigmask, pending;
    bool restore_sigmask;
    struct sigaltstack altstack;
    u64 nvcsw, nivcsw, minflt;
    struct sig_source source;        /* of the last signal sent to this thread, source_of */
    s32 source_of;
    struct fault { u64 addr; u32 code, trap, err; } fault; /* the last one that became a signal */
    u64 restart_until, restart_rem;  /* of a sleep that a signal broke */
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
extern struct list all_tasks, all_processes;
extern struct process *init_process;
s32 fork_last_tid(void);
struct task *fork_idle(u32 cpu);
struct task *fork_kthread(void (*fn)(void *), void *arg, const char *name, u64 cpus_allowed);
void fork_init_process(void (*fn)(void *), void *arg);
long fork_clone(struct pt_regs *regs, u64 flags, u64 stack, u64 ptid, u64 ctid, u64 tls);
void process_put(struct process *p);
struct task *task_find(s32 tid);     /* with a reference, or NULL */
struct process *process_find(s32 pid, bool next); /* with a reference; next: or the first with a greater number */
struct inode *process_cwd(struct process *p);
void process_forget(struct process *p); /* it was reaped; tasklist_lock held */
u64 task_exec_ns(const struct task *t);
struct usage process_usage(struct process *p); /* its threads', gone ones and living; takes tasklist_lock */
void usage_add(struct usage *to, const struct usage *u);
noreturn void exit_thread(void);
noreturn void exit_group(s32 status);
void exit_release_mm(struct task *t);
long exec_load(const char *path, char **argv, char **envp, struct pt_regs *regs);
bool exec_kill_siblings(void);

/* signal.c */
#define SIG_BIT(sig) (1ul << ((sig) - 1))
#define SIG_UNBLOCKABLE (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define SIG_STOPS (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))
void signal_send_process(struct process *p, int sig, const struct sig_source *from);  /* tasklist_lock held; NULL: the kernel */
void signal_send_task(struct task *t, int sig, const struct sig_source *from);
void signal_send_group(s32 pgid, int sig);  /* tasklist_lock held; from the kernel */
void signal_force(int sig, const struct fault *f);  /* a fault of current: cannot be blocked or ignored */
int signal_dequeue(struct task *t, u64 blocked, struct k_sigaction *sa, struct sig_source *from); /* 0: none */
void signal_deliver(struct pt_regs *regs);
void signal_recalc(struct task *t);
void signal_kick(struct task *t, int states);
void signal_exec_reset(struct process *p);
bool signal_setup_frame(struct pt_regs *r, int sig, const struct k_sigaction *sa, const struct sig_source *from); /* sigframe.c */
struct siginfo { s32 signo, err, code, pad; union { u64 addr; struct { s32 pid; u32 uid; union { u64 value; s32 status; }; }; u8 rest[112]; }; };
void siginfo_fill(struct siginfo *i, int sig, const struct sig_source *from);

/* job.c: stopping, going on, and process groups */
void job_stop(int sig);              /* current's process, and current waits */
void job_wait(void);
bool job_continue(struct process *p); /* siglock held; whether it was stopped */
void job_tell_parent(struct process *p, s32 code, s32 status); /* tasklist_lock held */

/* tty.c: whose terminal the console is; 0: nobody's */
void tty_give(s32 sid);               /* to a session, its leader in front */
s32 tty_session(void);
s32 tty_pgrp(void);
void tty_leave(s32 sid);              /* its leader ends; tasklist_lock held */

/* fpu.c */
void fpu_init_task(struct task *t);
void fpu_save(struct task *t);
void fpu_restore_current(void);
void fpu_fork(struct task *child);
void fpu_reset_current(void);
