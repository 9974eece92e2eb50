/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The windows' page tables, made as pages are put there and never taken away. Physical addresses are virtual ones, so a page's frame is reachable whatever the window says. */
#include "window_native.h"
#include "cpu.h"
#include "page.h"

#define PTE_PRESENT 1ull
#define PTE_WRITE 2ull
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000FFFFFFFFFF000ull

extern uint64_t boot_pml4[512];

static struct spinlock window_lock;
static uint8_t *window_chunk;
static uint32_t window_left;

/* Zeroed, and never given back; NULL when memory is exhausted. With the lock. */
static void *window_frame_locked(void)
{
    if (window_left == 0) {
        window_chunk = page_alloc(1);
        if (window_chunk == NULL)
            return NULL;
        window_left = PAGE_CHUNK / WINDOW_PAGE;
    }

    void *frame = window_chunk;

    window_chunk += WINDOW_PAGE;
    window_left--;
    memset(frame, 0, WINDOW_PAGE);
    return frame;
}

void *window_frame(void)
{
    spin_lock(&window_lock);

    void *frame = window_frame_locked();

    spin_unlock(&window_lock);
    return frame;
}

/* The entry of a page, with all tables above it. */
static uint64_t *window_entry(uint64_t at)
{
    uint64_t *table = boot_pml4;

    spin_lock(&window_lock);
    for (unsigned shift = 39; table && shift > 12; shift -= 9) {
        uint64_t *slot = &table[at >> shift & 511];

        if (*slot == 0) {
            void *below = window_frame_locked();

            if (below)
                __atomic_store_n(slot, (uint64_t)below | PTE_PRESENT | PTE_WRITE, __ATOMIC_RELEASE);
        }
        table = (uint64_t *)(*slot & PTE_ADDRESS);
    }
    spin_unlock(&window_lock);
    return table ? &table[at >> 12 & 511] : NULL;
}

bool window_map(uint64_t at, void *frame, enum window_rights rights)
{
    uint64_t *entry = window_entry(at);
    uint64_t bits = rights == WINDOW_NONE ? 0 : rights == WINDOW_READ ? PTE_PRESENT : PTE_PRESENT | PTE_WRITE;

    if (entry == NULL)
        return false;
    __atomic_store_n(entry, (uint64_t)frame | bits | PTE_NX, __ATOMIC_RELEASE);
    window_forget(at);
    return true;
}

void window_forget(uint64_t at)
{
    __asm__ volatile("invlpg (%0)" : : "r"(at) : "memory");
}

bool window_stack(uint32_t number)
{
    uint8_t *memory = page_alloc(WINDOW_STACK / PAGE_CHUNK);
    uint64_t at = WINDOW_STACKS + number * WINDOW_STACK;

    for (uint64_t page = WINDOW_PAGE; memory && page < WINDOW_STACK; page += WINDOW_PAGE)
        if (!window_map(at + page, memory + page, WINDOW_WRITE)) {
            page_free(memory);
            memory = NULL;
        }
    return memory != NULL;
}
