/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interrupt table. Exceptions are errors of the image: they print what is known and end the run. */
#include "trap.h"
#include "console.h"
#include "cpu.h"

#define GDT_CODE64 0x08
#define GDT_FIRST_TSS 4
#define GATE_INTERRUPT 0x8E
#define DOUBLE_FAULT 8
#define NMI 2
#define MACHINE_CHECK 18
#define PAGE_FAULT 14
#define IST_STACK_SIZE 4096

struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct trap_gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

struct trap_tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
} __attribute__((packed));

struct trap_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern uint8_t trap_entries[];
extern uint64_t boot_gdt[];
extern struct trap_pointer boot_gdt_pointer;

static struct trap_gate trap_gates[256] __attribute__((aligned(16)));
static struct trap_tss trap_tss[LIBOS_MAX_CPUS];
static uint8_t trap_stacks[LIBOS_MAX_CPUS][IST_STACK_SIZE] __attribute__((aligned(16)));

void trap_init(void)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        uint64_t entry = (uint64_t)trap_entries + vector * 16;

        trap_gates[vector] = (struct trap_gate){
            .offset_low = (uint16_t)entry,
            .selector = GDT_CODE64,
            .type = GATE_INTERRUPT,
            .offset_middle = (uint16_t)(entry >> 16),
            .offset_high = (uint32_t)(entry >> 32),
        };
    }
    /* These may come when the stack is not usable. */
    trap_gates[DOUBLE_FAULT].ist = trap_gates[NMI].ist = trap_gates[MACHINE_CHECK].ist = 1;
    trap_gates[PAGE_FAULT].ist = 1;
}

void trap_init_cpu(void)
{
    unsigned cpu = cpu_id();
    struct trap_tss *tss = &trap_tss[cpu];
    uint64_t base = (uint64_t)tss;
    uint64_t *descriptor = &boot_gdt[GDT_FIRST_TSS + cpu * 2];
    struct trap_pointer idt = { sizeof(trap_gates) - 1, (uint64_t)trap_gates };

    tss->ist[0] = (uint64_t)(trap_stacks[cpu] + IST_STACK_SIZE);
    tss->io_map = sizeof(*tss);
    descriptor[0] = (sizeof(*tss) - 1) | (base & 0xFFFFFF) << 16 | 0x89ull << 40 | (base >> 24 & 0xFF) << 56;
    descriptor[1] = base >> 32;
    __asm__ volatile("lgdt %0" : : "m"(boot_gdt_pointer));
    __asm__ volatile("ltr %w0" : : "r"((GDT_FIRST_TSS + cpu * 2) * 8));
    __asm__ volatile("lidt %0" : : "m"(idt));
}

void trap_fatal(const struct trap_frame *frame);

void trap_fatal(const struct trap_frame *frame)
{
    uint64_t cr2;

    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    console_break_lock();
    console_printf("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", frame->rax, frame->rbx, frame->rcx, frame->rdx);
    console_printf("rsi %016lx rdi %016lx rbp %016lx rsp %016lx\n", frame->rsi, frame->rdi, frame->rbp, frame->rsp);
    console_printf("r8  %016lx r9  %016lx r10 %016lx r11 %016lx\n", frame->r8, frame->r9, frame->r10, frame->r11);
    console_printf("r12 %016lx r13 %016lx r14 %016lx r15 %016lx\n", frame->r12, frame->r13, frame->r14, frame->r15);
    panic("exception %lu, error %lx, at %lx, address %lx, vCPU %u", frame->vector, frame->error, frame->rip, cr2,
          cpu_id());
}
