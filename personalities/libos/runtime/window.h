/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ranges of virtual addresses apart from all memory: 512 GiB each, the same on every node, empty until somebody puts pages there. */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_PAGE 4096ul
#define WINDOW_SHARED 0x200000000000ul         /* PML4 entry 64: shared memory */
#define WINDOW_STACKS 0x208000000000ul         /* PML4 entry 65: stacks of contexts, each with a page below it that is never there */
#define WINDOW_SIZE (1ul << 39)
#define WINDOW_STACK 0x10000ul

bool window_stack(uint32_t number);             /* false: no memory */

#endif
