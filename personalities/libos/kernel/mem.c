/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The allocator: an Ebb whose representatives hold free lists by size class. A vCPU allocates and frees its own memory
 * without locks or atomic operations; memory that another vCPU owns goes back on that one's list of remote frees, which
 * the owner takes whole when its own list runs dry.
 */
#include "mem.h"
#include "ebb.h"
#include "page.h"

#define MEM_MIN_SHIFT 4
#define MEM_SMALL 256u                  /* classes every 16 bytes up to here, then four per doubling */
#define MEM_MAX_CLASS 16384u
#define MEM_CLASSES (16 + 24)

struct mem_object {
    struct mem_object *next;
};

struct mem_rep {
    struct mem_object *free[MEM_CLASSES];
    /* Written by other vCPUs: away from the lists above. */
    struct mem_object *remote[MEM_CLASSES] cacheline_aligned;
};

/* At the start of a 64 KiB chunk cut into objects: objects are thus never aligned to a chunk, and larger runs are. */
struct mem_chunk {
    struct mem_rep *owner;
    uint32_t class;
} cacheline_aligned;

static unsigned mem_class(size_t size)
{
    if (size <= MEM_SMALL)
        return size ? (unsigned)((size - 1) >> MEM_MIN_SHIFT) : 0;

    unsigned shift = 61 - (unsigned)__builtin_clzll(size - 1);   /* quarter of the power of two below */

    return 16 + (shift - 6) * 4 + (unsigned)(((size - 1) >> shift) & 3);
}

static size_t mem_class_size(unsigned class)
{
    if (class < 16)
        return (size_t)(class + 1) << MEM_MIN_SHIFT;

    unsigned shift = (class - 16) / 4 + 6;

    return (size_t)(5 + (class - 16) % 4) << shift;
}

static void *mem_miss(ebb_id id, void *root)
{
    (void)id;
    (void)root;
    return ebb_rep_memory(sizeof(struct mem_rep));
}

void mem_init(void)
{
    ebb_install(EBB_MEM, mem_miss, NULL);
}

/* The own list is empty: what others gave back, else a new chunk. */
static noinline struct mem_object *mem_refill(struct mem_rep *rep, unsigned class)
{
    struct mem_object *list = NULL;

    if (__atomic_load_n(&rep->remote[class], __ATOMIC_RELAXED))
        list = __atomic_exchange_n(&rep->remote[class], NULL, __ATOMIC_ACQUIRE);
    if (list == NULL) {
        struct mem_chunk *chunk = page_alloc(1);
        size_t size = mem_class_size(class);

        if (chunk == NULL)
            return NULL;
        chunk->owner = rep;
        chunk->class = class;
        for (size_t at = sizeof(*chunk); at + size <= PAGE_CHUNK; at += size) {
            struct mem_object *object = (struct mem_object *)((uint8_t *)chunk + at);

            object->next = list;
            list = object;
        }
    }
    rep->free[class] = list;
    return list;
}

void *mem_alloc(size_t size)
{
    if (unlikely(size > MEM_MAX_CLASS))
        return page_alloc((size + PAGE_CHUNK - 1) / PAGE_CHUNK);

    struct mem_rep *rep = ebb_rep(EBB_MEM);
    unsigned class = mem_class(size);
    struct mem_object *object = rep->free[class];

    if (unlikely(object == NULL)) {
        object = mem_refill(rep, class);
        if (object == NULL)
            return NULL;
    }
    rep->free[class] = object->next;
    return object;
}

void *mem_zalloc(size_t size)
{
    void *memory = mem_alloc(size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

static noinline void mem_free_remote(struct mem_chunk *chunk, struct mem_object *object)
{
    struct mem_object **head = &chunk->owner->remote[chunk->class];

    object->next = __atomic_load_n(head, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(head, &object->next, object, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

void mem_free(void *memory)
{
    if (memory == NULL)
        return;
    if (unlikely((uint64_t)memory % PAGE_CHUNK == 0)) {
        page_free(memory);
        return;
    }

    struct mem_chunk *chunk = (struct mem_chunk *)((uint64_t)memory & ~(PAGE_CHUNK - 1));
    struct mem_rep *rep = ebb_rep(EBB_MEM);
    struct mem_object *object = memory;

    if (unlikely(chunk->owner != rep)) {
        mem_free_remote(chunk, object);
        return;
    }
    object->next = rep->free[chunk->class];
    rep->free[chunk->class] = object;
}

size_t mem_free_bytes(void)
{
    return page_free_chunks() * PAGE_CHUNK;
}
