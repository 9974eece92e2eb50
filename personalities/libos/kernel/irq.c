/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts: vector -> handler. */
#include "irq.h"
#include "cpu.h"
#include "lapic.h"

static irq_handler irq_handlers[256];

void irq_register(uint8_t vector, irq_handler handler)
{
    irq_handlers[vector] = handler;
}

void irq_dispatch(uint8_t vector);

void irq_dispatch(uint8_t vector)
{
    if (vector == IRQ_SPURIOUS)
        return;                 /* nothing to acknowledge */
    if (irq_handlers[vector] == NULL)
        panic("irq: vector %x has no handler", vector);
    this_cpu()->interrupts++;
    lapic_end_of_interrupt();
    irq_handlers[vector]();
}
