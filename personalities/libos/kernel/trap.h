/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRAP_H
#define TRAP_H

void trap_init(void);           /* the table, once */
void trap_init_cpu(void);       /* each vCPU */

#endif
