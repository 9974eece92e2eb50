/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each vCPU keeps for itself, found through GS. entry.S knows the first four fields' offsets. */
#pragma once
#include "param.h"
#include "types.h"

struct task;
struct mm;

/* Data that entry.S and the processor need before the kernel's tables are loaded: also in those that programs run on. */
#define entry_data __attribute__((section(".bss.entry"), aligned(64)))

struct cpu {
    struct cpu *self;
    struct task *curr;
    u64 kstack_top;
    u64 user_rsp;
    u64 entry_stack;     /* its top */
    u32 id;              /* 0 .. ncpus - 1 */
    u32 apic_id;
    u32 hardirq_depth;   /* interrupt handlers running */
    u32 bh_depth;        /* > 0: softirqs may not run here now */
    u32 softirq_pending; /* bits by number, softirq.c */
    bool online;
    struct task *idle;
    struct mm *loaded_mm;    /* whose page tables CR3 holds; kernel threads borrow the last one */
    u64 tlb_gen;             /* how far its TLB follows loaded_mm's tlb_gen */
    bool tlb_lazy;           /* borrowed: flushes can wait until a thread of it runs here again */
    struct task *fpu_owner;  /* whose FPU state the registers hold */
} cacheline_aligned;

_Static_assert(offsetof(struct cpu, kstack_top) == 16 && offsetof(struct cpu, user_rsp) == 24 && offsetof(struct cpu, entry_stack) == 32, "entry.S");

extern struct cpu cpus[MAX_CPUS];
extern u32 ncpus;

static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    __asm__ volatile("mov %%gs:0,%0" : "=r"(c));
    return c;
}
static inline u32 cpu_id(void) { return this_cpu()->id; }
static inline struct task *get_current(void)
{
    struct task *t;
    __asm__ volatile("mov %%gs:8,%0" : "=r"(t));
    return t;
}
#define current get_current()
