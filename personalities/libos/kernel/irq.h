/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IRQ_H
#define IRQ_H

#include <stdint.h>

/* One meaning per vector, the same on every vCPU. */
enum { IRQ_NIC = 0x40, IRQ_TIMER = 0x50, IRQ_WAKEUP = 0x51, IRQ_SPURIOUS = 0xFF };

typedef void (*irq_handler)(void);

void irq_init(void);

/* Handlers run on the vCPU that was interrupted, between its events, and may only set state and raise events. */
void irq_register(uint8_t vector, irq_handler handler);
void irq_window(void);          /* lets pending interrupts in */

#endif
