/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts the other vCPUs by INIT and start-up IPIs, one after the other, and numbers them: vCPU 0 is the first. */
#include "smp.h"
#include "acpi.h"
#include "clock.h"
#include "ebb.h"
#include "event.h"
#include "lapic.h"
#include "mmu.h"
#include "page.h"
#include "trap.h"

#define SMP_TRAMPOLINE 0x8000ull
#define SMP_STACK PAGE_CHUNK

extern uint8_t boot_trampoline[], boot_trampoline_end[];

struct cpu *cpu_table[LIBOS_MAX_CPUS];
static unsigned smp_online;
static uint8_t *smp_stacks;

/* Handed to the vCPU that is being started (boot.S). */
void *smp_ap_stack;
struct cpu *smp_ap_cpu;

void smp_ap_main(struct cpu *cpu) __attribute__((noreturn));

unsigned cpu_id(void)
{
    return this_cpu()->id;
}

unsigned cpu_count(void)
{
    return smp_online;
}

static struct cpu *smp_new_cpu(uint32_t apic_id)
{
    struct cpu *cpu = ebb_rep_memory(sizeof(*cpu));

    cpu->self = cpu;
    cpu->id = smp_online;
    cpu->apic_id = apic_id;
    cpu_table[cpu->id] = cpu;
    return cpu;
}

void smp_init_first(void)
{
    struct cpu *cpu = smp_new_cpu(lapic_own_id());

    wrmsr(MSR_GS_BASE, (uint64_t)cpu);
    smp_online = 1;
}

void smp_make_stacks(void)
{
    smp_stacks = page_alloc_top(acpi_cpu_count * SMP_STACK / PAGE_CHUNK);
    if (smp_stacks == NULL)
        panic("smp: no memory for %u stacks", acpi_cpu_count);
    for (unsigned cpu = 0; cpu < acpi_cpu_count; cpu++)
        mmu_guard_page((uint64_t)smp_stacks + cpu * SMP_STACK);
}

void *smp_stack_top(unsigned cpu)
{
    return smp_stacks + (cpu + 1) * SMP_STACK;
}

void smp_ap_main(struct cpu *cpu)
{
    wrmsr(MSR_GS_BASE, (uint64_t)cpu);
    trap_init_cpu();
    lapic_init_cpu();
    /* Others may send events as soon as this vCPU counts. */
    ebb_rep(EBB_EVENT);
    __atomic_store_n(&smp_online, cpu->id + 1, __ATOMIC_RELEASE);
    event_loop();
}

static void smp_start(uint32_t apic_id)
{
    unsigned before = smp_online;

    smp_ap_cpu = smp_new_cpu(apic_id);
    smp_ap_stack = smp_stack_top(before);
    /* INIT, 10 ms, start-up, 200 us, start-up again for old processors (Intel SDM volume 3, section 9.4.4). */
    lapic_send_init(apic_id);
    clock_delay_us(10000);
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        lapic_send_startup(apic_id, SMP_TRAMPOLINE >> 12);
        for (unsigned wait = 0; wait < (attempt ? 5000u : 1u); wait++) {
            clock_delay_us(200);
            if (__atomic_load_n(&smp_online, __ATOMIC_ACQUIRE) != before)
                return;
        }
    }
    panic("smp: the vCPU with APIC id %u does not start", apic_id);
}

void smp_start_others(void)
{
    memcpy((void *)SMP_TRAMPOLINE, boot_trampoline, (size_t)(boot_trampoline_end - boot_trampoline));
    for (unsigned i = 0; i < acpi_cpu_count; i++)
        if (acpi_cpu_apic_ids[i] != this_cpu()->apic_id)
            smp_start(acpi_cpu_apic_ids[i]);
}
