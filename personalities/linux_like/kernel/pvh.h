/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a PVH loader passes (Xen, public/arch-x86/hvm/start_info.h). */
#pragma once
#include "types.h"

#define HVM_START_MAGIC 0x336ec578
#define HVM_MEMMAP_RAM 1
struct hvm_start_info {
    u32 magic, version, flags, nr_modules;
    u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
    u64 memmap_paddr;       /* from version 1 */
    u32 memmap_entries, reserved;
};
struct hvm_modlist_entry { u64 paddr, size, cmdline_paddr, reserved; };
struct hvm_memmap_entry { u64 addr, size; u32 type, reserved; };
