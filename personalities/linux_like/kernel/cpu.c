/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One vCPU's descriptor tables and control registers. */
#include "defs.h"
#include "mm.h"
#include "task.h"

struct tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7];
    u64 reserved2;
    u16 reserved3, iomap;
} __attribute__((packed));

/* Entries at fixed places: SYSRET wants user data 8 below user code. */
struct gdt { u64 entry[10]; } __attribute__((aligned(16)));

struct cpu cpus[MAX_CPUS] entry_data;
u32 ncpus = 1;
static struct tss tsses[MAX_CPUS] entry_data;
static struct gdt gdts[MAX_CPUS] entry_data;
static u64 entry_stacks[MAX_CPUS][32] entry_data;
static u8 ring0_stacks[MAX_CPUS][256] __attribute__((aligned(64))); /* a frame's first place, ring0.S */
static u8 df_stacks[MAX_CPUS][PAGE_SIZE] __attribute__((aligned(16)));

void trap_load_idt(void);

void cpu_init(struct cpu *c)
{
    struct tss *t = &tsses[c->id];
    struct gdt *g = &gdts[c->id];
    t->ist[0] = (u64)df_stacks[c->id] + PAGE_SIZE;
    t->ist[1] = (u64)ring0_stacks[c->id] + sizeof ring0_stacks[0];
    t->iomap = sizeof *t;
    t->rsp[0] = c->entry_stack = (u64)(entry_stacks[c->id] + ARRAY_SIZE(entry_stacks[0]));
    u64 base = (u64)t;
    g->entry[KERNEL_CS >> 3] = 0x00af9b000000ffff;
    g->entry[KERNEL_DS >> 3] = 0x00cf93000000ffff;
    g->entry[0x20 >> 3] = 0x00cffb000000ffff; /* 32-bit user code: not used, but SYSRET counts from it */
    g->entry[USER_DS >> 3] = 0x00cff3000000ffff;
    g->entry[USER_CS >> 3] = 0x00affb000000ffff;
    g->entry[TSS_SEL >> 3] = (sizeof *t - 1) | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    g->entry[(TSS_SEL >> 3) + 1] = base >> 32;
    struct { u16 limit; u64 base; } __attribute__((packed)) gdtr = { sizeof *g - 1, (u64)g };
    __asm__ volatile("lgdt %0; mov %1,%%ss; mov %1,%%ds; mov %1,%%es; ltr %w2;"
                     "pushq %3; leaq 1f(%%rip),%%rax; pushq %%rax; lretq; 1:"
                     ::"m"(gdtr), "r"(KERNEL_DS), "r"(TSS_SEL), "i"(KERNEL_CS) : "rax", "memory");
    c->self = c;
    wrmsr(MSR_GS_BASE, (u64)c);
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    trap_load_idt();
    syscall_init_cpu();
    if (c->id)
        mitigation_init_cpu(); /* the first has not read its command line yet */
}

void cpu_set_kstack(struct cpu *c, u64 top) { c->kstack_top = top; }
