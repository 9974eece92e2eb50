/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONSOLE_H
#define CONSOLE_H

void console_init(void);

/* From now on nobody waits for the console's lock: its holder may be what failed. */
void console_break_lock(void);

#endif
