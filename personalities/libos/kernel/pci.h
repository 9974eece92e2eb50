/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PCI_H
#define PCI_H

#include "libos.h"

#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_MSIX 0x11

struct pci_device {
    uint8_t slot;
    uint8_t function;
};

/* Looks for vendor:device on bus 0. */
bool pci_find(uint16_t vendor, uint16_t device, struct pci_device *found);
uint32_t pci_read32(const struct pci_device *device, unsigned offset);
uint16_t pci_read16(const struct pci_device *device, unsigned offset);
uint8_t pci_read8(const struct pci_device *device, unsigned offset);
void pci_write16(const struct pci_device *device, unsigned offset, uint16_t value);
void pci_enable(const struct pci_device *device);       /* memory space, bus mastering; no INTx */

/* Offset of the next capability of that kind behind `after` (0: from the start); 0 when there is none. */
unsigned pci_capability(const struct pci_device *device, uint8_t kind, unsigned after);

/* Maps memory BAR `bar` and returns where it is. */
uint64_t pci_map_bar(const struct pci_device *device, unsigned bar);

#endif
