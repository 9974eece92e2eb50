/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SMP_H
#define SMP_H

void smp_init_first(void);
void smp_start_others(void);

#endif
