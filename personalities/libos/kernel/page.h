/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole chunks of physical memory: what the per-vCPU allocators are made of. */
#ifndef PAGE_H
#define PAGE_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_CHUNK 0x10000ull   /* 64 KiB, and aligned to it */

void page_init(void);
void *page_alloc(size_t chunks);        /* contiguous, not zeroed; NULL when there are none */
void *page_alloc_top(size_t chunks);    /* the same, from the top of memory: away from what is often used */
void page_free(void *memory);           /* a whole earlier allocation */
size_t page_free_chunks(void);

#endif
