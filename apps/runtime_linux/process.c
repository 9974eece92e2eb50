/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "process.h"

#define RT_CLONE_VM 0x00000100ul
#define RT_CLONE_VFORK 0x00004000ul
#define RT_SA_RESTORER 0x04000000ul
#define RT_SA_RESTART 0x10000000ul

long rt_thread_clone(unsigned long flags, void *stack_top, void (*entry)(void *), void *argument);
void rt_signal_return(void);

/* As the kernel takes it; struct kernel_sigaction of x86-64. */
struct rt_sigaction {
    void (*handler)(int);
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};

__asm__(".text\n.globl rt_signal_return\nrt_signal_return:\n\tmovl $15, %eax\n\tsyscall\n\tud2\n");

long rt_process_start(void (*entry)(void *), void *argument, void *stack_top, int wait)
{
    return rt_thread_clone(RT_CLONE_VM | (wait ? RT_CLONE_VFORK : 0) | RT_SIGCHLD, stack_top, entry, argument);
}

long rt_on_signal(int signal, void (*handler)(int))
{
    struct rt_sigaction action = {handler, RT_SA_RESTORER | RT_SA_RESTART, rt_signal_return, 0};
    return rt_syscall(RT_NR_RT_SIGACTION, signal, (long)&action, 0, sizeof action.mask, 0, 0);
}
