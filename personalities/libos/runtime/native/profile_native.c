/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NMIs from one vCPU to another. The interrupt table is all vCPUs', the stack each one's; Intel SDM volume 3, 7.14.5 (IST), 11.6.1 (ICR). */
#include "cpu.h"
#include "node_profile.h"

#define NMI 2
#define NMI_IST 2
#define TSS_IST2 44u                    /* bytes into the task state segment */
#define STACK_BYTES 2048u
#define ICR_LOW 0xFEE00300ull
#define ICR_HIGH 0xFEE00310ull
#define ICR_ASSERT_NMI 0x4400u

struct profile_table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct profile_gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

void profile_entry(void);               /* profile_entry.S */

static uint8_t stacks[LIBOS_MAX_CPUS][STACK_BYTES] __attribute__((aligned(16)));

bool profile_begin_cpu(void)
{
    struct profile_table gdt, idt;
    uint16_t selector;
    uint64_t entry = (uint64_t)profile_entry;

    __asm__ volatile("sgdt %0" : "=m"(gdt));
    __asm__ volatile("sidt %0" : "=m"(idt));
    __asm__ volatile("str %0" : "=r"(selector));

    const uint64_t *descriptor = (const uint64_t *)(gdt.base + selector);
    uint64_t tss = (descriptor[0] >> 16 & 0xFFFFFF) | (descriptor[0] >> 56 & 0xFF) << 24 | descriptor[1] << 32;
    uint64_t top = (uint64_t)(stacks[cpu_id()] + STACK_BYTES);
    struct profile_gate *gate = (struct profile_gate *)idt.base + NMI;

    memcpy((void *)(tss + TSS_IST2), &top, sizeof(top));
    gate->ist = NMI_IST;
    gate->offset_low = (uint16_t)entry;
    gate->offset_middle = (uint16_t)(entry >> 16);
    return true;
}

void profile_hit(unsigned cpu)
{
    *(volatile uint32_t *)ICR_HIGH = cpu_table[cpu]->apic_id << 24;
    *(volatile uint32_t *)ICR_LOW = ICR_ASSERT_NMI;
}
