/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program comes as the first boot module. libos knows of none, so this looks first (the linker puts it in front of
 * boot_main) and adds the module's memory to the map as taken.
 */
#include "compat.h"

#define MAP_ENTRIES 64u

/* Xen's public/arch-x86/hvm/start_info.h, as in boot.c. */
struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp, memmap;
    uint32_t memmap_count, reserved;
};

struct module_entry {
    uint64_t start, bytes, cmdline, reserved;
};

struct memmap_entry {
    uint64_t start, bytes;
    uint32_t type, reserved;
};

static struct start_info boot_module_info;
static struct memmap_entry boot_module_map[MAP_ENTRIES];
static struct module_entry boot_module;

void __real_boot_main(const struct start_info *info);
void __wrap_boot_main(const struct start_info *info);

void __wrap_boot_main(const struct start_info *info)
{
    uint32_t count = info->memmap_count < MAP_ENTRIES - 1 ? info->memmap_count : MAP_ENTRIES - 1;

    boot_module_info = *info;
    if (info->version >= 1 && info->memmap && info->module_count && info->modules) {
        boot_module = *(const struct module_entry *)info->modules;
        memcpy(boot_module_map, (const void *)info->memmap, count * sizeof(boot_module_map[0]));
        /* RAM still, for the page tables' sake; and taken, for the allocator's. */
        boot_module_map[count++] = (struct memmap_entry){ boot_module.start, boot_module.bytes, 2, 0 };
        boot_module_info.memmap = (uint64_t)boot_module_map;
        boot_module_info.memmap_count = count;
    }
    __real_boot_main(&boot_module_info);
}

bool boot_module_get(struct program *program)
{
    program->file = (const uint8_t *)boot_module.start;
    program->bytes = boot_module.bytes;
    return boot_module.start != 0;
}
