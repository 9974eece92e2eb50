/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the boot protocol hands over (Xen's public/arch-x86/hvm/start_info.h), copied before its memory is reused. */
#ifndef BOOT_H
#define BOOT_H

#include <stdbool.h>
#include <stdint.h>

#define BOOT_MAX_REGIONS 64
#define BOOT_MAX_CMDLINE 1024

struct boot_region {
    uint64_t start;
    uint64_t end;
    bool ram;
};

struct boot_info {
    uint64_t rsdp;                              /* 0: not given */
    unsigned region_count;
    struct boot_region regions[BOOT_MAX_REGIONS];
};

extern struct boot_info boot_info;

void cmdline_init(const char *text);
int cmdline_app_words(char ***words);

#endif
