/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As much of a C library as our own programs need on Linux (x86-64), so that they build anywhere, are small, and make only the
 * system calls they name. No thread-local storage, no errno: calls return what the kernel does, negative error numbers included.
 * Everything is named rt_*, but for main's caller _start and the four functions a compiler may call (memcpy, memmove, memset, memcmp).
 */
#ifndef RUNTIME_LINUX_H
#define RUNTIME_LINUX_H

#include <stddef.h>
#include <stdint.h>

/* Numbers and constants of the x86-64 system call interface (Linux UAPI headers). */
enum {
    RT_NR_READ = 0,
    RT_NR_WRITE = 1,
    RT_NR_OPEN = 2,
    RT_NR_CLOSE = 3,
    RT_NR_LSTAT = 6,
    RT_NR_LSEEK = 8,
    RT_NR_MMAP = 9,
    RT_NR_MPROTECT = 10,
    RT_NR_RT_SIGACTION = 13,
    RT_NR_IOCTL = 16,
    RT_NR_PREAD64 = 17,
    RT_NR_PWRITE64 = 18,
    RT_NR_SOCKET = 41,
    RT_NR_CONNECT = 42,
    RT_NR_SENDTO = 44,
    RT_NR_RECVFROM = 45,
    RT_NR_BIND = 49,
    RT_NR_GETSOCKNAME = 51,
    RT_NR_SETSOCKOPT = 54,
    RT_NR_FTRUNCATE = 77,
    RT_NR_RENAME = 82,
    RT_NR_MKDIR = 83,
    RT_NR_RMDIR = 84,
    RT_NR_UNLINK = 87,
    RT_NR_CHMOD = 90,
    RT_NR_SIGALTSTACK = 131,
    RT_NR_ARCH_PRCTL = 158,
    RT_NR_FUTEX = 202,
    RT_NR_SCHED_SETAFFINITY = 203,
    RT_NR_SCHED_GETAFFINITY = 204,
    RT_NR_GETDENTS64 = 217,
    RT_NR_CLOCK_GETTIME = 228,
    RT_NR_EXIT_GROUP = 231,
    RT_NR_PPOLL = 271,
    RT_NR_UTIMENSAT = 280,
    RT_NR_EVENTFD2 = 290,

    RT_EINTR = 4,
    RT_EAGAIN = 11,
    RT_EACCES = 13,
    RT_EADDRINUSE = 98,
    RT_EADDRNOTAVAIL = 99,

    RT_AF_INET = 2,
    RT_SOCK_DGRAM = 2,
    RT_MSG_ZEROCOPY = 0x4000000,
    RT_PROT_READ_WRITE = 3,
    RT_MAP_SHARED = 1,
    RT_SOL_SOCKET = 1,
    RT_SO_REUSEPORT = 15,
    RT_SO_INCOMING_CPU = 49,
    RT_CLOCK_REALTIME = 0,
    RT_CLOCK_MONOTONIC = 1,
};

struct rt_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};

/* struct sockaddr_in; port and address in network byte order. */
struct rt_address {
    uint16_t family;
    uint16_t port;
    uint32_t address;
    uint8_t zero[8];
};

/* Where the kernel is a function (AT_SYSINFO), with the arguments of rt_syscall; NULL: it is entered by SYSCALL. */
extern long (*rt_kernel)(long number, long a, long b, long c, long d, long e, long f);

static inline long rt_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (rt_kernel != NULL)
        return rt_kernel(number, a, b, c, d, e, f);
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

_Noreturn void rt_exit(int status);

/* Writes the text to a file descriptor; what cannot be written is lost. */
void rt_print(int fd, const char *text);
void rt_print_number(int fd, uint64_t number);

/* Zeroed private memory, or NULL. */
void *rt_map(size_t bytes);

/* Starts entry(argument) on a stack of its own, below which lies a page that may not be touched. 0 or a negative error. */
long rt_thread_start(void (*entry)(void *), void *argument, size_t stack_bytes);

/* Sleeps while *word is `value`; may wake without cause. */
void rt_futex_wait(uint32_t *word, uint32_t value);
void rt_futex_wake_one(uint32_t *word);

int64_t rt_seconds(int clock);

/* A decimal number from `least` to `most`, and nothing else; -1 when it is not. */
long rt_parse(const char *text, long least, long most);
int rt_same(const char *a, const char *b);

#endif
