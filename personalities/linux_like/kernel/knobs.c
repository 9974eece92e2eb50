/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be taken from this kernel, or added, from the command line: its way of modifying an existing OS (README, "Knobs"). */
#include "defs.h"

struct knobs knobs;

void knobs_read(void)
{
    knobs.ring0 = cmdline_get_u64("ring", 3) == 0;
    knobs.polling = cmdline_get_u64("poll", 0) != 0;
    knobs.init_on_alloc = cmdline_get_u64("init_on_alloc", 1) != 0;
    knobs.pool_buffers = (u32)MIN(cmdline_get_u64("pool", 0), (u64)POOL_MAX);
}
