/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio_pci.h"

#define VIRTIO_VENDOR 0x1AF4
#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_DEVICE 4

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8

/* Offsets in the common configuration structure. */
#define COMMON_DEVICE_FEATURE_SELECT 0x00
#define COMMON_DEVICE_FEATURE 0x04
#define COMMON_DRIVER_FEATURE_SELECT 0x08
#define COMMON_DRIVER_FEATURE 0x0C
#define COMMON_CONFIG_VECTOR 0x10
#define COMMON_STATUS 0x14
#define COMMON_QUEUE_SELECT 0x16
#define COMMON_QUEUE_SIZE 0x18
#define COMMON_QUEUE_VECTOR 0x1A
#define COMMON_QUEUE_ENABLE 0x1C
#define COMMON_QUEUE_NOTIFY_OFF 0x1E
#define COMMON_QUEUE_DESC 0x20
#define COMMON_QUEUE_DRIVER 0x28
#define COMMON_QUEUE_DEVICE 0x30

#define MSIX_ENABLE 0x8000
#define MSIX_FUNCTION_MASK 0x4000
#define MSI_ADDRESS 0xFEE00000u

static uint8_t virtio_pci_read8(struct virtio_pci *device, unsigned offset)
{
    return *(volatile uint8_t *)(device->common + offset);
}

static uint16_t virtio_pci_read16(struct virtio_pci *device, unsigned offset)
{
    return *(volatile uint16_t *)(device->common + offset);
}

static uint32_t virtio_pci_read32(struct virtio_pci *device, unsigned offset)
{
    return *(volatile uint32_t *)(device->common + offset);
}

static void virtio_pci_write8(struct virtio_pci *device, unsigned offset, uint8_t value)
{
    *(volatile uint8_t *)(device->common + offset) = value;
}

static void virtio_pci_write16(struct virtio_pci *device, unsigned offset, uint16_t value)
{
    *(volatile uint16_t *)(device->common + offset) = value;
}

static void virtio_pci_write32(struct virtio_pci *device, unsigned offset, uint32_t value)
{
    *(volatile uint32_t *)(device->common + offset) = value;
}

static void virtio_pci_write64(struct virtio_pci *device, unsigned offset, uint64_t value)
{
    virtio_pci_write32(device, offset, (uint32_t)value);
    virtio_pci_write32(device, offset + 4, (uint32_t)(value >> 32));
}

static void virtio_pci_find_structures(struct virtio_pci *device)
{
    unsigned at = 0;

    /* Capability: kind 0x09, next, length, type, BAR; offset at 8, length at 12, notify multiplier at 16. */
    while ((at = pci_capability(&device->pci, PCI_CAP_VENDOR, at)) != 0) {
        uint8_t type = pci_read8(&device->pci, at + 3);
        uint64_t *where = type == CAP_COMMON ? &device->common
                        : type == CAP_NOTIFY ? &device->notify
                        : type == CAP_DEVICE ? &device->config : NULL;

        if (where == NULL || *where != 0)
            continue;
        *where = pci_map_bar(&device->pci, pci_read8(&device->pci, at + 4)) + pci_read32(&device->pci, at + 8);
        if (type == CAP_NOTIFY)
            device->notify_multiplier = pci_read32(&device->pci, at + 16);
    }
    if (!device->common || !device->notify || !device->config)
        panic("virtio: the device lacks a modern configuration structure");
}

static void virtio_pci_find_msix(struct virtio_pci *device)
{
    unsigned at = pci_capability(&device->pci, PCI_CAP_MSIX, 0);

    if (at == 0)
        panic("virtio: the device has no MSI-X");

    uint32_t table = pci_read32(&device->pci, at + 4);

    device->msix_capability = at;
    device->msix_count = (pci_read16(&device->pci, at + 2) & 0x7FFu) + 1;
    device->msix_table = pci_map_bar(&device->pci, table & 7) + (table & ~7u);
    pci_write16(&device->pci, at + 2, MSIX_ENABLE | MSIX_FUNCTION_MASK);
}

static void virtio_pci_negotiate(struct virtio_pci *device, uint64_t wanted)
{
    for (uint32_t half = 0; half < 2; half++) {
        virtio_pci_write32(device, COMMON_DEVICE_FEATURE_SELECT, half);

        uint32_t offered = virtio_pci_read32(device, COMMON_DEVICE_FEATURE);
        uint32_t agreed = offered & (uint32_t)(wanted >> half * 32);

        virtio_pci_write32(device, COMMON_DRIVER_FEATURE_SELECT, half);
        virtio_pci_write32(device, COMMON_DRIVER_FEATURE, agreed);
        device->features |= (uint64_t)agreed << half * 32;
    }
    virtio_pci_write8(device, COMMON_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
    if (!(virtio_pci_read8(device, COMMON_STATUS) & STATUS_FEATURES_OK))
        panic("virtio: the device refuses features %lx", device->features);
}

bool virtio_pci_open(struct virtio_pci *device, uint16_t pci_id, uint64_t wanted)
{
    if (!pci_find(VIRTIO_VENDOR, pci_id, &device->pci))
        return false;
    pci_enable(&device->pci);
    virtio_pci_find_structures(device);
    virtio_pci_find_msix(device);
    virtio_pci_write8(device, COMMON_STATUS, 0);
    while (virtio_pci_read8(device, COMMON_STATUS) != 0)
        cpu_relax();
    virtio_pci_write8(device, COMMON_STATUS, STATUS_ACKNOWLEDGE);
    virtio_pci_write8(device, COMMON_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    virtio_pci_negotiate(device, wanted);
    virtio_pci_write16(device, COMMON_CONFIG_VECTOR, VIRTIO_NO_VECTOR);
    return true;
}

void virtio_pci_msix(struct virtio_pci *device, unsigned entry, uint32_t apic_id, uint8_t vector)
{
    volatile uint32_t *slot = (volatile uint32_t *)(device->msix_table + entry * 16);

    if (entry >= device->msix_count)
        panic("virtio: MSI-X entry %u of %u", entry, device->msix_count);
    slot[0] = MSI_ADDRESS | apic_id << 12;
    slot[1] = 0;
    slot[2] = vector;
    slot[3] = 0;                /* not masked */
}

void virtio_pci_queue(struct virtio_pci *device, struct virtqueue *queue, uint16_t number, uint16_t msix_entry)
{
    virtio_pci_write16(device, COMMON_QUEUE_SELECT, number);

    uint16_t size = virtio_pci_read16(device, COMMON_QUEUE_SIZE);

    if (!virtqueue_alloc(queue, number, size, virtio_pci_has(device, 29)))
        panic("virtio: queue %u has size %u", number, size);
    virtio_pci_write16(device, COMMON_QUEUE_SIZE, queue->size);
    virtio_pci_write16(device, COMMON_QUEUE_VECTOR, msix_entry);
    if (virtio_pci_read16(device, COMMON_QUEUE_VECTOR) != msix_entry)
        panic("virtio: queue %u gets no MSI-X vector", number);
    virtio_pci_write64(device, COMMON_QUEUE_DESC, (uint64_t)queue->desc);
    virtio_pci_write64(device, COMMON_QUEUE_DRIVER, (uint64_t)queue->avail);
    virtio_pci_write64(device, COMMON_QUEUE_DEVICE, (uint64_t)queue->used);
    queue->doorbell = (volatile uint16_t *)(device->notify +
                      (uint64_t)virtio_pci_read16(device, COMMON_QUEUE_NOTIFY_OFF) * device->notify_multiplier);
    virtio_pci_write16(device, COMMON_QUEUE_ENABLE, 1);
}

void virtio_pci_ready(struct virtio_pci *device)
{
    pci_write16(&device->pci, device->msix_capability + 2, MSIX_ENABLE);
    virtio_pci_write8(device, COMMON_STATUS,
                      STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}
