/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by mmap.c, fault.c and mm_fork.c. */
#pragma once
#include "mm.h"

/* A page kept while PROT_NONE: not present for the hardware, the address stays. */
#define PTE_KEPT (1ul << 9)

void vma_init(void);
struct vma *vma_new(u64 start, u64 end, u32 prot);
void vma_insert(struct mm *mm, struct vma *v);
void vma_free(struct vma *v);
struct vma *vma_copy(const struct vma *v);
void mm_unmap_pages(struct mm *mm, u64 start, u64 end);
