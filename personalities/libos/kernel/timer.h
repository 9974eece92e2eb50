/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TIMER_H
#define TIMER_H

void timer_init(void);
void timer_run(void);   /* runs what is due on this vCPU */
void timer_arm(void);   /* before sleeping: sets the LAPIC timer to the next deadline, or stops it */

#endif
