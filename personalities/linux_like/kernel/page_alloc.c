/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical pages: a bump allocator while booting, then a buddy allocator with a small stack of single pages per vCPU. */
#include "defs.h"
#include "mm.h"
#include "pvh.h"

#define MAX_ORDER 10      /* blocks of up to 4 MiB */
#define PCP_HIGH 64
#define PCP_BATCH 16
#define MAX_RANGES 32
#define EARLY_LIMIT (1ul << 30)

struct range { u64 start, end; };
/* A free block's links lie in the block. */
struct free_block { struct list node; };

extern u8 _end[];
struct page *mem_map;
static struct range ram[MAX_RANGES], reserved[MAX_RANGES];
static u32 nr_ram, nr_reserved;
static u64 early_next;
static u64 ram_top;

static struct spinlock zone_lock;
static struct list free_lists[MAX_ORDER + 1];
static u64 zone_free, zone_total;

static struct pcp { u32 n; struct page *pages[PCP_HIGH]; } cacheline_aligned pcps[MAX_CPUS];

static void page_reserve(u64 start, u64 size)
{
    if (nr_reserved == MAX_RANGES)
        panic("page_alloc: too many reserved ranges");
    reserved[nr_reserved++] = (struct range){ ALIGN_DOWN(start, PAGE_SIZE), ALIGN_UP(start + size, PAGE_SIZE) };
}

/* Reads what the loader left; runs on the boot page tables, so below 1 GiB physical = virtual. */
void page_early_init(const struct hvm_start_info *si)
{
    const struct hvm_memmap_entry *map = (const void *)si->memmap_paddr;
    const struct hvm_modlist_entry *mods = (const void *)si->modlist_paddr;
    if (si->version < 1 || !si->memmap_entries)
        panic("page_alloc: the loader gave no memory map");
    for (u32 i = 0; i < si->memmap_entries; i++) {
        if (map[i].type != HVM_MEMMAP_RAM || nr_ram == MAX_RANGES)
            continue;
        struct range r = { ALIGN_UP(map[i].addr, PAGE_SIZE), ALIGN_DOWN(map[i].addr + map[i].size, PAGE_SIZE) };
        r.start = MAX(r.start, 1ul << 20);
        if (r.start >= r.end)
            continue;
        ram[nr_ram++] = r;
        ram_top = MAX(ram_top, r.end);
    }
    u64 kernel_end = ALIGN_UP((u64)_end - KERNEL_BASE, PAGE_SIZE);
    page_reserve(1ul << 20, kernel_end - (1ul << 20));
    early_next = kernel_end;
    for (u32 i = 0; i < si->nr_modules; i++)
        page_reserve(mods[i].paddr, mods[i].size);
    if (si->nr_modules) {
        boot_module.start = mods[0].paddr;
        boot_module.size = mods[0].size;
    }
}

u64 page_ram_top(void) { return ram_top; }

void *page_early_alloc(u64 size)
{
    size = ALIGN_UP(size, PAGE_SIZE);
    for (bool moved = true; moved;) { /* step over reserved ranges and holes until nothing moves us */
        moved = false;
        for (u32 i = 0; i < nr_reserved; i++)
            if (early_next < reserved[i].end && early_next + size > reserved[i].start)
                early_next = reserved[i].end, moved = true;
        bool inside = false;
        for (u32 i = 0; i < nr_ram; i++)
            inside |= early_next >= ram[i].start && early_next + size <= ram[i].end;
        if (!inside) {
            u64 next = ~0ul;
            for (u32 i = 0; i < nr_ram; i++)
                if (ram[i].start > early_next)
                    next = MIN(next, ram[i].start);
            if (next == ~0ul)
                panic("page_alloc: not enough memory to boot");
            early_next = next, moved = true;
        }
    }
    if (early_next + size > EARLY_LIMIT)
        panic("page_alloc: early memory beyond 1 GiB");
    void *p = (void *)(early_next + KERNEL_BASE);
    early_next += size;
    memset(p, 0, size);
    return p;
}

static void zone_free_block(struct page *p, u32 order)
{
    u64 pfn = (u64)(p - mem_map);
    for (; order < MAX_ORDER; order++) {
        u64 buddy = pfn ^ (1ul << order);
        struct page *b = &mem_map[buddy];
        if (((buddy + (1ul << order)) << PAGE_SHIFT) > ram_top || b->flags != PG_FREE || b->order != order)
            break;
        list_del(&((struct free_block *)page_va(b))->node);
        b->flags = 0;
        pfn &= ~(1ul << order);
    }
    p = &mem_map[pfn];
    p->order = (u8)order;
    p->flags = PG_FREE;
    list_add(&((struct free_block *)page_va(p))->node, &free_lists[order]);
}

static struct page *zone_take_block(u32 order)
{
    for (u32 o = order; o <= MAX_ORDER; o++) {
        if (list_empty(&free_lists[o]))
            continue;
        struct free_block *fb = list_first(&free_lists[o], struct free_block, node);
        list_del(&fb->node);
        struct page *p = va_page(fb);
        p->flags = 0;
        while (o > order) { /* give back upper halves */
            struct page *half = p + (1ul << --o);
            half->order = (u8)o;
            half->flags = PG_FREE;
            list_add(&((struct free_block *)page_va(half))->node, &free_lists[o]);
        }
        return p;
    }
    return NULL;
}

static void zone_add_range(u64 start, u64 end)
{
    for (u64 p = start; p < end;) {
        u32 order = MAX_ORDER;
        while ((p & ((PAGE_SIZE << order) - 1)) || p + (PAGE_SIZE << order) > end)
            order--;
        for (u64 i = 0; i < 1ul << order; i++)
            pa_page(p)[i].flags = 0;
        zone_free_block(pa_page(p), order);
        zone_free += 1ul << order;
        p += PAGE_SIZE << order;
    }
}

/* The linear map stands; mem_map was allocated (zeroed) by pgtable_init. */
void page_alloc_init(void)
{
    for (u32 i = 0; i <= MAX_ORDER; i++)
        list_init(&free_lists[i]);
    for (u64 p = 0; p < ram_top; p += PAGE_SIZE)
        pa_page(p)->flags = PG_RESERVED;
    /* What the bump allocator used is one span from the kernel's end to early_next, or beyond a hole. */
    page_reserve((u64)_end - KERNEL_BASE, early_next - ((u64)_end - KERNEL_BASE));
    for (u32 i = 0; i < nr_ram; i++) {
        for (u64 p = ram[i].start; p < ram[i].end;) {
            u64 end = ram[i].end;
            bool skip = false;
            for (u32 r = 0; r < nr_reserved; r++) {
                if (p >= reserved[r].start && p < reserved[r].end) {
                    p = reserved[r].end;
                    skip = true;
                    break;
                }
                if (reserved[r].start > p)
                    end = MIN(end, reserved[r].start);
            }
            if (skip)
                continue;
            zone_add_range(p, end);
            p = end;
        }
    }
    zone_total = zone_free;
}

u64 page_count_free(void)
{
    u64 n = READ_ONCE(zone_free);
    for (u32 i = 0; i < ncpus; i++)
        n += pcps[i].n;
    return n;
}
u64 page_count_total(void) { return zone_total; }

noinline static void page_refill(struct pcp *c)
{
    spin_lock(&zone_lock);
    for (struct page *p; c->n < PCP_BATCH && (p = zone_take_block(0)); zone_free--)
        c->pages[c->n++] = p;
    spin_unlock(&zone_lock);
}

noinline static void page_drain(struct pcp *c)
{
    spin_lock(&zone_lock);
    for (u32 i = 0; i < PCP_BATCH; i++, zone_free++)
        zone_free_block(c->pages[--c->n], 0);
    spin_unlock(&zone_lock);
}

struct page *page_alloc(u32 order)
{
    struct page *p = NULL;
    u64 f = irq_save();
    if (order == 0) {
        struct pcp *c = &pcps[cpu_id()];
        if (!c->n)
            page_refill(c);
        if (c->n)
            p = c->pages[--c->n];
    } else if (order <= MAX_ORDER) {
        spin_lock(&zone_lock);
        p = zone_take_block(order);
        if (p)
            zone_free -= 1ul << order;
        spin_unlock(&zone_lock);
    }
    irq_restore(f);
    if (p) {
        p->refs = 1;
        p->order = (u8)order;
        p->owner = NULL;
        if (knobs.init_on_alloc)
            memset(page_va(p), 0, PAGE_SIZE << order);
    }
    return p;
}

void page_free(struct page *p, u32 order)
{
    u64 f = irq_save();
    p->refs = 0;
    p->owner = NULL;
    if (order == 0) {
        struct pcp *c = &pcps[cpu_id()];
        if (c->n == PCP_HIGH)
            page_drain(c);
        c->pages[c->n++] = p;
    } else {
        spin_lock(&zone_lock);
        zone_free_block(p, order);
        zone_free += 1ul << order;
        spin_unlock(&zone_lock);
    }
    irq_restore(f);
}

void *page_alloc_zeroed(void)
{
    struct page *p = page_alloc(0);
    if (!p)
        return NULL;
    return knobs.init_on_alloc ? page_va(p) : memset(page_va(p), 0, PAGE_SIZE);
}

void page_put(struct page *p)
{
    if (atomic_sub(&p->refs, 1) == 0)
        page_free(p, 0);
}
