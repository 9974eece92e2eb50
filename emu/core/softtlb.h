/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unicorn's software TLBs by CR3 (softtlb.c). */
#ifndef CS_SOFTTLB_H
#define CS_SOFTTLB_H
#include "internal.h"

struct trial;
int softtlb_prove(struct trial *, char *why, size_t n);   /* puts it in place, for all engines of the process */
void softtlb_watch(void *cpu);                            /* a new processor: its fills are seen from now on */
void softtlb_forget(void);                                /* what is put away is of no use: pages with code were marked in the TLBs in use */
void softtlb_free(struct vcpu *);                         /* all but the one in use, which is Unicorn's */
#endif
