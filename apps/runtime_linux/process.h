/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes, for programs that start others. */
#ifndef RUNTIME_LINUX_PROCESS_H
#define RUNTIME_LINUX_PROCESS_H

#include "runtime.h"

enum {
    RT_NR_RT_SIGPROCMASK = 14,
    RT_NR_EXECVE = 59,
    RT_NR_WAIT4 = 61,
    RT_NR_KILL = 62,
    RT_NR_PRCTL = 157,
    RT_NR_PIPE2 = 293,

    RT_SIGKILL = 9,
    RT_SIGTERM = 15,
    RT_SIGCHLD = 17,
    RT_WNOHANG = 1,
    RT_PR_SET_NAME = 15,
    RT_O_CLOEXEC = 0x80000,
    RT_O_NONBLOCK = 0x800,
};

/*
 * A process that shares our memory and runs entry(argument) on that stack, whose top this is; its end is told by SIGCHLD. With `wait`, returns when it has
 * executed another program or ended. Its number, or a negative error. `entry` must not return.
 */
long rt_process_start(void (*entry)(void *), void *argument, void *stack_top, int wait);

/* handler(signal) runs on the stack of whichever thread it meets; calls that it interrupts go on, where they can. */
long rt_on_signal(int signal, void (*handler)(int));

#endif
