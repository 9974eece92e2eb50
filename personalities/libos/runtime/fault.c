/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fault.h"
#include "context.h"
#include "window.h"

fault_fn fault_shared;

void fault_handle(uint64_t address, uint64_t kind)
{
    if (fault_shared == NULL || address - WINDOW_SHARED >= WINDOW_SIZE)
        panic("fault: nothing is at %lx", address);
    if (context_current() == NULL)
        panic("fault: shared memory at %lx is not here, and an event outside a context cannot wait for it", address);
    fault_shared(address, kind);
}
