/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLOCK_H
#define CLOCK_H

#include "libos.h"

void clock_init(void);
uint64_t clock_hz_measured(void);       /* takes 20 ms */
uint64_t clock_from_ns(uint64_t ns);    /* to TSC cycles */
void clock_delay_us(uint64_t us);       /* busy: for booting only */

#endif
