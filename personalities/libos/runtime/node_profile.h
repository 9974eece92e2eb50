/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NODE_PROFILE_H
#define NODE_PROFILE_H

#include "node_parts.h"

/* native/profile_native.c or hosted/profile_absent.c */
bool profile_begin_cpu(void);           /* on each vCPU, before it can be hit; false: this node takes no samples */
void profile_hit(unsigned cpu);         /* that vCPU runs profile_sample at once, wherever it is */

void profile_sample(uint64_t ip);       /* in an NMI: general registers alone */

#endif
