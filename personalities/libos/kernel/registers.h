/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Assembler: registers on the stack. What a call may change, for entries that come anywhere; what it must keep, for changes of stacks. */
#ifndef REGISTERS_H
#define REGISTERS_H

    .macro push_call_clobbered
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    .endm

    .macro pop_call_clobbered
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    .endm

    .macro push_call_preserved
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm

    .macro pop_call_preserved
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    .endm

#endif
