/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting the other vCPUs (INIT, SIPI), and the interrupts vCPUs send each other. */
#include "defs.h"
#include "mm.h"
#include "task.h"

#define TRAMPOLINE_PA 0x8000ul

extern const u8 ap_trampoline[], ap_trampoline_end[];
u64 ap_boot_stack;
static struct cpu *volatile ap_booting;

void smp_ap_main(void);

static void smp_delay_us(u64 us)
{
    u64 end = rdtsc() + time_tsc_hz() / 1000000 * us;
    while (rdtsc() < end)
        cpu_pause();
}

/* What another vCPU woke for this one; or only to reschedule, on the way out (irq_handle). */
static void smp_resched_handler(void *arg) { sched_take_woken(); }
static void smp_tlb_handler(void *arg) { mm_flush_ipi(); }

void smp_send_resched(u32 cpu) { apic_send_ipi(cpus[cpu].apic_id, VEC_RESCHED); }

void smp_ap_main(void)
{
    struct cpu *c = ap_booting;
    cpu_init(c);
    c->curr = c->idle;
    cpu_set_kstack(c, (u64)task_regs(c->idle) + sizeof(struct pt_regs));
    apic_init_cpu();
    timer_init_cpu();
    __atomic_store_n(&c->online, true, __ATOMIC_SEQ_CST);
    idle_loop();
}

static void smp_boot_one(struct cpu *c)
{
    c->idle = fork_idle(c->id);
    sched_init_idle(c->id);
    ap_boot_stack = (u64)task_regs(c->idle);
    ap_booting = c;
    barrier();
    apic_send_init(c->apic_id);
    smp_delay_us(200);
    for (int i = 0; i < 2 && !c->online; i++) {
        apic_send_sipi(c->apic_id, TRAMPOLINE_PA >> PAGE_SHIFT);
        for (int w = 0; w < 1000 && !READ_ONCE(c->online); w++)
            smp_delay_us(100);
    }
    if (!c->online)
        panic("smp: vcpu with APIC id %u did not start", c->apic_id);
}

void smp_boot(void)
{
    irq_set(VEC_RESCHED, smp_resched_handler, NULL);
    irq_set(VEC_TLB, smp_tlb_handler, NULL);
    memcpy(va(TRAMPOLINE_PA), ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
    for (u32 i = 0; i < acpi.ncpus; i++) {
        if (acpi.apic_ids[i] == cpus[0].apic_id)
            continue;
        struct cpu *c = &cpus[ncpus];
        c->id = ncpus;
        c->apic_id = acpi.apic_ids[i];
        smp_boot_one(c);
        ncpus++;
    }
}
