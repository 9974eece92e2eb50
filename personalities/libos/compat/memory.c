/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmap, brk and their kin. Memory is given when it is asked for, in chunks of 64 KiB where virtual is physical: nothing is
 * reserved without being there, and nothing faults in later.
 */
#include "compat.h"
#include "../kernel/page.h"

#define LINUX_MAP_FIXED 0x10u
#define LINUX_MAP_ANONYMOUS 0x20u
#define LINUX_MADV_DONTNEED 4
#define MEMORY_MAPPINGS 1024u

/* What one mmap gave; given back when nothing of it is left. */
struct memory_mapping {
    uint64_t start, bytes, left;
};

static struct memory_mapping memory_mappings[MEMORY_MAPPINGS];
static struct spinlock memory_lock;
static uint64_t memory_break, memory_break_start, memory_break_end;

int64_t linux_mmap(uint64_t where, uint64_t bytes, uint64_t rights, uint64_t flags, uint64_t fd, uint64_t offset);
int64_t linux_munmap(uint64_t start, uint64_t bytes);
int64_t linux_mprotect(uint64_t start, uint64_t bytes, uint64_t rights);
int64_t linux_brk(uint64_t to);
int64_t linux_madvise(uint64_t start, uint64_t bytes, uint64_t advice);
int64_t linux_mremap(uint64_t start, uint64_t bytes, uint64_t wanted, uint64_t flags, uint64_t where);

void memory_init(uint64_t break_start, uint64_t break_end)
{
    memory_break = memory_break_start = break_start;
    memory_break_end = break_end;
}

static struct memory_mapping *memory_find(uint64_t start, uint64_t bytes)
{
    for (unsigned i = 0; i < MEMORY_MAPPINGS; i++) {
        struct memory_mapping *mapping = &memory_mappings[i];

        if (mapping->bytes && start >= mapping->start && start - mapping->start <= mapping->bytes &&
            bytes <= mapping->bytes - (start - mapping->start))
            return mapping;
    }
    return NULL;
}

static struct memory_mapping *memory_slot(void)
{
    for (unsigned i = 0; i < MEMORY_MAPPINGS; i++)
        if (memory_mappings[i].bytes == 0)
            return &memory_mappings[i];
    return NULL;
}

void *memory_map(uint64_t bytes)
{
    void *memory = NULL;

    bytes = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    spin_lock(&memory_lock);

    struct memory_mapping *mapping = memory_slot();

    if (mapping && (memory = page_alloc((bytes + PAGE_CHUNK - 1) / PAGE_CHUNK)))
        *mapping = (struct memory_mapping){ (uint64_t)memory, bytes, bytes };
    spin_unlock(&memory_lock);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

static bool memory_is_range(uint64_t start, uint64_t bytes)
{
    return start % PAGE_BYTES == 0 && bytes != 0 && bytes <= UINT64_MAX - PAGE_BYTES - start;
}

/* Of what is mapped already, as thread libraries do with their stacks' guard pages: fresh zeroes, or nothing. */
static int64_t memory_map_again(uint64_t start, uint64_t bytes, unsigned rights)
{
    bool there = memory_is_range(start, bytes);

    bytes = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    spin_lock(&memory_lock);
    there = there && memory_find(start, bytes);
    spin_unlock(&memory_lock);
    if (!there) {
        linux_say_once(5, "linux: mmap at the fixed address %lx, where nothing is mapped, is not there\n", start);
        return -LINUX_ENOMEM;
    }
    if (!protect_pages(start, start + bytes, RIGHT_READ | RIGHT_WRITE))
        return -LINUX_ENOMEM;
    memset((void *)start, 0, bytes);
    return protect_pages(start, start + bytes, rights) ? (int64_t)start : -LINUX_ENOMEM;
}

int64_t linux_mmap(uint64_t where, uint64_t bytes, uint64_t rights, uint64_t flags, uint64_t fd, uint64_t offset)
{
    (void)fd;
    (void)offset;
    if (bytes == 0)
        return -LINUX_EINVAL;
    if (!(flags & LINUX_MAP_ANONYMOUS)) {
        linux_say_once(6, "linux: mmap of files is not there (flags %lx)\n", flags);
        return -LINUX_ENOSYS;
    }
    if (bytes > mem_free_bytes())
        return -LINUX_ENOMEM;
    if (flags & LINUX_MAP_FIXED)
        return memory_map_again(where, bytes, rights & 7);

    void *memory = memory_map(bytes);

    if (memory == NULL)
        return -LINUX_ENOMEM;
    if ((rights & 7) != (RIGHT_READ | RIGHT_WRITE) && !protect_pages((uint64_t)memory, (uint64_t)memory + bytes, rights & 7))
        return -LINUX_ENOMEM;
    return (int64_t)memory;
}

int64_t linux_munmap(uint64_t start, uint64_t bytes)
{
    void *gone = NULL;
    bool found = false;

    if (!memory_is_range(start, bytes))
        return -LINUX_EINVAL;
    bytes = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    spin_lock(&memory_lock);

    struct memory_mapping *mapping = memory_find(start, bytes);

    if (mapping) {
        found = true;
        mapping->left -= bytes < mapping->left ? bytes : mapping->left;
        if (mapping->left == 0) {
            /* What comes next may be anybody's: readable and writable again. */
            if (protect_pages(mapping->start, mapping->start + mapping->bytes, RIGHT_READ | RIGHT_WRITE))
                gone = (void *)mapping->start;
            mapping->bytes = 0;
        }
    }
    spin_unlock(&memory_lock);
    if (gone)
        page_free(gone);
    if (!found)
        linux_say_once(7, "linux: munmap at %lx is of no one mapping; nothing was unmapped\n", start);
    return 0;
}

int64_t linux_mprotect(uint64_t start, uint64_t bytes, uint64_t rights)
{
    if (start % PAGE_BYTES)
        return -LINUX_EINVAL;
    if (bytes == 0)
        return 0;
    bytes = (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    spin_lock(&memory_lock);

    bool ours = memory_find(start, bytes) || (start < memory_break_end && bytes <= memory_break_end - start);

    spin_unlock(&memory_lock);
    if (!ours)
        return -LINUX_ENOMEM;
    return protect_pages(start, start + bytes, rights & 7) ? 0 : -LINUX_ENOMEM;
}

int64_t linux_brk(uint64_t to)
{
    spin_lock(&memory_lock);
    if (to >= memory_break_start && to <= memory_break_end) {
        if (to > memory_break)
            memset((void *)memory_break, 0, to - memory_break);
        memory_break = to;
    }

    int64_t now = (int64_t)memory_break;

    spin_unlock(&memory_lock);
    return now;
}

/* Advice. MADV_DONTNEED, which promises zeroes, gives them where the program may write (stacks' guard pages are in its ranges). */
int64_t linux_madvise(uint64_t start, uint64_t bytes, uint64_t advice)
{
    if (advice != LINUX_MADV_DONTNEED)
        return 0;
    if (!memory_is_range(start, bytes))
        return -LINUX_EINVAL;
    spin_lock(&memory_lock);

    bool ours = memory_find(start, bytes);

    spin_unlock(&memory_lock);
    if (!ours)
        return -LINUX_ENOMEM;
    for (uint64_t page = start; page < start + bytes; page += PAGE_BYTES)
        if (protect_is_writable(page))
            memset((void *)page, 0, PAGE_BYTES);
    return 0;
}

/* Callers take the refusal and copy. */
int64_t linux_mremap(uint64_t start, uint64_t bytes, uint64_t wanted, uint64_t flags, uint64_t where)
{
    (void)start;
    (void)flags;
    (void)where;
    return wanted <= bytes ? (int64_t)start : -LINUX_ENOMEM;
}
