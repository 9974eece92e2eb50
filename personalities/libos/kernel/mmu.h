/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MMU_H
#define MMU_H

#include <stdint.h>

void mmu_init(void);

/* Makes device registers reachable at their physical address. Only while booting, before other vCPUs run. */
void mmu_map_device(uint64_t start, uint64_t size);

/* Takes the 4 KiB page out, so that touching it faults. Only while booting, before other vCPUs run. */
void mmu_guard_page(uint64_t page);

uint64_t mmu_ram_top(void);     /* end of the RAM that is mapped */

#endif
