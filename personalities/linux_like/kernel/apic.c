/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APIC (xAPIC, MMIO) and I/O APIC. Intel SDM volume 3, chapter 10; 82093AA data sheet. */
#include "defs.h"
#include "mm.h"

#define LAPIC_ID 0x20
#define LAPIC_TPR 0x80
#define LAPIC_EOI 0xb0
#define LAPIC_SVR 0xf0
#define LAPIC_ICR_LO 0x300
#define LAPIC_ICR_HI 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_LINT1 0x360
#define LAPIC_LVT_ERROR 0x370
#define LAPIC_TIMER_INIT 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE 0x3e0
#define ICR_PENDING 0x1000u
#define ICR_ASSERT 0x4000u
#define ICR_INIT 0x500u
#define ICR_STARTUP 0x600u
#define LVT_MASKED 0x10000u
#define SVR_ENABLE 0x100u
#define DIVIDE_BY_16 3u /* APIC_TIMER_DIVISOR */

static volatile u8 *lapic;
static volatile u32 *ioapic;

static u32 lapic_read(u32 reg) { return mmio_read32(lapic + reg); }
static void lapic_write(u32 reg, u32 v) { mmio_write32(lapic + reg, v); }

void apic_init(void)
{
    outb(0x21, 0xff); /* the old PICs stay masked */
    outb(0xa1, 0xff);
    lapic = mm_map_device(acpi.lapic_pa, PAGE_SIZE);
    if (acpi.ioapic_pa)
        ioapic = mm_map_device(acpi.ioapic_pa, PAGE_SIZE);
}

void apic_init_cpu(void)
{
    lapic_write(LAPIC_TPR, 0);
    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
    lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
    lapic_write(LAPIC_LVT_LINT1, LVT_MASKED);
    lapic_write(LAPIC_LVT_ERROR, LVT_MASKED);
    lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_16);
    lapic_write(LAPIC_SVR, SVR_ENABLE | VEC_SPURIOUS);
    lapic_write(LAPIC_LVT_TIMER, VEC_TIMER); /* one-shot */
}

u32 apic_id(void) { return lapic_read(LAPIC_ID) >> 24; }
void apic_eoi(void) { lapic_write(LAPIC_EOI, 0); }
void apic_timer_arm(u32 count) { lapic_write(LAPIC_TIMER_INIT, count); }
u32 apic_timer_count(void) { return lapic_read(LAPIC_TIMER_CURRENT); }

static void apic_send(u32 id, u32 command)
{
    u64 f = irq_save();
    while (lapic_read(LAPIC_ICR_LO) & ICR_PENDING)
        cpu_pause();
    lapic_write(LAPIC_ICR_HI, id << 24);
    lapic_write(LAPIC_ICR_LO, command);
    irq_restore(f);
}

void apic_send_ipi(u32 id, u8 vector) { apic_send(id, ICR_ASSERT | vector); }
void apic_send_init(u32 id) { apic_send(id, ICR_ASSERT | ICR_INIT); }
void apic_send_sipi(u32 id, u8 page) { apic_send(id, ICR_ASSERT | ICR_STARTUP | page); }

static void ioapic_write(u32 reg, u32 v)
{
    mmio_write32(&ioapic[0], reg);
    mmio_write32(&ioapic[4], v);
}

void ioapic_route_isa(u32 irq, u8 vector, u32 id)
{
    if (!ioapic)
        return;
    u32 pin = acpi.isa_gsi[irq] - acpi.ioapic_gsi_base, lo = vector;
    if ((acpi.isa_flags[irq] & 3) == 3)
        lo |= 1u << 13; /* active low */
    if ((acpi.isa_flags[irq] >> 2 & 3) == 3)
        lo |= 1u << 15; /* level */
    ioapic_write(0x11 + 2 * pin, id << 24);
    ioapic_write(0x10 + 2 * pin, lo);
}
