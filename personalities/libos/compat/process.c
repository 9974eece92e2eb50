/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program asks about itself and its machine: one process, number 1, of root. */
#include "compat.h"

#define MSR_FS_BASE 0xC0000100u
#define ARCH_SET_FS 0x1002u
#define ARCH_GET_FS 0x1003u
#define UTS_FIELD 65u
#define LINUX_RLIM_STACK 3u
#define LINUX_RLIM_NOFILE 7u
#define LINUX_RLIM_NONE UINT64_MAX

struct linux_limit {
    uint64_t now, most;
};

int64_t linux_exit_group(uint64_t status);
int64_t linux_one(void);
int64_t linux_zero(void);
int64_t linux_gettid(void);
int64_t linux_set_tid_address(uint32_t *clear);
int64_t linux_arch_prctl(uint64_t what, uint64_t value);
int64_t linux_uname(char *fields);
int64_t linux_prlimit(uint64_t process, uint64_t what, const struct linux_limit *set, struct linux_limit *get);
int64_t linux_getrandom(uint8_t *bytes, uint64_t count);
int64_t linux_sched_yield(void);
int64_t linux_sched_setaffinity(uint64_t thread, uint64_t bytes, const uint64_t *mask);
int64_t linux_sched_getaffinity(uint64_t thread, uint64_t bytes, uint64_t *mask);
int64_t linux_getcpu(uint32_t *cpu, uint32_t *node);
int64_t linux_readlink(const char *path);

int64_t linux_exit_group(uint64_t status)
{
    machine_exit((uint32_t)status & 0xFF);
}

int64_t linux_one(void)
{
    return 1;
}

/* Users and groups; and what may be accepted without doing it: signal masks and handlers, since no signal is ever sent. */
int64_t linux_zero(void)
{
    return 0;
}

int64_t linux_gettid(void)
{
    return thread_current()->id;
}

int64_t linux_set_tid_address(uint32_t *clear)
{
    thread_current()->clear_id = clear;
    return linux_gettid();
}

int64_t linux_arch_prctl(uint64_t what, uint64_t value)
{
    struct thread *thread = thread_current();

    if (what == ARCH_SET_FS) {
        thread->fs_base = value;
        wrmsr(MSR_FS_BASE, value);
    } else if (what == ARCH_GET_FS) {
        *(uint64_t *)value = thread->fs_base;
    } else {
        return -LINUX_EINVAL;       /* GS is libos's; the rest is of newer processors */
    }
    return 0;
}

int64_t linux_uname(char *fields)
{
    static const char *const text[] = { "Linux", "libos", "5.10.0-libos", "#1", "x86_64", "(none)" };

    memset(fields, 0, sizeof(text) / sizeof(text[0]) * UTS_FIELD);
    for (unsigned i = 0; i < sizeof(text) / sizeof(text[0]); i++)
        memcpy(fields + i * UTS_FIELD, text[i], strlen(text[i]));
    return 0;
}

int64_t linux_prlimit(uint64_t process, uint64_t what, const struct linux_limit *set, struct linux_limit *get)
{
    (void)process;
    (void)set;
    if (get)
        *get = what == LINUX_RLIM_STACK    ? (struct linux_limit){ 1u << 20, 1u << 20 }
               : what == LINUX_RLIM_NOFILE ? (struct linux_limit){ 256, 256 }
                                           : (struct linux_limit){ LINUX_RLIM_NONE, LINUX_RLIM_NONE };
    return 0;
}

/* Of the clock, as linux_like's: the same run gives the same bytes. Not for secrets. */
int64_t linux_getrandom(uint8_t *bytes, uint64_t count)
{
    uint64_t state = clock_cycles() | 1;

    for (uint64_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
    return (int64_t)count;
}

int64_t linux_sched_yield(void)
{
    return thread_yield(0);
}

/* A thread moves when it asks to; another's place is not changed. */
int64_t linux_sched_setaffinity(uint64_t thread, uint64_t bytes, const uint64_t *mask)
{
    struct thread *self = thread_current();
    uint64_t usable = *mask & ((1ull << cpu_count()) - 1);

    if (bytes < sizeof(*mask) || usable == 0)
        return -LINUX_EINVAL;
    if (thread != 0 && thread != self->id) {
        linux_say_once(10, "linux: thread %lu keeps its vCPU: threads move only themselves\n", thread);
        return 0;
    }
    return usable >> self->cpu & 1 ? 0 : thread_yield_to((unsigned)__builtin_ctzll(usable), 0);
}

int64_t linux_sched_getaffinity(uint64_t thread, uint64_t bytes, uint64_t *mask)
{
    (void)thread;
    if (bytes < sizeof(*mask))
        return -LINUX_EINVAL;
    *mask = (1ull << cpu_count()) - 1;
    return sizeof(*mask);
}

int64_t linux_getcpu(uint32_t *cpu, uint32_t *node)
{
    if (cpu)
        *cpu = cpu_id();
    if (node)
        *node = 0;
    return 0;
}

int64_t linux_readlink(const char *path)
{
    (void)path;
    return -LINUX_ENOENT;
}
