/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs of 64 KiB chunks, first fit from where the last search ended, under one lock. Off every fast path: the per-vCPU
 * allocators come here for whole chunks only.
 */
#include "page.h"
#include "boot.h"
#include "cpu.h"
#include "mmu.h"

#define CHUNK_FREE 0u
#define CHUNK_RESERVED 0xFFFFFFFFu
#define CHUNK_INSIDE 0xFFFFFFFEu        /* of a run; the run's first chunk holds its length */

extern uint8_t image_text[], image_end[];

static struct spinlock page_lock;
static uint32_t *page_runs;
static size_t page_count;
static size_t page_cursor;
static size_t page_free_count;

static uint64_t page_round_up(uint64_t address)
{
    return (address + PAGE_CHUNK - 1) & ~(PAGE_CHUNK - 1);
}

/* What of a region is ours: whole chunks behind the image. Below it lie firmware and boot data. */
static bool page_usable(const struct boot_region *region, uint64_t *first, uint64_t *last)
{
    uint64_t start = region->start, end = region->end;

    if (start < (uint64_t)image_end)
        start = (uint64_t)image_end;
    if (end > mmu_ram_top())
        end = mmu_ram_top();
    *first = page_round_up(start) / PAGE_CHUNK;
    *last = end / PAGE_CHUNK;
    return region->ram && *first < *last;
}

static void page_forget_reserved(void)
{
    for (unsigned i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *region = &boot_info.regions[i];

        if (region->ram)
            continue;

        uint64_t chunk = region->start / PAGE_CHUNK;

        for (; chunk < page_count && chunk * PAGE_CHUNK < region->end; chunk++)
            page_runs[chunk] = CHUNK_RESERVED;
    }
}

void page_init(void)
{
    uint64_t first, last;
    size_t table_chunks = 0;

    page_count = mmu_ram_top() / PAGE_CHUNK;
    table_chunks = page_round_up(page_count * sizeof(uint32_t)) / PAGE_CHUNK;
    for (unsigned i = 0; i < boot_info.region_count; i++)
        if (page_usable(&boot_info.regions[i], &first, &last) && last - first > table_chunks) {
            page_runs = (uint32_t *)(first * PAGE_CHUNK);
            break;
        }
    if (page_runs == NULL)
        panic("page: no memory behind the image");
    for (size_t i = 0; i < page_count; i++)
        page_runs[i] = CHUNK_RESERVED;
    for (unsigned i = 0; i < boot_info.region_count; i++)
        if (page_usable(&boot_info.regions[i], &first, &last))
            for (uint64_t chunk = first; chunk < last; chunk++)
                page_runs[chunk] = CHUNK_FREE;
    page_forget_reserved();

    uint64_t table = (uint64_t)page_runs / PAGE_CHUNK;

    for (size_t i = 0; i < table_chunks; i++)
        page_runs[table + i] = CHUNK_RESERVED;
    for (size_t i = 0; i < page_count; i++)
        page_free_count += page_runs[i] == CHUNK_FREE;
}

static size_t page_search(size_t from, size_t to, size_t chunks)
{
    size_t length = 0;

    for (size_t i = from; i < to; i++) {
        length = page_runs[i] == CHUNK_FREE ? length + 1 : 0;
        if (length == chunks)
            return i + 1 - chunks;
    }
    return 0;       /* chunk 0 is never ours */
}

static void *page_take(size_t found, size_t chunks)
{
    if (found == 0)
        return NULL;
    page_runs[found] = (uint32_t)chunks;
    for (size_t i = 1; i < chunks; i++)
        page_runs[found + i] = CHUNK_INSIDE;
    page_free_count -= chunks;
    return (void *)(found * PAGE_CHUNK);
}

void *page_alloc(size_t chunks)
{
    if (chunks == 0 || chunks > page_count)
        return NULL;
    spin_lock(&page_lock);

    size_t found = page_search(page_cursor, page_count, chunks);

    if (found == 0)
        found = page_search(0, page_count, chunks);

    void *memory = page_take(found, chunks);

    if (memory)
        page_cursor = found + chunks;
    spin_unlock(&page_lock);
    return memory;
}

void *page_alloc_top(size_t chunks)
{
    if (chunks == 0 || chunks > page_count)
        return NULL;
    spin_lock(&page_lock);

    size_t at = page_count - chunks;

    while (at && page_search(at, at + chunks, chunks) == 0)
        at--;

    void *memory = page_take(at, chunks);

    spin_unlock(&page_lock);
    return memory;
}

void page_free(void *memory)
{
    size_t first = (uint64_t)memory / PAGE_CHUNK;

    spin_lock(&page_lock);
    if ((uint64_t)memory % PAGE_CHUNK || first >= page_count || page_runs[first] == CHUNK_FREE ||
        page_runs[first] >= CHUNK_INSIDE)
        panic("page: free of %p, which is no allocation", memory);

    size_t chunks = page_runs[first];

    for (size_t i = 0; i < chunks; i++)
        page_runs[first + i] = CHUNK_FREE;
    page_free_count += chunks;
    spin_unlock(&page_lock);
}

size_t page_free_chunks(void)
{
    return __atomic_load_n(&page_free_count, __ATOMIC_RELAXED);
}
