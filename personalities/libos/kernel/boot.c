/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Brings the machine up on vCPU 0, in the order in which the parts need each other. */
#include "boot.h"
#include "acpi.h"
#include "arp.h"
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "ebb.h"
#include "event.h"
#include "iobuf.h"
#include "ip.h"
#include "irq.h"
#include "lapic.h"
#include "mem.h"
#include "mmu.h"
#include "page.h"
#include "smp.h"
#include "timer.h"
#include "trap.h"
#include "udp.h"
#include "virtio_net.h"

#define START_INFO_MAGIC 0x336ec578u
#define MEMMAP_RAM 1u

struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t cmdline;
    uint64_t rsdp;
    uint64_t memmap;
    uint32_t memmap_count;
    uint32_t reserved;
};

struct memmap_entry {
    uint64_t start;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

struct boot_info boot_info;

static void boot_copy_info(const struct start_info *info)
{
    if (info->magic != START_INFO_MAGIC)
        panic("boot: not started by the PVH protocol (magic %x)", info->magic);
    if (info->version < 1 || info->memmap == 0)
        panic("boot: the loader gave no memory map");
    boot_info.rsdp = info->rsdp;
    cmdline_init(info->cmdline ? (const char *)info->cmdline : "");

    const struct memmap_entry *map = (const struct memmap_entry *)info->memmap;

    for (uint32_t i = 0; i < info->memmap_count && boot_info.region_count < BOOT_MAX_REGIONS; i++) {
        struct boot_region *region = &boot_info.regions[boot_info.region_count++];

        region->start = map[i].start;
        region->end = map[i].start + map[i].size;
        region->ram = map[i].type == MEMMAP_RAM;
    }
}

static void boot_application(void *arg)
{
    char **words;
    int count = cmdline_app_words(&words);

    (void)arg;
    app_main(count, words);
}

void boot_main(const struct start_info *info);

/* boot.S: leaves this stack for good. */
void boot_switch_stack(void *top, void (*go_on)(void)) __attribute__((noreturn));

static void boot_devices(void)
{
    event_init();
    timer_init();
    clock_init();
    lapic_init_cpu();
    lapic_timer_calibrate();
    smp_start_others();

    ip_init();
    arp_init();
    udp_init();
    virtio_net_init();
    event_spawn(0, boot_application, NULL);
    event_loop();
}

void boot_main(const struct start_info *info)
{
    console_init();
    boot_copy_info(info);
    mmu_init();
    page_init();
    ebb_init();
    acpi_init();
    smp_init_first();
    irq_init();
    trap_init();
    trap_init_cpu();
    mem_init();
    iobuf_init();
    smp_make_stacks();
    boot_switch_stack(smp_stack_top(0), boot_devices);
}
