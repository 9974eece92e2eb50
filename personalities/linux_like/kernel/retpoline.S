/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Indirect calls and jumps, which the compiler sends here: the target is returned to, and the return was foretold to lead into a trap, so nothing
 * a program trained is followed (Turner, "Retpoline: a software construct for preventing branch-target-injection").
 */
#include "alternative.h"

    .macro THUNK reg
    .balign 32
    .globl __x86_indirect_thunk_\reg
    .type __x86_indirect_thunk_\reg, @function
__x86_indirect_thunk_\reg:
661:
    call 2f
1:  pause
    lfence
    jmp 1b
2:  mov %\reg, (%rsp)
    ret
662:
    .pushsection .rodata
663:
    jmp *%\reg
664:
    .popsection
    ALT_SITE ALT_SPECTRE, 661b, 662b, 663b, 664b
    .size __x86_indirect_thunk_\reg, . - __x86_indirect_thunk_\reg
    .endm

    .text
    .irp reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    THUNK \reg
    .endr
