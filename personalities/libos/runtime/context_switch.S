/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changing stacks, and going on after a fault on the stack of whoever faulted. The same natively and hosted. */
#include "registers.h"

    .text

/* void context_switch(void **from, void *to): at a call, so what a callee must keep is all there is to keep. */
    .globl context_switch
    .type context_switch, @function
context_switch:
    push_call_preserved
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    pop_call_preserved
    ret
    .size context_switch, . - context_switch

    .globl context_start
    .type context_start, @function
context_start:
    xorl %ebp, %ebp
    call context_main
    ud2
    .size context_start, . - context_start

/*
 * Where a fault's exception or signal returns to, with address, kind, RFLAGS and RIP on the stack (struct fault_frame). Unlike at a call,
 * everything may be in use.
 */
    .globl fault_resume
    .type fault_resume, @function
fault_resume:
    push_call_clobbered
    pushq %rbp
    movq %rsp, %rbp
    movq 80(%rbp), %rdi
    movq 88(%rbp), %rsi
    subq $512, %rsp
    andq $-64, %rsp
    fxsave64 (%rsp)
    cld
    call fault_handle
    fxrstor64 (%rsp)
    movq %rbp, %rsp
    popq %rbp
    pop_call_clobbered
    leaq 16(%rsp), %rsp
    popfq
    ret
    .size fault_resume, . - fault_resume

    .section .note.GNU-stack, "", @progbits
