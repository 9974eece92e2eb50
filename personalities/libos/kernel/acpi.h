/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ACPI_H
#define ACPI_H

#include "libos.h"

extern unsigned acpi_cpu_count;                         /* at most LIBOS_MAX_CPUS */
extern uint32_t acpi_cpu_apic_ids[LIBOS_MAX_CPUS];      /* in the MADT's order */

void acpi_init(void);

#endif
