/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Unicorn's private layout is proven on when the library opens: throwaway engines (layout.c), for the files that know a part of it. */
#ifndef CS_TRIAL_H
#define CS_TRIAL_H
#include "layout.h"
#include <stdio.h>

enum { CPU_IN_UC = 440, ENV_IN_CPU = 296, UC_SCAN = 14904 /* within its allocation */, TRIAL_RAM = 1 << 20, TRIAL_BUFFER = 8 << 20, TRIAL_MMIO = 0x200000, TRIAL_HIGH = 0x400000 };

#define REFUSE(...) do { int n_ = snprintf(why, n, "This libunicorn is not the one whose private layout is known (2.1.4, x86-64 Linux): "); \
                         snprintf(why + n_, n - (size_t)n_, __VA_ARGS__); return -1; } while (0)

struct trial {
    uc_engine *uc; void *extra /* processor */; uint8_t *ram; uc_hook hook[4];
    uint8_t before[UC_SCAN], after[UC_SCAN]; int stage;
    uint64_t io_rip; uint32_t io_pc, nio_pc; int interrupts, cpl_before, cpl_after;
};

uint32_t scan64(const void *where, uint32_t from, uint32_t to, uint64_t value);   /* offset of the only match, or 0 */
void trial_guest(struct trial *);         /* a 64-bit guest in its own page tables, at CPL 3 */
int layout_replace(const char *name, void *function);    /* libunicorn's own calls of that exported function go there: how many places, of the process's one libunicorn */

int processors_prove(struct trial *, char *why, size_t n);
#endif
