/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does an interrupt cost in ring 0, where nothing but a handler waits for it? Cycles:
 *   timer 0          what the LAPIC timer's interrupt takes from a loop that reads the TSC: entry, handler, EOI, IRET
 *   ipi_busy 2       from before the write to the LAPIC until the sender sees what the handler wrote, the other vCPU being awake
 *   ipi_halted 2     the same, the other vCPU being halted
 *   ipi_round 2      there and back: each handler sends the next one
 * The last three need two vCPUs; with one they are left out.
 */
#include "libos.h"
#include "irq.h"
#include "lapic.h"
#include "micro.h"

#define TIMES 9u
#define VECTOR_IPI 0x60
#define TIMER_CYCLES 20000ul
#define LONG_GAP 200ul
#define SETTLE_CYCLES 20000ul   /* for the other vCPU to be where it should be */

enum { AWAKE, HALTED, ANSWERING, LEAVING };

static volatile uint64_t micro_count __attribute__((aligned(64)));
static volatile uint64_t micro_mode __attribute__((aligned(64)));
static volatile uint64_t micro_left __attribute__((aligned(64)));
static uint32_t micro_apic[2];

static void micro_on_ipi(void)
{
    micro_count++;
    if (micro_mode == ANSWERING && cpu_id() == 1)
        lapic_send_ipi(micro_apic[0], VECTOR_IPI);
}

static void micro_on_timer(void) {}

/* Interrupts in at any instruction, unlike in libos's own code: what is interrupted here has no SSE state, and the handlers save the rest. */
static uint64_t micro_gap(void)
{
    uint64_t before, after;

    __asm__ volatile("sti");
    before = micro_now();
    while ((after = micro_now()) - before < LONG_GAP)
        before = after;
    __asm__ volatile("cli");
    return after - before;
}

static void micro_timers(uint64_t n)
{
    while (n-- > 0) {
        lapic_timer_start(TIMER_CYCLES);
        micro_gap();
    }
}

static void micro_timer(void)
{
    uint64_t samples[TIMES], plain[TIMES];

    micro_window("timer", TIMES, micro_timers);

    for (unsigned i = 0; i < TIMES; i++) {
        plain[i] = micro_now();
        plain[i] = micro_now() - plain[i];
        lapic_timer_start(TIMER_CYCLES);
        samples[i] = micro_gap();
    }
    micro_report("timer", 0, (micro_median(samples, TIMES) - micro_median(plain, TIMES)) * 100);
}

static void micro_second(void *argument)
{
    (void)argument;
    micro_apic[1] = lapic_own_id();
    while (micro_mode != LEAVING) {
        if (micro_mode == HALTED)
            __asm__ volatile("sti\n\thlt\n\tcli");
        else
            __asm__ volatile("sti\n\tnop\n\tnop\n\tcli");
    }
    micro_left = 1;
}

static void micro_settle(void)
{
    for (uint64_t start = micro_now(); micro_now() - start < SETTLE_CYCLES;)
        __asm__ volatile("sti\n\tnop\n\tnop\n\tcli");
}

static uint64_t micro_ipi(void)
{
    unsigned counts = micro_mode == ANSWERING ? 2 : 1;

    micro_settle();
    uint64_t from = micro_count, start = micro_now();
    lapic_send_ipi(micro_apic[1], VECTOR_IPI);
    while (micro_count < from + counts) {
        if (counts == 2)
            __asm__ volatile("sti\n\tnop\n\tnop\n\tcli");
    }
    return micro_now() - start;
}

static void micro_ipis(uint64_t n)
{
    while (n-- > 0)
        micro_ipi();
}

static void micro_kind(const char *name, uint64_t mode)
{
    uint64_t samples[TIMES];

    micro_mode = mode;
    micro_window(name, TIMES, micro_ipis);
    for (unsigned i = 0; i < TIMES; i++)
        samples[i] = micro_ipi() * 100;
    micro_report(name, 2, micro_median(samples, TIMES));
}

void micro_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    irq_register(VECTOR_IPI, micro_on_ipi);
    irq_register(IRQ_TIMER, micro_on_timer);
    micro_timed(true);
    micro_timer();
    if (cpu_count() < 2)
        return;
    micro_apic[0] = lapic_own_id();
    if (!event_spawn(1, micro_second, NULL))
        micro_fail("no memory");
    micro_kind("ipi_busy", AWAKE);
    micro_kind("ipi_halted", HALTED);
    micro_kind("ipi_round", ANSWERING);
    micro_mode = LEAVING;
    lapic_send_ipi(micro_apic[1], VECTOR_IPI);
    while (!micro_left)
        ;
}
