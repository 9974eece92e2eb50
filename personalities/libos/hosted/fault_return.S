/* SPDX-License-Identifier: GPL-2.0-or-later */
    .text
    .globl fault_signal_return
    .type fault_signal_return, @function
fault_signal_return:
    movl $15, %eax                  /* rt_sigreturn */
    syscall
    ud2
    .size fault_signal_return, . - fault_signal_return

    .section .note.GNU-stack, "", @progbits
