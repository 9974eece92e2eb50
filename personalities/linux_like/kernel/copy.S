/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies between kernel and user memory. A fault at a listed instruction resumes at its fix-up (trap.c). */

#include "alternative.h"

    .macro OPEN
    ALTERNATIVE(ALT_SMAP, stac)
    .endm
    .macro CLOSE
    ALTERNATIVE(ALT_SMAP, clac)
    .endm

    .macro EX from, to
    .pushsection .extable, "a"
    .balign 8
    .quad \from, \to
    .popsection
    .endm

    .text
    /* size_t copy_user(void *dst, const void *src, size_t n): bytes NOT copied. */
    .globl copy_user
    .type copy_user, @function
copy_user:
    OPEN
    cmp $64, %rdx
    jb 3f
2:
20: mov (%rsi), %rax
21: mov 8(%rsi), %rcx
22: mov 16(%rsi), %r8
23: mov 24(%rsi), %r9
24: mov %rax, (%rdi)
25: mov %rcx, 8(%rdi)
26: mov %r8, 16(%rdi)
27: mov %r9, 24(%rdi)
28: mov 32(%rsi), %rax
29: mov 40(%rsi), %rcx
30: mov 48(%rsi), %r8
31: mov 56(%rsi), %r9
32: mov %rax, 32(%rdi)
33: mov %rcx, 40(%rdi)
34: mov %r8, 48(%rdi)
35: mov %r9, 56(%rdi)
    add $64, %rsi
    add $64, %rdi
    sub $64, %rdx
    cmp $64, %rdx
    jae 2b
3:  cmp $8, %rdx
    jb 5f
4:
40: mov (%rsi), %rax
41: mov %rax, (%rdi)
    add $8, %rsi
    add $8, %rdi
    sub $8, %rdx
    cmp $8, %rdx
    jae 4b
5:  test %rdx, %rdx
    jz 7f
6:
60: movzbl (%rsi), %eax
61: mov %al, (%rdi)
    inc %rsi
    inc %rdi
    dec %rdx
    jnz 6b
7:  CLOSE
    mov %rdx, %rax
    ret
    .irp l, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 40, 41
    EX \l\()b, 6b               /* find the exact byte, one at a time */
    .endr
    EX 60b, 7b
    EX 61b, 7b
    .size copy_user, . - copy_user

    /* long copy_user_string(char *dst, const char *src, size_t n): length without the NUL, n if there is none, -14 on a fault. */
    .globl copy_user_string
    .type copy_user_string, @function
copy_user_string:
    OPEN
    xor %eax, %eax
1:  cmp %rdx, %rax
    jae 3f
2:  movzbl (%rsi,%rax), %ecx
    mov %cl, (%rdi,%rax)
    test %cl, %cl
    jz 3f
    inc %rax
    jmp 1b
3:  CLOSE
    ret
4:  mov $-14, %rax
    jmp 3b
    EX 2b, 4b
    .size copy_user_string, . - copy_user_string

    /* int copy_user_load32(u32 *value, const u32 *user): one atomic load; 0 or -14. */
    .globl copy_user_load32
    .type copy_user_load32, @function
copy_user_load32:
    OPEN
1:  mov (%rsi), %eax
    mov %eax, (%rdi)
    xor %eax, %eax
3:  CLOSE
    ret
2:  mov $-14, %eax
    jmp 3b
    EX 1b, 2b
    .size copy_user_load32, . - copy_user_load32

    /* int copy_user_store32(u32 *user, u32 value): 0 or -14. */
    .globl copy_user_store32
    .type copy_user_store32, @function
copy_user_store32:
    OPEN
1:  mov %esi, (%rdi)
    xor %eax, %eax
3:  CLOSE
    ret
2:  mov $-14, %eax
    jmp 3b
    EX 1b, 2b
    .size copy_user_store32, . - copy_user_store32
