/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EBB_H
#define EBB_H

#include "cpu.h"

void ebb_init(void);

/* Representatives are made when no allocator may exist yet: zeroed, cache-line aligned, never freed. */
void *ebb_rep_memory(size_t size);

#endif
