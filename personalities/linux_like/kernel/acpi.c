/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processors and interrupt routing from the ACPI MADT (ACPI specification, 5.2.5 to 5.2.12). */
#include "defs.h"
#include "mm.h"

struct rsdp { char sig[8]; u8 sum; char oem[6]; u8 revision; u32 rsdt; u32 length; u64 xsdt; } __attribute__((packed));
struct sdt { char sig[4]; u32 length; u8 rest[28]; } __attribute__((packed));
struct madt { struct sdt h; u32 lapic; u32 flags; u8 entries[]; } __attribute__((packed));

struct acpi_info acpi;

static const struct rsdp *acpi_find_rsdp(u64 hint)
{
    if (hint)
        return va(hint);
    for (u64 p = 0xe0000; p < 0x100000; p += 16)
        if (!memcmp(va(p), "RSD PTR ", 8))
            return va(p);
    panic("acpi: no RSDP");
}

static void acpi_parse_madt(const struct madt *m)
{
    acpi.lapic_pa = m->lapic;
    const u8 *e = m->entries, *end = (const u8 *)m + m->h.length;
    for (; e + 2 <= end && e[1] >= 2; e += e[1]) {
        if (e[0] == 0 && (*(const u32 *)(e + 4) & 1)) { /* enabled local APIC */
            if (acpi.ncpus < MAX_CPUS)
                acpi.apic_ids[acpi.ncpus++] = e[3];
        } else if (e[0] == 1 && !acpi.ioapic_pa) {
            acpi.ioapic_pa = *(const u32 *)(e + 4);
            acpi.ioapic_gsi_base = *(const u32 *)(e + 8);
        } else if (e[0] == 2 && e[3] < 16) { /* interrupt source override */
            acpi.isa_gsi[e[3]] = *(const u32 *)(e + 4);
            acpi.isa_flags[e[3]] = *(const u16 *)(e + 8);
        }
    }
}

void acpi_init(u64 hint)
{
    const struct rsdp *r = acpi_find_rsdp(hint);
    bool wide = r->revision >= 2 && r->xsdt;
    const struct sdt *root = va(wide ? r->xsdt : r->rsdt);
    u32 n = (root->length - sizeof *root - 0) / (wide ? 8 : 4);
    const u8 *list = (const u8 *)root + 36;
    for (u32 i = 0; i < 16; i++)
        acpi.isa_gsi[i] = i;
    for (u32 i = 0; i < n; i++) {
        u64 addr = wide ? *(const u64 *)(list + 8 * i) : *(const u32 *)(list + 4 * i);
        const struct sdt *t = va(addr);
        if (!memcmp(t->sig, "APIC", 4))
            acpi_parse_madt((const void *)t);
    }
    if (!acpi.ncpus)
        panic("acpi: the MADT names no processor");
}
