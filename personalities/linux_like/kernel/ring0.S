/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring=0: programs run at CPL 0 in their own page tables. Two things replace the ring crossing:
 *
 *   syscall_gate   the kernel as a function: a program calls it (AT_SYSINFO says where) with the System V convention, and it calls
 *                  the system call's function on the thread's kernel stack. No SYSCALL, no SWAPGS, no saved registers.
 *   ring0_stubs    the processor switches no stack for an interrupt within ring 0, and a program's stack may be short of a page or
 *                  have live data below RSP. So every vector enters on IST 2, and the frame moves from there to where it would have
 *                  been: the thread's kernel stack when the program was interrupted, the interrupted stack when the kernel was.
 *
 * GS is the kernel's all the time, so nobody swaps it.
 */

#define CPU_CURR 8              /* struct cpu, percpu.h */
#define CPU_KSTACK 16
#define TASK_TIF 8              /* struct task, task.h */
#define REGS_BYTES 176          /* struct pt_regs, and 8 to align */

    .text
    /* long syscall_gate(long nr, long a, long b, long c, long d, long e, long f) */
    .globl syscall_gate
    .type syscall_gate, @function
syscall_gate:
    cmp syscall_count(%rip), %rdi
    jae ring0_call_with_regs
    mov syscall_table(,%rdi,8), %rax
    test %rax, %rax
    jz ring0_call_with_regs
    push %rbp
    mov %rsp, %rbp
    mov 16(%rbp), %r10          /* f */
    mov %gs:CPU_KSTACK, %r11
    sub $REGS_BYTES, %r11       /* the frame at its top stays as the thread's start left it */
    and $-16, %r11
    mov %r11, %rsp
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %rcx
    mov %r9, %r8
    mov %r10, %r9
    call *%rax
1:  cli                         /* nothing may ask for attention between the look and the way out */
    mov %gs:CPU_CURR, %rcx
    cmpl $0, TASK_TIF(%rcx)
    jne 2f
    mov %rbp, %rsp
    pop %rbp
    sti                         /* takes effect behind the RET */
    ret
2:  mov %rax, %rdi
    call ring0_work             /* returns the result */
    jmp 1b
    .size syscall_gate, . - syscall_gate

    /* The few calls that need or replace the caller's registers: a frame as SYSCALL would leave it, and IRET. */
    .type ring0_call_with_regs, @function
ring0_call_with_regs:
    mov %rsp, %r10
    mov 8(%rsp), %r11           /* f */
    mov %gs:CPU_KSTACK, %rsp
    push $0x18
    lea 8(%r10), %rax
    push %rax                   /* RSP and RIP behind the caller's CALL */
    pushfq
    push $0x10
    push (%r10)
    push %rdi                   /* the number */
    push %rsi                   /* a in RDI's place, and so on as SYSCALL passes them */
    push %rdx
    push %rcx
    push $0
    push $-38
    push %r9                    /* e: R8 */
    push %r11                   /* f: R9 */
    push %r8                    /* d: R10 */
    push $0
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rdi
    xor %ebp, %ebp
    call syscall_dispatch
    jmp syscall_exit_iret
    .size ring0_call_with_regs, . - ring0_call_with_regs

    /* SYSCALL from a program at CPL 0: it was not built for this. */
    .globl ring0_syscall_entry
    .type ring0_syscall_entry, @function
ring0_syscall_entry:
    mov %gs:CPU_KSTACK, %rsp
    and $-16, %rsp
    call ring0_no_syscall
    .size ring0_syscall_entry, . - ring0_syscall_entry

    .balign 16
    .globl ring0_stubs
    .type ring0_stubs, @function
ring0_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector == 8) || (vector == 10) || (vector == 11) || (vector == 12) || (vector == 13) || (vector == 14) || (vector == 17)
    .else
    push $0
    .endif
    push $vector
    .if vector < 32
    jmp ring0_trap
    .else
    jmp ring0_irq
    .endif
    .set vector, vector + 1
    .endr
    .size ring0_stubs, . - ring0_stubs

    /* On IST 2: vector, error code, RIP, CS, RFLAGS, RSP, SS. Interrupts are off. */
    .macro MOVE_FRAME next
    push %rax
    push %rcx
    mov 56(%rsp), %rax          /* the interrupted RSP: low, it is the program's */
    test %rax, %rax
    js 1f
    mov %gs:CPU_KSTACK, %rax
1:  and $-16, %rax              /* as the processor aligns it */
    .irp slot, 64, 56, 48, 40, 32, 24, 16
    mov \slot(%rsp), %rcx
    mov %rcx, \slot-72(%rax)
    .endr
    mov 8(%rsp), %rcx
    mov %rcx, -64(%rax)         /* RAX */
    mov (%rsp), %rcx
    lea -64(%rax), %rsp
    pop %rax
    jmp \next
    .endm

    .type ring0_trap, @function
ring0_trap:
    MOVE_FRAME trap_common
    .size ring0_trap, . - ring0_trap

    .type ring0_irq, @function
ring0_irq:
    MOVE_FRAME irq_common
    .size ring0_irq, . - ring0_irq
