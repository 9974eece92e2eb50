/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects of one size from slabs of pages, with a stack of free objects per vCPU in front. Slabs are never given back,
 * so a cache's memory stays of its type: lockless readers may look at a freed object, and find an object of that type.
 */
#include "defs.h"
#include "mm.h"

#define SLAB_STACK 64
#define SLAB_BATCH 32
#define KMALLOC_MAX 4096

struct kmem_cache {
    const char *name;
    u32 size, order;
    bool clear;             /* objects when they are taken: init_on_alloc */
    struct { u32 n; void *obj[SLAB_STACK]; } cacheline_aligned cpu[MAX_CPUS];
    struct spinlock lock cacheline_aligned;
    void *free;             /* first word of a shared free object: the next */
};

static const u16 kmalloc_sizes[] = { 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096 };
static struct kmem_cache *kmalloc_caches[ARRAY_SIZE(kmalloc_sizes)];
static u8 kmalloc_index[KMALLOC_MAX / 32 + 1];

struct kmem_cache *kmem_cache_create(const char *name, u32 size, u32 flags)
{
    u32 order = 0;
    while ((PAGE_SIZE << order) < sizeof(struct kmem_cache))
        order++;
    struct page *p = page_alloc(order);
    if (!p)
        panic("slab: no memory for cache %s", name);
    struct kmem_cache *c = memset(page_va(p), 0, sizeof *c);
    c->name = name;
    c->clear = knobs.init_on_alloc && !(flags & SLAB_TYPESAFE);
    c->size = size < 64 ? ALIGN_UP(size, 32u) : ALIGN_UP(size, 64u);
    if (size == 96)
        c->size = 96;
    while ((PAGE_SIZE << c->order) / c->size < 8)
        c->order++;
    return c;
}

static void *object_link(struct kmem_cache *c, void *obj) { return (u8 *)obj + c->size - sizeof(void *); }

/* A new slab's objects onto the shared list. The link is an object's last word: first words hold lookup chains. */
static bool slab_grow(struct kmem_cache *c)
{
    struct page *p = page_alloc(c->order);
    if (!p)
        return false;
    for (u32 i = 0; i < 1u << c->order; i++) {
        p[i].owner = c;
        p[i].index = (u16)i;
    }
    u8 *base = page_va(p);
    memset(base, 0, PAGE_SIZE << c->order);
    for (u64 off = (PAGE_SIZE << c->order) / c->size * c->size; off >= c->size;) {
        off -= c->size;
        *(void **)object_link(c, base + off) = c->free;
        c->free = base + off;
    }
    return true;
}

noinline static void slab_refill(struct kmem_cache *c, u32 cpu)
{
    spin_lock(&c->lock);
    while (c->cpu[cpu].n < SLAB_BATCH) {
        if (!c->free && !slab_grow(c))
            break;
        void *obj = c->free;
        c->free = *(void **)object_link(c, obj);
        c->cpu[cpu].obj[c->cpu[cpu].n++] = obj;
    }
    spin_unlock(&c->lock);
}

noinline static void slab_flush(struct kmem_cache *c, u32 cpu)
{
    spin_lock(&c->lock);
    for (u32 i = 0; i < SLAB_BATCH; i++) {
        void *obj = c->cpu[cpu].obj[--c->cpu[cpu].n];
        *(void **)object_link(c, obj) = c->free;
        c->free = obj;
    }
    spin_unlock(&c->lock);
}

void *kmem_cache_alloc(struct kmem_cache *c)
{
    void *obj = NULL;
    u64 f = irq_save();
    u32 cpu = cpu_id();
    if (unlikely(!c->cpu[cpu].n))
        slab_refill(c, cpu);
    if (likely(c->cpu[cpu].n))
        obj = c->cpu[cpu].obj[--c->cpu[cpu].n];
    irq_restore(f);
    if (obj && c->clear)
        memset(obj, 0, c->size);
    return obj;
}

void kmem_cache_free(struct kmem_cache *c, void *obj)
{
    u64 f = irq_save();
    u32 cpu = cpu_id();
    if (unlikely(c->cpu[cpu].n == SLAB_STACK))
        slab_flush(c, cpu);
    c->cpu[cpu].obj[c->cpu[cpu].n++] = obj;
    irq_restore(f);
}

void *kmalloc(u64 size)
{
    if (size <= KMALLOC_MAX)
        return kmem_cache_alloc(kmalloc_caches[kmalloc_index[(size + 31) / 32]]);
    u32 order = 0;
    while ((PAGE_SIZE << order) < size)
        order++;
    struct page *p = page_alloc(order);
    return p ? page_va(p) : NULL;
}

void *kzalloc(u64 size)
{
    void *p = kmalloc(size);
    return p && !knobs.init_on_alloc ? memset(p, 0, size) : p;
}

void kfree(const void *p)
{
    if (!p)
        return;
    struct page *page = va_page(p);
    if (page->owner)
        kmem_cache_free(page->owner, (void *)p);
    else
        page_free(page, page->order);
}

const char *slab_check_range(const void *p, u64 n)
{
    const struct page *page = va_page(p);
    const struct kmem_cache *c = page->owner;
    if (!c)
        return NULL;
    u64 at = (u64)((const u8 *)p - (const u8 *)page_va(page - page->index)) % c->size;
    return n <= c->size - at ? NULL : c->name;
}

void slab_init(void)
{
    u32 i = 0;
    for (u32 k = 0; k < ARRAY_SIZE(kmalloc_sizes); k++) {
        kmalloc_caches[k] = kmem_cache_create("kmalloc", kmalloc_sizes[k], 0);
        for (; i <= kmalloc_sizes[k] / 32u; i++)
            kmalloc_index[i] = (u8)k;
    }
}
