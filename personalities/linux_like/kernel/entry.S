/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ring crossings: SYSCALL, exceptions and interrupts, and the switch from one kernel stack to another. */

#define CPU_KSTACK 16           /* struct cpu, percpu.h */
#define CPU_USER_RSP 24
#define TASK_KSP 0              /* struct task, task.h */

    .macro PUSH_REGS rax
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push \rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm

    .macro POP_REGS
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    .endm

    .text
    .globl syscall_entry
    .type syscall_entry, @function
syscall_entry:                  /* interrupts are off: FMASK */
    swapgs
    mov %rsp, %gs:CPU_USER_RSP
    mov %gs:CPU_KSTACK, %rsp
    push $0x2b
    push %gs:CPU_USER_RSP
    push %r11
    push $0x33
    push %rcx
    push %rax
    PUSH_REGS $-38              /* -ENOSYS, until the call says otherwise */
    xor %ebp, %ebp
    mov %rsp, %rdi
    call syscall_dispatch       /* returns with interrupts off; true: SYSRET will do */
    test %al, %al
    jz syscall_exit_iret
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    mov 8(%rsp), %rcx           /* RIP; skip orig_ax */
    mov 24(%rsp), %r11          /* RFLAGS */
    mov 32(%rsp), %rsp
    swapgs
    sysretq
    .size syscall_entry, . - syscall_entry

    .globl syscall_exit_iret
    .type syscall_exit_iret, @function
syscall_exit_iret:
    POP_REGS
    add $8, %rsp
    testb $3, 8(%rsp)           /* CS: with ring=0 GS stays */
    jz 1f
    swapgs
1:  iretq
    .size syscall_exit_iret, . - syscall_exit_iret

    /* One stub a vector: make the frame uniform, push the vector, go on. */
    .balign 16
    .globl irq_stubs
    .type irq_stubs, @function
irq_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector == 8) || (vector == 10) || (vector == 11) || (vector == 12) || (vector == 13) || (vector == 14) || (vector == 17)
    .else
    push $0
    .endif
    push $vector
    .if vector < 32
    jmp trap_common
    .else
    jmp irq_common
    .endif
    .set vector, vector + 1
    .endr
    .size irq_stubs, . - irq_stubs

    .macro COMMON handler
    /* stack: vector, error code, RIP, CS, RFLAGS, RSP, SS. orig_ax takes the error code's place. */
    xchg %rdi, (%rsp)           /* RDI = vector, its slot = user RDI */
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    testb $3, 136(%rsp)         /* CS */
    jz 1f
    swapgs
1:  mov %rdi, %rsi
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call \handler               /* (regs, vector); returns with interrupts off */
    mov %rbp, %rsp
    jmp irq_return
    .endm

    .globl trap_common, irq_common  /* ring0.S comes here too */
    .type trap_common, @function
trap_common:
    COMMON trap_handle
    .size trap_common, . - trap_common

    .type irq_common, @function
irq_common:
    COMMON irq_handle
    .size irq_common, . - irq_common

    .globl irq_return
    .type irq_return, @function
irq_return:                     /* RSP = pt_regs */
    testb $3, 136(%rsp)
    jz 1f
    swapgs
1:  POP_REGS
    add $8, %rsp
    iretq
    .size irq_return, . - irq_return

    /* struct task *sched_switch_stack(prev, next): returns, on next's stack, the task that ran before it. */
    .globl sched_switch_stack
    .type sched_switch_stack, @function
sched_switch_stack:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, TASK_KSP(%rdi)
    mov TASK_KSP(%rsi), %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    mov %rdi, %rax
    ret
    .size sched_switch_stack, . - sched_switch_stack

    /* First steps of a new thread: R12 = function of a kernel thread or 0, R13 = its argument. */
    .globl fork_return
    .type fork_return, @function
fork_return:
    mov %rax, %rdi
    call sched_finish_switch
    test %r12, %r12
    jz 1f
    mov %r13, %rdi
    call *%r12
1:  mov %rsp, %rdi
    call syscall_exit_to_user
    jmp syscall_exit_iret
    .size fork_return, . - fork_return
