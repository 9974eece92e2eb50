/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults in the windows: what touched a page that is not there goes on in fault_handle, on its own stack, and touches it again after that. */
#ifndef FAULT_H
#define FAULT_H

#include <stdint.h>

enum { FAULT_READ, FAULT_WRITE };

struct fault_frame {
    uint64_t address, kind, flags, ip;
};

void fault_begin(void);         /* on each vCPU, before its first context */
void fault_resume(void);        /* context_switch.S */
void fault_handle(uint64_t address, uint64_t kind);     /* outside the shared window it ends the run */

typedef void (*fault_fn)(uint64_t address, uint64_t kind);
extern fault_fn fault_shared;   /* for the shared window */

#endif
