/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of interrupts, HLT and the LAPIC: each vCPU asks, with ppoll, whether others woke it (an eventfd), sockets have something to
 * read, or its timer is due. Busy vCPUs ask every 16th round of their loop, idle ones wait in it.
 */
#include "clock.h"
#include "cpu.h"
#include "event.h"
#include "hosted.h"
#include "irq.h"
#include "lapic.h"
#include "runtime.h"

#define POLLIN 1
#define EFD_NONBLOCK 0x800
#define BUSY_ROUNDS 16u

struct wait_fd {
    int fd;
    int16_t events;
    int16_t revents;
};

struct wait_cpu {
    struct wait_fd fds[1 + HOSTED_WATCHES];     /* the first is the eventfd */
    struct event *raised[1 + HOSTED_WATCHES];
    unsigned count;
    unsigned rounds;
    uint64_t deadline;                          /* in TSC cycles; 0: none */
} cacheline_aligned;

static struct wait_cpu wait_cpus[LIBOS_MAX_CPUS];
static irq_handler wait_handlers[256];

void idle_wait(void);

void irq_register(uint8_t vector, irq_handler handler)
{
    wait_handlers[vector] = handler;
}

void hosted_wait_init(unsigned cpu)
{
    struct wait_cpu *own = &wait_cpus[cpu];
    long fd = rt_syscall(RT_NR_EVENTFD2, 0, EFD_NONBLOCK, 0, 0, 0, 0);

    if (fd < 0) {
        rt_print(2, "libos: this system has no eventfd\n");
        rt_exit(2);
    }
    own->fds[0] = (struct wait_fd){ (int)fd, POLLIN, 0 };
    own->count = 1;
}

void hosted_watch(int fd, struct event *event)
{
    struct wait_cpu *own = &wait_cpus[cpu_id()];

    unsigned free = 1;

    while (free < own->count && own->raised[free])
        free++;
    if (free > HOSTED_WATCHES)
        panic("libos: vCPU %u watches too many descriptors", cpu_id());
    own->count += free == own->count;
    own->raised[free] = event;
    own->fds[free] = (struct wait_fd){ fd, POLLIN, 0 };
}

void hosted_unwatch(struct event *event)
{
    struct wait_cpu *own = &wait_cpus[cpu_id()];

    for (unsigned i = 1; i < own->count; i++)
        if (own->raised[i] == event) {
            own->raised[i] = NULL;
            own->fds[i].fd = -1;        /* which ppoll passes over */
        }
}

void lapic_send_ipi(uint32_t apic_id, uint8_t vector)
{
    uint64_t one = 1;

    if (vector == IRQ_WAKEUP)
        rt_syscall(RT_NR_WRITE, wait_cpus[apic_id].fds[0].fd, (long)&one, sizeof(one), 0, 0, 0);
}

void lapic_timer_start(uint64_t tsc_cycles)
{
    wait_cpus[cpu_id()].deadline = rdtsc() + tsc_cycles;
}

void lapic_timer_stop(void)
{
    wait_cpus[cpu_id()].deadline = 0;
}

static uint64_t wait_ns(uint64_t cycles)
{
    return cycles / clock_hz() * 1000000000u + cycles % clock_hz() * 1000000000u / clock_hz() + 1;
}

static void wait_ask(struct wait_cpu *own, bool sleep)
{
    struct rt_timespec wait = { 0, 0 };
    uint64_t now = rdtsc();

    if (sleep && own->deadline > now) {
        uint64_t ns = wait_ns(own->deadline - now);

        wait = (struct rt_timespec){ (int64_t)(ns / 1000000000u), (int64_t)(ns % 1000000000u) };
    }

    bool for_ever = sleep && own->deadline == 0;
    long ready = rt_syscall(RT_NR_PPOLL, (long)own->fds, own->count, for_ever ? 0 : (long)&wait, 0, 0, 0);

    if (ready > 0 && own->fds[0].revents) {
        uint64_t times;

        rt_syscall(RT_NR_READ, own->fds[0].fd, (long)&times, sizeof(times), 0, 0, 0);
        wait_handlers[IRQ_WAKEUP]();
    }
    for (unsigned i = 1; ready > 0 && i < own->count; i++)
        if (own->fds[i].revents && own->raised[i])
            event_raise(own->raised[i]);
    if (own->deadline && rdtsc() >= own->deadline) {
        own->deadline = 0;
        wait_handlers[IRQ_TIMER]();
    }
}

void irq_window(void)
{
    struct wait_cpu *own = &wait_cpus[cpu_id()];

    if (++own->rounds % BUSY_ROUNDS == 0)
        wait_ask(own, false);
}

void idle_wait(void)
{
    wait_ask(&wait_cpus[cpu_id()], true);
}
