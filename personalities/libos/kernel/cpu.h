/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vCPU's control block, and the instructions C has no words for. */
#ifndef CPU_H
#define CPU_H

#include "libos.h"

#define noinline __attribute__((noinline, noclone))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define cacheline_aligned __attribute__((aligned(64)))
#define array_size(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(pointer, type, field) ((type *)((uint8_t *)(pointer) - offsetof(type, field)))

/* The GS base of each vCPU points to its own; ebb_rep() needs the table first. */
struct cpu {
    void *ebb_table[EBB_MAX];
    struct cpu *self;
    uint32_t id;
    uint32_t apic_id;
    uint64_t interrupts;
    uint64_t lock_waits;        /* locks found held */
} cacheline_aligned;

extern struct cpu *cpu_table[LIBOS_MAX_CPUS];

static inline struct cpu *this_cpu(void)
{
    return *(struct cpu *__seg_gs *)offsetof(struct cpu, self);
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void cpuid(uint32_t leaf, uint32_t out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline void compiler_barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

/* Orders earlier stores before later loads, which x86 alone does not. */
static inline void full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#define MSR_GS_BASE 0xC0000101u

#endif
