/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EVENT_H
#define EVENT_H

#include "libos.h"

void event_init(void);
void event_loop(void) __attribute__((noreturn));

/*
 * Queues `event` on the calling vCPU unless it is queued already. The only call here that interrupt handlers may make:
 * they run at points where the loop holds nothing half-done.
 */
void event_raise(struct event *event);

#endif
