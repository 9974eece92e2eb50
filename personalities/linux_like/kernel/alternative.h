/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that are there only where a feature is (alternative.c takes the others out while booting), for assembly:
 *
 *     ALTERNATIVE(ALT_PTI, mov %cr3, %rdi; or $PTI_USER, %rdi; mov %rdi, %cr3)
 */
#pragma once

#define ALT_PTI 0        /* programs run on tables without the kernel's data */
#define ALT_SMAP 1       /* the kernel may touch user pages only between STAC and CLAC */
#define ALT_SPECTRE 2    /* speculation is kept from what programs could steer it by */
#define NR_ALTERNATIVES 3

#define PTI_USER 0x1000  /* the bit of CR3 that tells a process's user tables from its kernel tables, which lie side by side */

#ifdef __ASSEMBLER__
    /* One site: its address, its length, its feature; a replacement, or NOPs. */
    .macro ALT_SITE feature, from, to, other=0, other_end=0
    .pushsection .altinstr, "a"
    .balign 8
    .quad \from, \to - \from, \feature, \other, \other_end - \other
    .popsection
    .endm
#define ALTERNATIVE(feature, ...) 661: __VA_ARGS__; 662: ALT_SITE feature, 661b, 662b
#endif
