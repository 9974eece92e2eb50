/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts: vector -> handler. */
#include "irq.h"
#include "cpu.h"
#include "lapic.h"

#define PIC_MASTER_MASK 0x21
#define PIC_SLAVE_MASK 0xA1

static irq_handler irq_handlers[256];

/* The 8259s, before the LAPIC stops listening to them: the firmware may have left its timer running. */
void irq_init(void)
{
    outb(PIC_MASTER_MASK, 0xFF);
    outb(PIC_SLAVE_MASK, 0xFF);
}

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
