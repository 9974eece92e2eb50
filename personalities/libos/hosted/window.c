/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stacks of contexts, by mmap. Shared memory's part of the windows is dsm_rights.c's. */
#include "window.h"
#include "hosted.h"
#include "runtime.h"

#define MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE 0x4032

bool window_stack(uint32_t number)
{
    uint64_t at = WINDOW_STACKS + number * WINDOW_STACK + WINDOW_PAGE;
    long got = rt_syscall(RT_NR_MMAP, (long)at, (long)(WINDOW_STACK - WINDOW_PAGE), RT_PROT_READ_WRITE,
                          MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE, -1, 0);

    return got == (long)at;
}
