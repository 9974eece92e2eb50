/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SMP_H
#define SMP_H

void smp_init_first(void);

/* Stacks of all vCPUs, with a guard page below each. The first vCPU moves to its own with boot_switch_stack. */
void smp_make_stacks(void);
void *smp_stack_top(unsigned cpu);

void smp_start_others(void);

#endif
