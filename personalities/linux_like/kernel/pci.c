/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration space by ports 0xCF8 and 0xCFC, bus by bus from 0; MSI-X. PCI local bus specification 3.0. */
#include "defs.h"
#include "mm.h"

#define PCI_COMMAND 4
#define PCI_BAR0 0x10
#define PCI_CAP_PTR 0x34
#define CAP_MSIX 0x11
#define MSIX_ENABLE 0x8000
#define MSIX_FUNCTION_MASK 0x4000
#define BAR_WINDOW 0xf0000000ul  /* for BARs the firmware left open: above RAM, below the APICs */

static u64 bar_next = BAR_WINDOW;

static u32 pci_address(const struct pci_dev *d, u32 off)
{
    return 0x80000000u | (u32)d->bus << 16 | (u32)d->dev << 11 | (u32)d->fn << 8 | (off & 0xfc);
}

u32 pci_read32(const struct pci_dev *d, u32 off) { outl(0xcf8, pci_address(d, off)); return inl(0xcfc); }
u16 pci_read16(const struct pci_dev *d, u32 off) { return (u16)(pci_read32(d, off) >> 8 * (off & 2)); }
u8 pci_read8(const struct pci_dev *d, u32 off) { return (u8)(pci_read32(d, off) >> 8 * (off & 3)); }
void pci_write32(const struct pci_dev *d, u32 off, u32 v) { outl(0xcf8, pci_address(d, off)); outl(0xcfc, v); }
void pci_write16(const struct pci_dev *d, u32 off, u16 v) { outl(0xcf8, pci_address(d, off)); outw((u16)(0xcfc + (off & 2)), v); }

bool pci_find(u16 vendor, u16 device, struct pci_dev *out)
{
    for (u32 n = 0; n < 32 * 8; n++) {
        struct pci_dev d = { .dev = (u8)(n >> 3), .fn = (u8)(n & 7) };
        u32 id = pci_read32(&d, 0);
        if (d.fn == 0 && id == 0xffffffff) {
            n |= 7; /* nobody in this slot */
            continue;
        }
        if ((id & 0xffff) == vendor && id >> 16 == device) {
            d.vendor = vendor;
            d.device = device;
            d.revision = pci_read8(&d, 8);
            *out = d;
            return true;
        }
        if (d.fn == 0 && !(pci_read8(&d, 0xe) & 0x80))
            n |= 7; /* one function only */
    }
    return false;
}

u64 pci_bar(const struct pci_dev *d, u32 n)
{
    u32 off = PCI_BAR0 + 4 * n, lo = pci_read32(d, off);
    bool wide = (lo & 6) == 4;
    u64 base = (lo & ~15u) | (wide ? (u64)pci_read32(d, off + 4) << 32 : 0);
    if (base)
        return base;
    pci_write32(d, off, 0xffffffff);
    u64 size = ~(pci_read32(d, off) & ~15u) + 1u;
    bar_next = ALIGN_UP(bar_next, MAX(size, PAGE_SIZE));
    base = bar_next;
    bar_next += size;
    pci_write32(d, off, (u32)base);
    if (wide)
        pci_write32(d, off + 4, 0);
    return base;
}

u8 pci_find_cap(const struct pci_dev *d, u8 id, u8 after)
{
    u8 at = pci_read8(d, after ? after + 1u : PCI_CAP_PTR) & 0xfc;
    for (int i = 0; at && i < 48; i++) {
        if (pci_read8(d, at) == id)
            return at;
        at = pci_read8(d, at + 1u) & 0xfc;
    }
    return 0;
}

void pci_enable(const struct pci_dev *d)
{
    pci_write16(d, PCI_COMMAND, (u16)(pci_read16(d, PCI_COMMAND) | 6 | 0x400)); /* memory, bus master, no INTx */
}

u32 pci_msix_enable(const struct pci_dev *d, volatile u32 **table)
{
    u8 cap = pci_find_cap(d, CAP_MSIX, 0);
    if (!cap)
        return 0;
    u32 ctl = pci_read16(d, cap + 2u), n = (ctl & 0x7ff) + 1, where = pci_read32(d, cap + 4u);
    *table = mm_map_device(pci_bar(d, where & 7) + (where & ~7u), n * 16);
    pci_write16(d, cap + 2u, (u16)((ctl | MSIX_ENABLE) & ~(u32)MSIX_FUNCTION_MASK));
    return n;
}

void pci_msix_set(volatile u32 *table, u32 entry, u8 vector, u32 apic_id)
{
    volatile u32 *e = table + 4 * entry;
    mmio_write32(&e[0], 0xfee00000u | apic_id << 12);
    mmio_write32(&e[1], 0);
    mmio_write32(&e[2], vector);
    mmio_write32(&e[3], 0);
}
