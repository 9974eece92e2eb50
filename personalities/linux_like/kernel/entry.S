/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ring crossings: SYSCALL, exceptions and interrupts, and the switch from one kernel stack to another. */

#include "alternative.h"

#define CPU_KSTACK 16           /* struct cpu, percpu.h */
#define CPU_USER_RSP 24
#define CPU_ENTRY_STACK 32
#define TASK_KSP 0              /* struct task, task.h */
#define RETURN_STACK 32         /* entries that any processor's has at most */

/*
 * A program leaves and enters on its vCPU's entry stack, the only one that the tables it runs on hold (with page-table isolation). Whoever comes
 * from ring 3 takes the kernel's tables, then its thread's stack; whoever goes there moves its last words to the entry stack first.
 */
    .macro KERNEL_TABLES reg
    ALTERNATIVE(ALT_PTI, mov %cr3, \reg; and $~PTI_USER, \reg; mov \reg, %cr3)
    .endm
    .macro USER_TABLES reg
    ALTERNATIVE(ALT_PTI, mov %cr3, \reg; or $PTI_USER, \reg; mov \reg, %cr3)
    .endm

    /* What a program left in registers is no longer at hand for speculation. */
    .macro CLEAR_REGS
    ALTERNATIVE(ALT_SPECTRE, xor %edx, %edx; xor %ecx, %ecx; xor %r8d, %r8d; xor %r9d, %r9d; xor %r10d, %r10d; xor %r11d, %r11d; xor %ebx, %ebx; xor %r12d, %r12d; xor %r13d, %r13d; xor %r14d, %r14d; xor %r15d, %r15d)
    xor %ebp, %ebp
    .endm

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
    .endm

    .text
    .globl syscall_entry
    .type syscall_entry, @function
syscall_entry:                  /* interrupts are off: FMASK */
    swapgs
    mov %rsp, %gs:CPU_USER_RSP
    KERNEL_TABLES %rsp
    mov %gs:CPU_KSTACK, %rsp
    push $0x2b
    push %gs:CPU_USER_RSP
    push %r11
    push $0x33
    push %rcx
    push %rax
    PUSH_REGS $-38              /* -ENOSYS, until the call says otherwise */
    CLEAR_REGS
    mov %rsp, %rdi
    call syscall_dispatch       /* returns with interrupts off; true: SYSRET will do */
    test %al, %al
    jz syscall_exit_iret
    POP_REGS                    /* all but RDI, where RSP is now */
    mov 16(%rsp), %rcx          /* RIP */
    mov 32(%rsp), %r11          /* RFLAGS */
    mov %rsp, %rdi
    mov %gs:CPU_ENTRY_STACK, %rsp
    push 40(%rdi)               /* RSP */
    push (%rdi)
    USER_TABLES %rdi
    pop %rdi
    pop %rsp
    swapgs
    sysretq
    .size syscall_entry, . - syscall_entry

    .globl syscall_exit_iret
    .type syscall_exit_iret, @function
syscall_exit_iret:              /* RSP = pt_regs */
    testb $3, 136(%rsp)         /* CS: with ring=0 there is no crossing */
    jz irq_return_kernel
    POP_REGS
    mov %rsp, %rdi
    mov %gs:CPU_ENTRY_STACK, %rsp
    push 48(%rdi)               /* SS, RSP, RFLAGS, CS, RIP */
    push 40(%rdi)
    push 32(%rdi)
    push 24(%rdi)
    push 16(%rdi)
    push (%rdi)
    USER_TABLES %rdi
    pop %rdi
    swapgs
    iretq
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
    ALTERNATIVE(ALT_SMAP, clac)
    cld
    testb $3, 24(%rsp)          /* CS */
    jz 1f
    swapgs
    ALTERNATIVE(ALT_SPECTRE, lfence)        /* nobody runs ahead with the wrong GS */
    push %rdi
    KERNEL_TABLES %rdi
    mov %rsp, %rdi
    mov %gs:CPU_KSTACK, %rsp
    push 56(%rdi)               /* SS, RSP, RFLAGS, CS, RIP, error code, RDI */
    push 48(%rdi)
    push 40(%rdi)
    push 32(%rdi)
    push 24(%rdi)
    push 16(%rdi)
    push (%rdi)
    push %rsi
    mov 8(%rdi), %rsi
    jmp 2f
1:  ALTERNATIVE(ALT_SPECTRE, lfence)
    xchg %rdi, (%rsp)           /* RDI = vector, its slot = the interrupted RDI */
    push %rsi
    mov %rdi, %rsi
2:  push %rdx
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
    CLEAR_REGS
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
    jnz syscall_exit_iret
irq_return_kernel:
    POP_REGS
    pop %rdi
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
    ALTERNATIVE(ALT_SPECTRE, mov $RETURN_STACK / 2, %ecx; 1: call 2f; int3; 2: call 3f; int3; 3: add $16, %rsp; dec %ecx; jnz 1b; lfence)
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
