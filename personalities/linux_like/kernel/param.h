/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tunable limits. */
#pragma once

#define MAX_CPUS 16
#define HZ 250                        /* scheduler ticks a second on a busy vCPU */
#define KSTACK_ORDER 2                /* 16 KiB of kernel stack a thread */
#define MAX_FDS 1024                  /* file descriptors a process */
#define USER_STACK_SIZE (8ul << 20)   /* reserved and demand-zero, as RLIMIT_STACK says */
#define NET_RX_BUDGET 300             /* packets per softirq run, over all NAPI instances */
#define NAPI_WEIGHT 64                /* packets per poll of one NAPI instance */
#define SOCK_RCVBUF 212992            /* bytes of buffers a socket may hold, Linux's default */
#define MAX_ARG_BYTES (128u << 10)    /* argv and envp of execve */
#define PATH_MAX 1024                 /* Linux: 4,096 */
#define NAME_MAX 255
#define MAX_SYMLINKS 40
#define POOL_MAX 32768                /* packet buffers that programs can share */
