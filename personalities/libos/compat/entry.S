/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the program into the layer and back. Ring, page tables, GS and the interrupt flag (off) stay as they are: SYSCALL only
 * loads RCX, R11 and RIP here. A call runs on the stack of the event that runs the thread; it keeps all registers but RAX,
 * RCX and R11, as Linux does. SSE and x87 registers are not touched: nothing in the image uses them.
 */
#include "../kernel/registers.h"

#define SLOT 480 * 8                /* EBB_THREADS in the vCPU's table */
#define CURRENT 0                   /* struct threads */
#define EVENT_RSP 8
#define THREAD_RSP 16
#define RSP 0                       /* struct thread_registers */
#define RIP 8
#define RBX 16
#define RBP 24
#define R12 32
#define R13 40
#define R14 48
#define R15 56
#define RDI 64
#define RSI 72
#define RDX 80
#define R8 88
#define R9 96
#define R10 104
#define RAX 112
#define NR_CLONE 56

    .text
    .globl linux_syscall
    .type linux_syscall, @function
linux_syscall:                      /* LSTAR: RAX number, RDI RSI RDX R10 R8 R9 arguments, RCX where to go on */
    movq %gs:SLOT, %r11
    movq %rsp, THREAD_RSP(%r11)
    movq EVENT_RSP(%r11), %rsp      /* aligned (thread_enter) */
    pushq %rcx
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %r8
    pushq %r9
    pushq %r10
    subq $8, %rsp
    movq %r10, %rcx
    cmpq linux_count(%rip), %rax
    jae 3f
    movq linux_table(,%rax,8), %r10
    testq %r10, %r10
    jz 3f
    call *%r10
1:  movq %rax, %r10
    negq %r10                       /* overflows for THREAD_WAITS alone */
    jo linux_wait
    addq $8, %rsp
    popq %r10
    popq %r9
    popq %r8
    popq %rdx
    popq %rsi
    popq %rdi
    popq %rcx
    movq %gs:SLOT, %r11
    movq THREAD_RSP(%r11), %rsp
    jmp *%rcx
3:  movq %rax, %rdi
    call linux_absent
    jmp 1b
    .size linux_syscall, . - linux_syscall

/* The thread waits: what it needs to go on is saved, and the event that ran it goes on behind thread_enter. */
    .type linux_wait, @function
linux_wait:
    movq %gs:SLOT, %r11
    movq CURRENT(%r11), %rcx
    movq THREAD_RSP(%r11), %rax
    movq %rax, RSP(%rcx)
    addq $8, %rsp
    popq R10(%rcx)
    popq R9(%rcx)
    popq R8(%rcx)
    popq RDX(%rcx)
    popq RSI(%rcx)
    popq RDI(%rcx)
    popq RIP(%rcx)
    movq %rbx, RBX(%rcx)
    movq %rbp, RBP(%rcx)
    movq %r12, R12(%rcx)
    movq %r13, R13(%rcx)
    movq %r14, R14(%rcx)
    movq %r15, R15(%rcx)
    addq $8, %rsp
    pop_call_preserved
    ret
    .size linux_wait, . - linux_wait

/* void thread_enter(struct threads *here, struct thread *thread): returns when the thread waits. */
    .globl thread_enter
    .type thread_enter, @function
thread_enter:
    push_call_preserved
    subq $8, %rsp
    movq %rsp, EVENT_RSP(%rdi)
    movq %rsi, %r11
    movq RSP(%r11), %rsp
    movq RBX(%r11), %rbx
    movq RBP(%r11), %rbp
    movq R12(%r11), %r12
    movq R13(%r11), %r13
    movq R14(%r11), %r14
    movq R15(%r11), %r15
    movq RDI(%r11), %rdi
    movq RSI(%r11), %rsi
    movq RDX(%r11), %rdx
    movq R8(%r11), %r8
    movq R9(%r11), %r9
    movq R10(%r11), %r10
    movq RAX(%r11), %rax
    movq RIP(%r11), %rcx
    jmp *%rcx
    .size thread_enter, . - thread_enter

/* clone's slot in the table: the child gets the caller's registers, those that calls keep among them (struct clone_frame). */
    .globl linux_clone_entry
    .type linux_clone_entry, @function
linux_clone_entry:
    pushq %r15
    pushq %r14
    pushq %r13
    pushq %r12
    pushq %rbp
    pushq %rbx
    movq %rsp, %r9
    subq $8, %rsp
    call linux_clone
    addq $56, %rsp
    ret
    .size linux_clone_entry, . - linux_clone_entry

/* long linux_gate(number, a, b, c, d, e, f): a C function's convention. */
    .globl linux_gate
    .type linux_gate, @function
linux_gate:
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    movq %r8, %r10
    movq %r9, %r8
    movq 8(%rsp), %r9
    cmpq $NR_CLONE, %rax
    je 1f
    leaq linux_gate_return(%rip), %rcx
    jmp linux_syscall
1:  popq %rcx                       /* the child's stack holds no return address */
    jmp linux_syscall
    .size linux_gate, . - linux_gate
    .type linux_gate_return, @function
linux_gate_return:                  /* a RET for the caller's CALL, which the processor's return stack expects */
    ret
    .size linux_gate_return, . - linux_gate_return

    .section .note.GNU-stack, "", @progbits
