/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC by memory-mapped registers (xAPIC; Intel SDM volume 3, chapter 11). */
#include "lapic.h"
#include "clock.h"
#include "cpu.h"
#include "irq.h"

#define LAPIC_BASE 0xFEE00000ull
#define LAPIC_ID 0x20
#define LAPIC_TPR 0x80
#define LAPIC_EOI 0xB0
#define LAPIC_SVR 0xF0
#define LAPIC_ICR_LOW 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_LINT1 0x360
#define LAPIC_LVT_ERROR 0x370
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE 0x3E0

#define LVT_MASKED 0x10000u
#define SVR_ENABLE 0x100u
#define ICR_INIT 0x500u
#define ICR_STARTUP 0x600u
#define ICR_ASSERT 0x4000u
#define DIVIDE_BY_16 3u

static uint64_t lapic_ticks_per_cycle;      /* 32.32 fixed point */

static uint32_t lapic_read(uint32_t reg)
{
    return *(volatile uint32_t *)(LAPIC_BASE + reg);
}

static void lapic_write(uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)(LAPIC_BASE + reg) = value;
}

uint32_t lapic_own_id(void)
{
    return lapic_read(LAPIC_ID) >> 24;
}

void lapic_init_cpu(void)
{
    lapic_write(LAPIC_TPR, 0);
    /* first: while the LAPIC is software-disabled, its LVT mask bits cannot be cleared (SDM vol. 3, 11.4.7.2) */
    lapic_write(LAPIC_SVR, SVR_ENABLE | IRQ_SPURIOUS);
    lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
    lapic_write(LAPIC_LVT_LINT1, LVT_MASKED);
    lapic_write(LAPIC_LVT_ERROR, LVT_MASKED);
    lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_16);
    lapic_write(LAPIC_LVT_TIMER, IRQ_TIMER);
}

void lapic_end_of_interrupt(void)
{
    lapic_write(LAPIC_EOI, 0);
}

static void lapic_command(uint32_t apic_id, uint32_t command)
{
    lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
    lapic_write(LAPIC_ICR_LOW, command);
}

/* No wait for delivery: current APICs accept the next command at once. */
void lapic_send_ipi(uint32_t apic_id, uint8_t vector)
{
    lapic_command(apic_id, ICR_ASSERT | vector);
}

void lapic_send_init(uint32_t apic_id)
{
    lapic_command(apic_id, ICR_INIT | ICR_ASSERT);
}

void lapic_send_startup(uint32_t apic_id, uint32_t page)
{
    lapic_command(apic_id, ICR_STARTUP | ICR_ASSERT | page);
}

/* Against the TSC, for a millisecond. All LAPICs count the same clock. */
void lapic_timer_calibrate(void)
{
    uint64_t window = clock_hz() / 1000;

    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | IRQ_TIMER);

    uint64_t start = rdtsc();

    lapic_write(LAPIC_TIMER_INITIAL, 0xFFFFFFFFu);
    while (rdtsc() - start < window)
        cpu_relax();

    uint32_t ticks = 0xFFFFFFFFu - lapic_read(LAPIC_TIMER_CURRENT);
    uint64_t cycles = rdtsc() - start;

    lapic_write(LAPIC_TIMER_INITIAL, 0);
    lapic_write(LAPIC_LVT_TIMER, IRQ_TIMER);
    lapic_ticks_per_cycle = ((uint64_t)ticks << 32) / cycles;
    if (lapic_ticks_per_cycle == 0)
        panic("lapic: the timer does not count");
}

void lapic_timer_start(uint64_t tsc_cycles)
{
    uint64_t ticks = (uint64_t)(((unsigned __int128)tsc_cycles * lapic_ticks_per_cycle) >> 32) + 1;

    lapic_write(LAPIC_TIMER_INITIAL, ticks > 0xFFFFFFFFu ? 0xFFFFFFFFu : (uint32_t)ticks);
}

void lapic_timer_stop(void)
{
    lapic_write(LAPIC_TIMER_INITIAL, 0);
}
