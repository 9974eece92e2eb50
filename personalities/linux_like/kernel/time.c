/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks, from the invariant TSC. Its frequency: CPUID leaf 0x15, then 0x16, then measured against PIT channel 2. */
#include "defs.h"

#define PIT_HZ 1193182ul
#define PIT_SAMPLE 11932ul /* 10 ms */
#define DEFAULT_EPOCH 1577836800ul /* 2020-01-01: no clock chip is asked, so that runs repeat */

static u64 tsc_hz, crystal_hz, tsc_base, realtime_base;
static u64 tsc_mult; /* ns = ticks * mult >> 32 */

static u64 time_measure_pit(void)
{
    outb(0x61, (u8)((inb(0x61) & ~2) | 1));
    outb(0x43, 0xb0); /* channel 2, both bytes, mode 0 */
    outb(0x42, PIT_SAMPLE & 0xff);
    outb(0x42, PIT_SAMPLE >> 8);
    u64 start = rdtsc();
    while (!(inb(0x61) & 0x20))
        ;
    return (rdtsc() - start) * PIT_HZ / PIT_SAMPLE;
}

void time_init(void)
{
    u32 r[4], max;
    cpuid(0, 0, r);
    max = r[0];
    if (max >= 0x15) {
        cpuid(0x15, 0, r);
        if (r[0] && r[1] && r[2]) {
            tsc_hz = (u64)r[2] * r[1] / r[0];
            crystal_hz = r[2];
        }
    }
    if (!tsc_hz && max >= 0x16) {
        cpuid(0x16, 0, r);
        tsc_hz = (u64)(r[0] & 0xffff) * 1000000;
    }
    if (!tsc_hz) { /* a host that is busy elsewhere makes a sample too large, never too small */
        tsc_hz = time_measure_pit();
        for (int i = 0; i < 2; i++)
            tsc_hz = MIN(tsc_hz, time_measure_pit());
    }
    tsc_mult = (1000000000ul << 32) / tsc_hz;
    tsc_base = rdtsc();
    realtime_base = cmdline_get_u64("epoch", DEFAULT_EPOCH) * 1000000000ul;
}

u64 time_tsc_hz(void) { return tsc_hz; }
u64 time_crystal_hz(void) { return crystal_hz; }
u64 time_ns(void) { return (u64)((unsigned __int128)(rdtsc() - tsc_base) * tsc_mult >> 32); }
u64 time_realtime_ns(void) { return realtime_base + time_ns(); }
