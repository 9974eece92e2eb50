/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NMI that a sample is taken by, on a stack of its own: it may come anywhere, also in a page fault. */
    .text
    .globl profile_entry
    .type profile_entry, @function
profile_entry:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    movq 72(%rsp), %rdi             /* RIP; 5 words by the processor and 9 here: aligned */
    cld
    call profile_sample
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    iretq
    .size profile_entry, . - profile_entry

    .section .note.GNU-stack, "", @progbits
