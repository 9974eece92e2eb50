/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hosted node is a Linux program, which Linux's own tools sample. */
#include "node_profile.h"

bool profile_begin_cpu(void)
{
    return false;
}

void profile_hit(unsigned cpu)
{
    (void)cpu;
}
