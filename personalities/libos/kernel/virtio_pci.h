/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The modern PCI transport of virtio (virtio 1.2, section 4.1). */
#ifndef VIRTIO_PCI_H
#define VIRTIO_PCI_H

#include "pci.h"
#include "virtqueue.h"

#define VIRTIO_NO_VECTOR 0xFFFFu

struct virtio_pci {
    struct pci_device pci;
    uint64_t common;            /* addresses of the device's structures */
    uint64_t notify;
    uint64_t config;
    uint32_t notify_multiplier;
    uint64_t msix_table;
    unsigned msix_count;
    unsigned msix_capability;
    uint64_t features;          /* negotiated */
};

/* Finds the device, resets it, and agrees on `wanted` features as far as offered. False: no such device. */
bool virtio_pci_open(struct virtio_pci *device, uint16_t pci_id, uint64_t wanted);
void virtio_pci_msix(struct virtio_pci *device, unsigned entry, uint32_t apic_id, uint8_t vector);
void virtio_pci_queue(struct virtio_pci *device, struct virtqueue *queue, uint16_t number, uint16_t msix_entry);
void virtio_pci_ready(struct virtio_pci *device);

static inline bool virtio_pci_has(const struct virtio_pci *device, unsigned feature)
{
    return device->features >> feature & 1;
}

#endif
