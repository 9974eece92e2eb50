/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ebbs (elastic building blocks): an object named by a 32-bit id, with a representative per vCPU. The id indexes a
 * translation table in each vCPU's control block; an empty slot is a fault, and the Ebb's miss function makes the
 * representative of that vCPU. From then on a call costs a load and a comparison.
 */
#include "ebb.h"
#include "page.h"

struct ebb_entry {
    ebb_miss_fn miss;
    void *root;
};

_Static_assert(offsetof(struct cpu, ebb_table) == 0, "EBB_SLOT counts on it");

static struct ebb_entry ebb_entries[EBB_MAX];
static ebb_id ebb_next;
static struct spinlock ebb_lock;
static uint8_t *ebb_memory;
static size_t ebb_memory_left;
static struct spinlock ebb_memory_lock;

void ebb_init(void)
{
    ebb_next = EBB_FIRST_FREE;
}

void *ebb_rep_memory(size_t size)
{
    uint8_t *memory;

    size = (size + 63) & ~(size_t)63;
    spin_lock(&ebb_memory_lock);
    if (ebb_memory_left < size) {
        size_t chunks = (size + PAGE_CHUNK - 1) / PAGE_CHUNK;

        ebb_memory = page_alloc(chunks);
        if (ebb_memory == NULL)
            panic("ebb: no memory for a representative of %zu bytes", size);
        ebb_memory_left = chunks * PAGE_CHUNK;
        memset(ebb_memory, 0, ebb_memory_left);
    }
    memory = ebb_memory;
    ebb_memory += size;
    ebb_memory_left -= size;
    spin_unlock(&ebb_memory_lock);
    return memory;
}

void ebb_install(ebb_id id, ebb_miss_fn miss, void *root)
{
    if (id == EBB_NONE || id >= EBB_MAX || ebb_entries[id].miss != NULL)
        panic("ebb: id %u cannot be installed", id);
    ebb_entries[id].root = root;
    __atomic_store_n(&ebb_entries[id].miss, miss, __ATOMIC_RELEASE);
}

ebb_id ebb_create(ebb_miss_fn miss, void *root)
{
    spin_lock(&ebb_lock);

    ebb_id id = ebb_next++;

    spin_unlock(&ebb_lock);
    ebb_install(id, miss, root);
    return id;
}

static void *ebb_shared_miss(ebb_id id, void *root)
{
    (void)id;
    return root;
}

ebb_id ebb_create_shared(void *object)
{
    return ebb_create(ebb_shared_miss, object);
}

void *ebb_fault(ebb_id id)
{
    ebb_miss_fn miss = id < EBB_MAX ? __atomic_load_n(&ebb_entries[id].miss, __ATOMIC_ACQUIRE) : NULL;

    if (miss == NULL)
        panic("ebb: call through id %u, which names nothing", id);

    void *rep = miss(id, ebb_entries[id].root);

    if (rep == NULL)
        panic("ebb: id %u has no representative for vCPU %u", id, cpu_id());
    __atomic_store_n(&this_cpu()->ebb_table[id], rep, __ATOMIC_RELEASE);
    return rep;
}

void *ebb_peek(ebb_id id, unsigned cpu)
{
    return __atomic_load_n(&cpu_table[cpu]->ebb_table[id], __ATOMIC_ACQUIRE);
}
