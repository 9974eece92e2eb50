/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes vector 14 over in the kernel's interrupt table, which is all vCPUs'. An image without contexts keeps the kernel's way: the end. */
#include "context.h"
#include "cpu.h"
#include "fault.h"
#include "window.h"

#define PAGE_FAULT 14

struct fault_gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct fault_table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

void fault_entry(void);         /* fault_entry.S */
void fault_no_stack(uint64_t address, uint64_t ip) __attribute__((noreturn));

void fault_begin(void)
{
    struct fault_table table;
    uint64_t entry = (uint64_t)fault_entry;

    __asm__ volatile("sidt %0" : "=m"(table));

    struct fault_gate *gate = (struct fault_gate *)table.base + PAGE_FAULT;

    /* Until it says this, a page fault is the end whatever it says. Kernel text lies below 4 GiB. */
    __atomic_store_n(&gate->offset_low, (uint16_t)entry, __ATOMIC_RELAXED);
    __atomic_store_n(&gate->offset_middle, (uint16_t)(entry >> 16), __ATOMIC_RELEASE);
}

void fault_no_stack(uint64_t address, uint64_t ip)
{
    panic("context: the stack of %u bytes that ends at %lx is exhausted, at %lx, vCPU %u", CONTEXT_STACK,
          (address | (WINDOW_STACK - 1)) + 1, ip, cpu_id());
}
