/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libos.h"
#include "micro.h"

#define LARGE (2ull << 20)
#define SMALL_TABLES 8u         /* of 2 MiB each */
#define SMALL_SLOT 256u         /* of the top table: the first one of the upper half */
#define PRESENT_WRITE 3ull
#define NO_EXECUTE (1ull << 63)

static uint64_t micro_pages[SMALL_TABLES][512] __attribute__((aligned(4096)));
static uint64_t micro_directory[512] __attribute__((aligned(4096))), micro_pointers[512] __attribute__((aligned(4096)));

void micro_text(const char *text)
{
    console_printf("%s", text);
}

void micro_end(int status)
{
    machine_exit((uint32_t)status);
}

void micro_fail(const char *why)
{
    panic("micro: %s", why);
}

/* All of libos is in 2 MiB pages. */
void *micro_large(size_t bytes)
{
    uint64_t at = (uint64_t)mem_alloc(bytes + LARGE);
    if (at == 0)
        micro_fail("no memory: give the guest more (--mem)");
    return (void *)((at + LARGE - 1) & ~(LARGE - 1));
}

/* The same kind of memory, seen through 4 KiB pages of our own in a part of the address space that libos leaves empty. */
void *micro_small(size_t bytes)
{
    uint64_t *top, from = (uint64_t)micro_large(bytes);
    if (bytes > SMALL_TABLES * LARGE || micro_pointers[0] != 0)
        micro_fail("4 KiB pages: 16 MiB, once");
    for (uint64_t i = 0; i < SMALL_TABLES * 512; i++)
        micro_pages[i / 512][i % 512] = i * MICRO_PAGE < bytes ? (from + i * MICRO_PAGE) | PRESENT_WRITE | NO_EXECUTE : 0;
    for (uint64_t i = 0; i < SMALL_TABLES; i++)
        micro_directory[i] = (uint64_t)micro_pages[i] | PRESENT_WRITE;
    micro_pointers[0] = (uint64_t)micro_directory | PRESENT_WRITE;
    __asm__ volatile("mov %%cr3, %0" : "=r"(top));
    top[SMALL_SLOT] = (uint64_t)micro_pointers | PRESENT_WRITE;
    __asm__ volatile("mov %0, %%cr3" : : "r"(top) : "memory");
    return (void *)(0xFFFFull << 48 | (uint64_t)SMALL_SLOT << 39);
}

void app_main(int argc, char **argv)
{
    micro_main(argc, argv);
    micro_end(0);
}
