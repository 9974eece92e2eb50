/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LAPIC_H
#define LAPIC_H

#include <stdint.h>

void lapic_init_cpu(void);
uint32_t lapic_own_id(void);
void lapic_end_of_interrupt(void);
void lapic_send_ipi(uint32_t apic_id, uint8_t vector);
void lapic_send_init(uint32_t apic_id);
void lapic_send_startup(uint32_t apic_id, uint32_t page);   /* page: physical address / 4096, below 256 */
void lapic_timer_calibrate(void);
void lapic_timer_start(uint64_t tsc_cycles);                /* once, after about so many cycles (never 0) */
void lapic_timer_stop(void);

#endif
