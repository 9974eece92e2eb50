/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NMI that a sample is taken by, on a stack of its own: it may come anywhere, also in a page fault. */
#include "registers.h"

    .text
    .globl profile_entry
    .type profile_entry, @function
profile_entry:
    push_call_clobbered
    movq 72(%rsp), %rdi             /* RIP; 5 words by the processor and 9 here: aligned */
    cld
    call profile_sample
    pop_call_clobbered
    iretq
    .size profile_entry, . - profile_entry

    .section .note.GNU-stack, "", @progbits
