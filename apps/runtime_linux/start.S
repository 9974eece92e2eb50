# SPDX-License-Identifier: GPL-2.0-or-later
# Entry from the kernel, and entry of a new thread. System V AMD64 ABI, section 3.4.1: at entry RSP holds argc, then argv.

        .section .note.GNU-stack, "", @progbits
        .text

        .globl _start
        .type _start, @function
_start:
        xorl    %ebp, %ebp
        movl    (%rsp), %edi
        leaq    8(%rsp), %rsi
        leaq    16(%rsp,%rdi,8), %rdx   # environment, behind argv and its NULL
1:      addq    $8, %rdx
        cmpq    $0, -8(%rdx)
        jne     1b
2:      movq    (%rdx), %rax            # auxiliary vector: type, value
        addq    $16, %rdx
        cmpq    $32, %rax               # AT_SYSINFO
        jne     3f
        movq    -8(%rdx), %rcx
        movq    %rcx, rt_kernel(%rip)
3:      testq   %rax, %rax
        jnz     2b
        andq    $-16, %rsp
        call    main
        movl    %eax, %edi
        call    rt_exit
        ud2
        .size _start, . - _start

# long rt_thread_clone(unsigned long flags, void *stack_top, void (*entry)(void *), void *argument)
# The child starts on the new stack, where the parent left entry and argument for it. entry must not return.
        .globl rt_thread_clone
        .type rt_thread_clone, @function
rt_thread_clone:
        subq    $16, %rsi
        movq    %rdx, 0(%rsi)
        movq    %rcx, 8(%rsi)
        xorl    %edx, %edx
        xorl    %r10d, %r10d
        xorl    %r8d, %r8d
        cmpq    $0, rt_kernel(%rip)
        jne     3f
        movl    $56, %eax               # clone
        syscall
        testq   %rax, %rax
        jz      1f
        ret
1:      xorl    %ebp, %ebp
        popq    %rax
        popq    %rdi
        call    *%rax
        ud2
3:      subq    $16, %rsp               # and aligned: the return address was pushed
        movq    $0, (%rsp)              # f
        movq    %rsi, %rdx              # number, flags, stack, 0, 0, 0, 0
        movq    %rdi, %rsi
        movl    $56, %edi
        xorl    %ecx, %ecx
        xorl    %r9d, %r9d
        call    *rt_kernel(%rip)
        testq   %rax, %rax
        jz      1b
        addq    $16, %rsp
        ret
        .size rt_thread_clone, . - rt_thread_clone
