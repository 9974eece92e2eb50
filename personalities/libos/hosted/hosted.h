/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libos as a Linux program: the same Ebbs, events, timers, memory and iobufs (kernel/), on threads for vCPUs and sockets for the NIC.
 * Each thread stays on a CPU of its own, and its GS base names its control block. Where the native library OS is interrupted, a hosted
 * one asks the kernel: in irq_window and idle_wait, by ppoll.
 */
#ifndef HOSTED_H
#define HOSTED_H

#include "libos.h"

/* Raises `event` on the calling vCPU whenever the descriptor has something to read. At most HOSTED_WATCHES. */
#define HOSTED_WATCHES 63u
void hosted_watch(int fd, struct event *event);
void hosted_unwatch(struct event *event);       /* on the vCPU that watches */

extern unsigned hosted_cpus_most;       /* LIBOS_MAX_CPUS, unless the program defines it */

char **hosted_program_words(void);      /* those behind "--" as they were given, spaces and all; NULL: there is no "--" */
void hosted_wait_init(unsigned cpu);    /* before any event of that vCPU */
void hosted_start_threads(void);        /* one for each further vCPU; returns when all count */
uint32_t hosted_cpu_of(unsigned cpu);    /* Linux's number of a vCPU's CPU */
void udp_init(void);

#endif
