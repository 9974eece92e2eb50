/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The TSC's frequency where CPUID does not say it: against channel 2 of the PIT. */
#include "clock.h"
#include "cpu.h"

#define PIT_HZ 1193182u
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PIT_GATE 0x61
#define PIT_MEASURE_TICKS (PIT_HZ / 50)     /* 20 ms */

uint64_t clock_hz_measured(void)
{
    outb(PIT_GATE, (uint8_t)((inb(PIT_GATE) & ~2) | 1));    /* speaker off, counting on */
    outb(PIT_COMMAND, 0xB0);                                /* channel 2, both bytes, interrupt on terminal count */
    outb(PIT_CHANNEL2, PIT_MEASURE_TICKS & 0xFF);
    outb(PIT_CHANNEL2, PIT_MEASURE_TICKS >> 8);

    uint64_t start = rdtsc();

    while (!(inb(PIT_GATE) & 0x20))
        cpu_relax();
    return (rdtsc() - start) * PIT_HZ / PIT_MEASURE_TICKS;
}
