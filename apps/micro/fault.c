/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does touching a page cost that is not there, or not ours to write? Cycles a page: `fault_fresh 4096`, the first store to a page of
 * fresh anonymous memory; `fault_protection 4096`, a store to a read-only page, with a handler of SIGSEGV that steps over it.
 */
#include "micro.h"
#include "runtime.h"

#define NR_MMAP 9
#define NR_MUNMAP 11
#define NR_RT_SIGACTION 13
#define PROT_READ 1
#define MAP_PRIVATE_ANONYMOUS 0x22
#define SIGSEGV 11
#define SA_SIGINFO 4ul
#define SA_RESTORER 0x04000000ul
#define PAGES 64ul
#define UCONTEXT_RIP 168        /* offset in struct ucontext, Linux's x86-64 ABI */
#define STORE_BYTES 2           /* of the instruction in micro_store */

struct sigaction {
    void (*handler)(int, void *, void *);
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};

void micro_restorer(void);
__asm__(".globl micro_restorer\n.type micro_restorer, @function\nmicro_restorer: mov $15, %eax\n\tsyscall\n.size micro_restorer, . - micro_restorer");

static void micro_on_fault(int signal, void *info, void *context)
{
    (void)signal, (void)info;
    *(uint64_t *)((uint8_t *)context + UCONTEXT_RIP) += STORE_BYTES;
}

static void micro_store(uint8_t *at)
{
    __asm__ volatile("movb %%al, (%0)" : : "D"(at) : "memory");
}

/* Maps, touches and unmaps n pages, PAGES at a time; cycles of the touching alone. */
static uint64_t micro_touch_fresh(uint64_t n)
{
    uint64_t cycles = 0;
    for (; n >= PAGES; n -= PAGES) {
        uint8_t *at = rt_map(PAGES * MICRO_PAGE);
        if (at == NULL)
            micro_fail("no memory");
        uint64_t start = micro_now();
        for (uint64_t i = 0; i < PAGES; i++)
            micro_store(at + i * MICRO_PAGE);
        cycles += micro_now() - start;
        rt_syscall(NR_MUNMAP, (long)at, PAGES * MICRO_PAGE, 0, 0, 0, 0);
    }
    return cycles;
}

static uint8_t *micro_read_only;

static void micro_touch_protected(uint64_t n)
{
    while (n-- > 0)
        micro_store(micro_read_only);
}

static void micro_touch(uint64_t n)
{
    micro_touch_fresh(n);
}

void micro_main(int argc, char **argv)
{
    struct sigaction action = { micro_on_fault, SA_SIGINFO | SA_RESTORER, micro_restorer, 0 };
    uint64_t samples[MICRO_SAMPLES];

    (void)argc, (void)argv;
    micro_timed(true);
    micro_window("fault_fresh", PAGES, micro_touch);
    for (unsigned i = 0; i < MICRO_SAMPLES; i++)
        samples[i] = micro_touch_fresh(PAGES) * 100 / PAGES;
    micro_report("fault_fresh", MICRO_PAGE, micro_median(samples, MICRO_SAMPLES));

    micro_read_only = (uint8_t *)rt_syscall(NR_MMAP, 0, MICRO_PAGE, PROT_READ, MAP_PRIVATE_ANONYMOUS, -1, 0);
    if (rt_syscall(NR_RT_SIGACTION, SIGSEGV, (long)&action, 0, 8, 0, 0) != 0)
        micro_fail("no handler");
    micro_window("fault_protection", PAGES, micro_touch_protected);
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        uint64_t start = micro_now();
        micro_touch_protected(PAGES);
        samples[i] = (micro_now() - start) * 100 / PAGES;
    }
    micro_report("fault_protection", MICRO_PAGE, micro_median(samples, MICRO_SAMPLES));
}
