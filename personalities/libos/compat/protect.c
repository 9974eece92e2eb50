/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rights of single pages, in libos's one set of page tables: large pages are split where a program asks for less than 2 MiB.
 * Another vCPU may go on with what its TLB holds until the event that it runs is done.
 */
#include "compat.h"
#include "../kernel/page.h"

#define PTE_PRESENT 1ull
#define PTE_WRITE 2ull
#define PTE_LARGE 0x80ull
#define PTE_NX (1ull << 63)
#define LARGE 0x200000ull
#define GIB (1ull << 30)
#define MAPPED_GIB 16ull            /* mmu.c: 4 below, 12 above */

extern uint64_t boot_pml4[512], boot_pdpt[512];

static struct spinlock protect_lock;
static uint8_t *protect_tables;     /* what is left of a chunk cut into tables */
static unsigned protect_tables_left;

static void protect_reload(void *arg)
{
    (void)arg;
    __asm__ volatile("mov %0, %%cr3" : : "r"(boot_pml4) : "memory");
}

static uint64_t *protect_new_table(void)
{
    if (protect_tables_left == 0) {
        protect_tables = page_alloc(1);
        if (protect_tables == NULL)
            return NULL;
        protect_tables_left = PAGE_CHUNK / PAGE_BYTES;
    }
    return (uint64_t *)(protect_tables + --protect_tables_left * PAGE_BYTES);
}

/* The entry of a large page, split into a table's if it is not yet. NULL: no memory. */
static uint64_t *protect_split(uint64_t *entry, uint64_t start)
{
    if (!(*entry & PTE_LARGE))
        return (uint64_t *)(*entry & ~0xFFFull & ~PTE_NX);

    uint64_t *pages = protect_new_table();

    if (pages == NULL)
        return NULL;
    for (uint64_t i = 0; i < 512; i++)
        pages[i] = (start + i * PAGE_BYTES) | (*entry & (PTE_NX | 0x1F));
    *entry = (uint64_t)pages | PTE_PRESENT | PTE_WRITE;
    return pages;
}

static uint64_t protect_bits(unsigned rights)
{
    if (rights == 0)
        return 0;
    return PTE_PRESENT | (rights & RIGHT_WRITE ? PTE_WRITE : 0) | (rights & RIGHT_EXEC ? 0 : PTE_NX);
}

static bool protect_range(uint64_t start, uint64_t end, uint64_t bits)
{
    for (uint64_t at = start; at < end;) {
        uint64_t *entry = &((uint64_t *)(boot_pdpt[at / GIB] & ~0xFFFull))[at / LARGE % 512];

        if (at % LARGE == 0 && end - at >= LARGE && *entry & PTE_LARGE) {
            *entry = at | bits | PTE_LARGE;
            at += LARGE;
            continue;
        }

        uint64_t *pages = protect_split(entry, at & ~(LARGE - 1));

        if (pages == NULL)
            return false;
        pages[at / PAGE_BYTES % 512] = at | bits;
        at += PAGE_BYTES;
    }
    return true;
}

bool protect_pages(uint64_t start, uint64_t end, unsigned rights)
{
    start &= ~(PAGE_BYTES - 1);
    end = (end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    if (start > end || end > MAPPED_GIB * GIB || boot_pdpt[(end - 1) / GIB] == 0)
        return false;
    spin_lock(&protect_lock);

    bool done = protect_range(start, end, protect_bits(rights));

    spin_unlock(&protect_lock);
    protect_reload(NULL);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (cpu != cpu_id())
            done &= event_spawn(cpu, protect_reload, NULL);
    return done;
}

bool protect_is_writable(uint64_t page)
{
    uint64_t entry = ((uint64_t *)(boot_pdpt[page / GIB] & ~0xFFFull))[page / LARGE % 512];

    if (!(entry & PTE_LARGE))
        entry = ((uint64_t *)(entry & ~0xFFFull & ~PTE_NX))[page / PAGE_BYTES % 512];
    return (entry & (PTE_PRESENT | PTE_WRITE)) == (PTE_PRESENT | PTE_WRITE);
}
