/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "micro.h"
#include "runtime.h"

#define LARGE (2ul << 20)
#define NR_MADVISE 28
#define MADV_HUGEPAGE 14
#define MADV_NOHUGEPAGE 15

void micro_text(const char *text)
{
    rt_print(1, text);
}

void micro_end(int status)
{
    rt_exit(status);
}

void micro_fail(const char *why)
{
    rt_print(2, why);
    rt_print(2, "\n");
    rt_exit(2);
}

/* Advice that a system does not know changes nothing. */
static void *micro_map(size_t bytes, long advice)
{
    uint64_t at = (uint64_t)rt_map(bytes + LARGE);
    if (at == 0)
        micro_fail("no memory");
    at = (at + LARGE - 1) & ~(LARGE - 1);
    rt_syscall(NR_MADVISE, (long)at, (long)bytes, advice, 0, 0, 0);
    return (void *)at;
}

void *micro_large(size_t bytes)
{
    return micro_map(bytes, MADV_HUGEPAGE);
}

void *micro_small(size_t bytes)
{
    return micro_map(bytes, MADV_NOHUGEPAGE);
}

int main(int argc, char **argv)
{
    micro_main(argc, argv);
    return 0;
}
