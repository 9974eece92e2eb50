// SPDX-License-Identifier: GPL-2.0-or-later
/* What init's files share: system calls, text, and each other's functions. */
#ifndef LINUX_INIT_H
#define LINUX_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime.h"

/* Numbers of the x86-64 system call interface (Linux UAPI headers). */
enum {
    NR_READ = 0, NR_WRITE = 1, NR_OPEN = 2, NR_CLOSE = 3, NR_RT_SIGPROCMASK = 14, NR_IOCTL = 16, NR_DUP2 = 33, NR_PAUSE = 34, NR_NANOSLEEP = 35, NR_SOCKET = 41,
    NR_FORK = 57, NR_EXECVE = 59, NR_WAIT4 = 61, NR_MKDIR = 83, NR_PTRACE = 101, NR_SETSID = 112, NR_RT_SIGTIMEDWAIT = 128, NR_MOUNT = 165, NR_REBOOT = 169, NR_IOPERM = 173, NR_GETDENTS64 = 217,
    NR_FINIT_MODULE = 313,
    O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, EINTR = 4, ECHILD = 10, EEXIST = 17,
    FAILED = 127, /* the status when init itself cannot go on */
};

static inline long sys(long number, long a, long b, long c) { return rt_syscall(number, a, b, c, 0, 0, 0); }
static inline long sys5(long number, long a, long b, long c, long d, long e) { return rt_syscall(number, a, b, c, d, e, 0); }

/* A line for the console, put together first: one write, so that nothing comes in between. What does not fit is cut off. */
struct text { unsigned used; char data[1024]; };
void text_add(struct text *, const char *);
void text_number(struct text *, uint64_t, unsigned base);
void text_line(struct text *); /* writes and empties it */

size_t length_of(const char *);
bool starts(const char *text, const char *with);
bool same(const char *, const char *);
long read_file(const char *path, char *to, size_t room); /* bytes, or a negative error; longer files are cut off; ends in a zero byte */

void network_loopback(void);
void network_address(const char *with_prefix);
void network_gateway(const char *address);

void trace_me(void);                  /* the child, before its execve */
bool stop_at_entry(long child, int *how);   /* it stands there until let_go; false: it ended before, *how as wait4 gives it */
void let_go(long child);

bool all_in(const char *folder, char *room, size_t bytes, bool (*each)(const char *folder, const char *name)); /* until one says false */
void process_path(struct text *, long process, const char *name); /* /proc/PROCESS/NAME, ended by a zero byte */
bool all_processes(bool (*each)(long process));
bool any_process(void);

bool is_ready(const char *awaited);
void report(void);

_Noreturn void fail(const char *what, const char *name, long error);
_Noreturn void end_machine(int status);

#endif
