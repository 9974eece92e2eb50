/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entries for all 256 vectors. Interrupts are taken at two places only (irq_window, idle_wait), both of them calls, so
 * an interrupt saves what a call would not, and no SSE state.
 */
#include "registers.h"

    .text
    .balign 16
    .globl trap_entries
    .type trap_entries, @function
trap_entries:                       /* 16 bytes each */
    .set vector, 0
    .rept 256
    .balign 16
    .if vector < 32
        .if !(0x60227D00 >> vector & 1)     /* the processor pushes an error code for 8, 10 to 14, 17, 21, 29, 30 */
            pushq $0
        .endif
        pushq $vector
        jmp trap_exception
    .else
        pushq $vector - 256         /* short form */
        jmp trap_interrupt
    .endif
    .set vector, vector + 1
    .endr
    .size trap_entries, . - trap_entries

    .type trap_interrupt, @function
trap_interrupt:
    push_call_clobbered
    movzbl 72(%rsp), %edi
    subq $8, %rsp                   /* 5 words by the processor + 10 here + this one: aligned */
    cld
    call irq_dispatch
    addq $8, %rsp
    pop_call_clobbered
    addq $8, %rsp
    iretq
    .size trap_interrupt, . - trap_interrupt

    .type trap_exception, @function
trap_exception:                     /* struct trap_frame, in trap.c */
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    andq $-16, %rsp
    cld
    call trap_fatal
    ud2
    .size trap_exception, . - trap_exception

/* Lets pending interrupts in, and goes on. */
    .globl irq_window
    .type irq_window, @function
irq_window:
    sti
    nop                             /* the shadow of STI */
    nop
    cli
    ret
    .size irq_window, . - irq_window

/* Sleeps until an interrupt. What arrives before HLT is taken after it, since STI shadows one instruction. */
    .globl idle_wait
    .type idle_wait, @function
idle_wait:
    sti
    hlt
    cli
    ret
    .size idle_wait, . - idle_wait

    .section .note.GNU-stack, "", @progbits
