/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The TSC as the clock. Its frequency is what CPUID says, else measured. */
#include "clock.h"
#include "cpu.h"

static uint64_t clock_frequency;
static uint64_t clock_start;
static uint64_t clock_ns_per_cycle;         /* 32.32 fixed point */

/* Leaves 0x15 (crystal and ratio) and 0x16 (base MHz); 0 when the processor does not say. */
static uint64_t clock_hz_from_cpuid(void)
{
    uint32_t r[4];

    cpuid(0, r);

    uint32_t last = r[0];

    if (last >= 0x15) {
        cpuid(0x15, r);
        if (r[0] && r[1] && r[2])
            return (uint64_t)r[2] * r[1] / r[0];
    }
    if (last >= 0x16) {
        cpuid(0x16, r);
        return (uint64_t)(r[0] & 0xFFFF) * 1000000;
    }
    return 0;
}

void clock_init(void)
{
    clock_start = rdtsc();
    clock_frequency = clock_hz_from_cpuid();
    if (clock_frequency == 0)
        clock_frequency = clock_hz_measured();
    if (clock_frequency < 1000000)
        panic("clock: a TSC of %lu Hz", clock_frequency);
    clock_ns_per_cycle = (1000000000ull << 32) / clock_frequency;
}

uint64_t clock_cycles(void)
{
    return rdtsc();
}

uint64_t clock_hz(void)
{
    return clock_frequency;
}

uint64_t clock_ns(void)
{
    return (uint64_t)(((unsigned __int128)(rdtsc() - clock_start) * clock_ns_per_cycle) >> 32);
}

uint64_t clock_from_ns(uint64_t ns)
{
    return ns / 1000000000u * clock_frequency + ns % 1000000000u * clock_frequency / 1000000000u;
}

void clock_delay_us(uint64_t us)
{
    uint64_t start = rdtsc(), cycles = us * clock_frequency / 1000000;

    while (rdtsc() - start < cycles)
        cpu_relax();
}
