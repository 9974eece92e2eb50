/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "runtime.h"

#define RT_PAGE 4096ul
#define RT_PROT_NONE 0
#define RT_MAP_PRIVATE 0x02
#define RT_MAP_FIXED 0x10
#define RT_MAP_ANONYMOUS 0x20
#define RT_FUTEX_WAIT_PRIVATE 128
#define RT_FUTEX_WAKE_PRIVATE 129
#define RT_CLONE_THREAD 0x00050F00ul /* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM */

long (*rt_kernel)(long, long, long, long, long, long, long);

long rt_thread_clone(unsigned long flags, void *stack_top, void (*entry)(void *), void *argument);

_Noreturn void rt_exit(int status)
{
    for (;;)
        rt_syscall(RT_NR_EXIT_GROUP, status, 0, 0, 0, 0, 0);
}

void rt_print(int fd, const char *text)
{
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    while (length > 0) {
        long written = rt_syscall(RT_NR_WRITE, fd, (long)text, (long)length, 0, 0, 0);
        if (written == -RT_EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        length -= (size_t)written;
    }
}

void rt_print_number(int fd, uint64_t number)
{
    char text[21], *at = text + sizeof text - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    rt_print(fd, at);
}

static void *rt_map_at(void *where, size_t bytes, int protection, int flags)
{
    long at = rt_syscall(RT_NR_MMAP, (long)where, (long)bytes, protection, RT_MAP_PRIVATE | RT_MAP_ANONYMOUS | flags, -1, 0);
    return at < 0 && at > -4096 ? NULL : (void *)at;
}

void *rt_map(size_t bytes)
{
    return rt_map_at(NULL, bytes, RT_PROT_READ_WRITE, 0);
}

long rt_thread_start(void (*entry)(void *), void *argument, size_t stack_bytes)
{
    size_t bytes = (stack_bytes + 2 * RT_PAGE - 1) / RT_PAGE * RT_PAGE;
    uint8_t *stack = rt_map_at(NULL, bytes, RT_PROT_READ_WRITE, 0);
    if (stack == NULL || rt_map_at(stack, RT_PAGE, RT_PROT_NONE, RT_MAP_FIXED) == NULL)
        return -12; /* ENOMEM */
    long result = rt_thread_clone(RT_CLONE_THREAD, stack + bytes, entry, argument);
    return result < 0 ? result : 0;
}

void rt_futex_wait(uint32_t *word, uint32_t value)
{
    rt_syscall(RT_NR_FUTEX, (long)word, RT_FUTEX_WAIT_PRIVATE, (long)value, 0, 0, 0);
}

void rt_futex_wake_one(uint32_t *word)
{
    rt_syscall(RT_NR_FUTEX, (long)word, RT_FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

int64_t rt_seconds(int clock)
{
    struct rt_timespec now = {0, 0};
    rt_syscall(RT_NR_CLOCK_GETTIME, clock, (long)&now, 0, 0, 0, 0);
    return now.seconds;
}

long rt_parse(const char *text, long least, long most)
{
    long value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value <= most; at++)
        value = value * 10 + (*at - '0');
    return at == text || *at != '\0' || value < least || value > most ? -1 : value;
}

int rt_same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b)
        a++, b++;
    return *a == *b;
}
