/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one address space: virtual = physical, 2 MiB pages, set up once. Code is executable and read-only, constants
 * read-only, all else no-execute. Page 0 is left out, so that a null pointer faults.
 */
#include "mmu.h"
#include "boot.h"
#include "cpu.h"

#define PTE_PRESENT 1ull
#define PTE_WRITE 2ull
#define PTE_UNCACHED 0x18ull            /* PCD, PWT */
#define PTE_LARGE 0x80ull
#define PTE_NX (1ull << 63)
#define PAGE 0x1000ull
#define LARGE 0x200000ull
#define GIB (1ull << 30)

#define LOW_GIB 4ull                    /* what boot.S mapped */
#define HIGH_GIB 12ull                  /* more RAM, above */
#define DEVICE_TABLES 2
#define SPLIT_TABLES 4                  /* large pages that hold guard pages */

typedef uint64_t table_t[512] __attribute__((aligned(4096)));

extern uint64_t boot_pml4[512], boot_pdpt[512], boot_pd[LOW_GIB * 512];
extern uint8_t image_text[], image_rodata[], image_data[];

static table_t mmu_low_pages;
static table_t mmu_high_pd[HIGH_GIB];
static table_t mmu_device_pdpt;
static table_t mmu_device_pd[DEVICE_TABLES];
static unsigned mmu_device_tables;
static unsigned mmu_device_top;         /* the one 512 GiB slot used besides the first */
static table_t mmu_split_pages[SPLIT_TABLES];
static unsigned mmu_splits;
static uint64_t mmu_top;

static void mmu_reload(void)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(boot_pml4) : "memory");
}

static uint64_t mmu_low_rights(uint64_t start, uint64_t ram_end)
{
    if (start >= (uint64_t)image_text && start < (uint64_t)image_rodata)
        return PTE_PRESENT;
    if (start >= (uint64_t)image_rodata && start < (uint64_t)image_data)
        return PTE_PRESENT | PTE_NX;
    if (start >= ram_end)
        return PTE_PRESENT | PTE_WRITE | PTE_NX | PTE_UNCACHED;
    return PTE_PRESENT | PTE_WRITE | PTE_NX;
}

void mmu_init(void)
{
    uint64_t low_end = 0;

    for (unsigned i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *region = &boot_info.regions[i];

        if (region->ram && region->end > mmu_top)
            mmu_top = region->end;
        if (region->ram && region->end <= LOW_GIB * GIB && region->end > low_end)
            low_end = region->end;
    }
    if (mmu_top > (LOW_GIB + HIGH_GIB) * GIB)
        mmu_top = (LOW_GIB + HIGH_GIB) * GIB;
    /* Firmware tables lie just behind the RAM: keep that page cached too. */
    low_end = (low_end + 2 * LARGE - 1) & ~(LARGE - 1);

    for (uint64_t i = 0; i < LOW_GIB * 512; i++)
        boot_pd[i] = i * LARGE | mmu_low_rights(i * LARGE, low_end) | PTE_LARGE;
    for (uint64_t i = 1; i < 512; i++)
        mmu_low_pages[i] = i * PAGE | PTE_PRESENT | PTE_WRITE | PTE_NX;
    boot_pd[0] = (uint64_t)mmu_low_pages | PTE_PRESENT | PTE_WRITE;

    for (uint64_t gib = LOW_GIB; gib * GIB < mmu_top; gib++) {
        uint64_t *table = mmu_high_pd[gib - LOW_GIB];

        for (uint64_t i = 0; i < 512; i++)
            table[i] = (gib * GIB + i * LARGE) | PTE_PRESENT | PTE_WRITE | PTE_NX | PTE_LARGE;
        boot_pdpt[gib] = (uint64_t)table | PTE_PRESENT | PTE_WRITE;
    }
    mmu_reload();
}

void mmu_map_device(uint64_t start, uint64_t size)
{
    for (uint64_t at = start & ~(LARGE - 1); at < start + size; at += LARGE) {
        if (at < LOW_GIB * GIB)
            continue;

        uint64_t *pdpt = boot_pdpt;
        unsigned top = (unsigned)(at >> 39) & 511;

        if (top != 0) {
            if (mmu_device_top != 0 && mmu_device_top != top)
                panic("mmu: device registers too far apart");
            mmu_device_top = top;
            boot_pml4[top] = (uint64_t)mmu_device_pdpt | PTE_PRESENT | PTE_WRITE;
            pdpt = mmu_device_pdpt;
        }

        uint64_t *slot = &pdpt[(at >> 30) & 511];

        if (*slot == 0) {
            if (mmu_device_tables == DEVICE_TABLES)
                panic("mmu: too many device regions above 4 GiB");
            *slot = (uint64_t)mmu_device_pd[mmu_device_tables++] | PTE_PRESENT | PTE_WRITE;
        }

        uint64_t *table = (uint64_t *)(*slot & ~0xFFFull);

        table[(at >> 21) & 511] = at | PTE_PRESENT | PTE_WRITE | PTE_NX | PTE_UNCACHED | PTE_LARGE;
    }
    mmu_reload();
}

void mmu_guard_page(uint64_t page)
{
    uint64_t *table = (uint64_t *)(boot_pdpt[page / GIB] & ~0xFFFull);
    uint64_t *entry = &table[page / LARGE % 512];

    if (*entry & PTE_LARGE) {
        if (mmu_splits == SPLIT_TABLES)
            panic("mmu: guard pages too far apart");

        uint64_t *pages = mmu_split_pages[mmu_splits++];

        for (uint64_t i = 0; i < 512; i++)
            pages[i] = (*entry & ~PTE_LARGE) + i * PAGE;
        *entry = (uint64_t)pages | PTE_PRESENT | PTE_WRITE;
    }
    ((uint64_t *)(*entry & ~0xFFFull))[page / PAGE % 512] = 0;
    mmu_reload();
}

uint64_t mmu_ram_top(void)
{
    return mmu_top;
}
