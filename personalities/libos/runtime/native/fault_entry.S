/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page-fault exception, on the vCPU's interrupt stack, which the next one would overwrite: what is known goes to the stack of whoever
 * faulted (struct fault_frame), and IRET to fault_resume there. Outside the windows the kernel's own entry takes over.
 */
    .text
    .globl fault_entry
    .type fault_entry, @function
fault_entry:                        /* error, RIP, CS, RFLAGS, RSP, SS */
    pushq %rax
    pushq %rcx
    movq %cr2, %rax
    movq %rax, %rcx
    shrq $39, %rcx
    cmpl $64, %ecx                  /* WINDOW_SHARED */
    jne 1f
    movq 48(%rsp), %rcx             /* RSP */
    subq $32, %rcx
    movq %rax, (%rcx)
    movq 16(%rsp), %rax             /* error: bit 1 says write */
    shrl $1, %eax
    andl $1, %eax
    movq %rax, 8(%rcx)
    movq 40(%rsp), %rax
    movq %rax, 16(%rcx)
    movq 24(%rsp), %rax
    movq %rax, 24(%rcx)
    movq %rcx, 48(%rsp)
    movq $fault_resume, 24(%rsp)
    popq %rcx
    popq %rax
    addq $8, %rsp
    iretq
1:  cmpl $65, %ecx                  /* WINDOW_STACKS */
    je 2f
    popq %rcx
    popq %rax
    jmp trap_entries + 14 * 16
2:  movq %rax, %rdi
    movq 24(%rsp), %rsi
    andq $-16, %rsp
    cld
    call fault_no_stack
    ud2
    .size fault_entry, . - fault_entry

    .section .note.GNU-stack, "", @progbits
