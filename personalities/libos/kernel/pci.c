/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration by ports 0xCF8/0xCFC, bus 0. */
#include "pci.h"
#include "cpu.h"
#include "mmu.h"

#define PCI_ADDRESS 0xCF8
#define PCI_DATA 0xCFC
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_HEADER_TYPE 0x0E
#define PCI_BAR0 0x10
#define PCI_CAPABILITIES 0x34
#define COMMAND_MEMORY 0x2
#define COMMAND_MASTER 0x4
#define COMMAND_NO_INTX 0x400
#define STATUS_CAPABILITIES 0x10

static void pci_select(const struct pci_device *device, unsigned offset)
{
    outl(PCI_ADDRESS, 0x80000000u | (uint32_t)device->slot << 11 | (uint32_t)device->function << 8 | (offset & 0xFC));
}

uint32_t pci_read32(const struct pci_device *device, unsigned offset)
{
    pci_select(device, offset);
    return inl(PCI_DATA);
}

uint16_t pci_read16(const struct pci_device *device, unsigned offset)
{
    return (uint16_t)(pci_read32(device, offset) >> (offset & 2) * 8);
}

uint8_t pci_read8(const struct pci_device *device, unsigned offset)
{
    return (uint8_t)(pci_read32(device, offset) >> (offset & 3) * 8);
}

static void pci_write32(const struct pci_device *device, unsigned offset, uint32_t value)
{
    pci_select(device, offset);
    outl(PCI_DATA, value);
}

void pci_write16(const struct pci_device *device, unsigned offset, uint16_t value)
{
    unsigned shift = (offset & 2) * 8;
    uint32_t word = pci_read32(device, offset);

    /* Status bits, in the same word as the command, are cleared by writing 1: write 0 there. */
    if ((offset & 0xFC) == PCI_COMMAND)
        word &= 0xFFFF;
    pci_write32(device, offset, (word & ~(0xFFFFu << shift)) | (uint32_t)value << shift);
}

bool pci_find(uint16_t vendor, uint16_t device, struct pci_device *found)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        unsigned functions = 1;

        for (unsigned function = 0; function < functions; function++) {
            struct pci_device at = { (uint8_t)slot, (uint8_t)function };
            uint32_t id = pci_read32(&at, 0);

            if ((id & 0xFFFF) == 0xFFFF)
                continue;
            if (id == ((uint32_t)device << 16 | vendor)) {
                *found = at;
                return true;
            }
            if (function == 0 && pci_read8(&at, PCI_HEADER_TYPE) & 0x80)
                functions = 8;
        }
    }
    return false;
}

void pci_enable(const struct pci_device *device)
{
    uint16_t command = pci_read16(device, PCI_COMMAND);

    pci_write16(device, PCI_COMMAND, command | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX);
}

unsigned pci_capability(const struct pci_device *device, uint8_t kind, unsigned after)
{
    if (!(pci_read16(device, PCI_STATUS) & STATUS_CAPABILITIES))
        return 0;

    unsigned at = pci_read8(device, after ? after + 1 : PCI_CAPABILITIES) & 0xFC;

    for (unsigned limit = 48; at && limit; limit--) {
        if (pci_read8(device, at) == kind)
            return at;
        at = pci_read8(device, at + 1) & 0xFC;
    }
    return 0;
}

uint64_t pci_map_bar(const struct pci_device *device, unsigned bar)
{
    if (bar > 5)
        panic("pci: BAR %u does not exist", bar);

    unsigned offset = PCI_BAR0 + bar * 4;
    uint32_t low = pci_read32(device, offset);
    uint64_t base = low & ~0xFull;

    if (low & 1)
        panic("pci: BAR %u of slot %u is an I/O region", bar, device->slot);
    if ((low & 6) == 4)
        base |= (uint64_t)pci_read32(device, offset + 4) << 32;
    if (base == 0)
        panic("pci: BAR %u of slot %u has no address", bar, device->slot);
    mmu_map_device(base, 0x10000);
    return base;
}
