/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page tables: the kernel's own, shared by all address spaces, and the walk of a process's. */
#include "defs.h"
#include "mm.h"

#define HUGE (2ul << 20)

extern u8 _text[], _rodata[], _data[], _end[], _entry_data[], _entry_data_end[];
u64 kernel_pml4[512] __attribute__((aligned(4096)));
static u64 isolated_top;                /* the last top-level entry of the tables that programs run on */
static u64 device_next = DEVICE_BASE;
static struct spinlock device_lock;

/* Early tables come from the bump allocator and are reached through the image's mapping. */
static u64 *early_table(u64 *entry)
{
    if (!(*entry & PTE_P))
        *entry = ((u64)page_early_alloc(PAGE_SIZE) - KERNEL_BASE) | PTE_P | PTE_W;
    return (u64 *)((*entry & PTE_ADDR) + KERNEL_BASE);
}

static u64 *early_pd(u64 addr)
{
    u64 *pdpt = early_table(&kernel_pml4[addr >> 39 & 511]);
    return early_table(&pdpt[addr >> 30 & 511]);
}

static void map_image(u64 *pml4, const u8 *from, const u8 *to, u64 flags)
{
    for (u64 a = (u64)from; a < (u64)to; a += PAGE_SIZE) {
        u64 *pdpt = early_table(&pml4[a >> 39 & 511]), *pd = early_table(&pdpt[a >> 30 & 511]), *pt = early_table(&pd[a >> 21 & 511]);
        pt[a >> 12 & 511] = (a - KERNEL_BASE) | PTE_P | flags;
    }
}

/*
 * Page-table isolation: what programs' tables hold of the kernel. Its code, which is no secret, and what is needed to come and go. Code alone may
 * outlive a CR3 write, as it is the same in both; there are no PCIDs.
 */
static void pgtable_isolate(void)
{
    u64 *pml4 = page_early_alloc(PAGE_SIZE);
    map_image(pml4, _text, _rodata, PTE_G);
    map_image(pml4, _entry_data, _entry_data_end, PTE_W | PTE_NX);
    isolated_top = pml4[511];
}

/* Entries that outlive a CR3 write, of kernel data: none where a program must not reach them. */
static u64 data_global(void) { return mitigations.pti ? 0 : PTE_G; }

/* Builds the final kernel tables and moves onto them. */
void pgtable_init(void)
{
    u64 top = ALIGN_UP(page_ram_top(), HUGE);
    for (u64 p = 0; p < top; p += HUGE)
        early_pd(LINEAR_BASE + p)[p >> 21 & 511] = p | PTE_P | PTE_W | PTE_PS | PTE_NX | data_global();
    map_image(kernel_pml4, _text, _rodata, PTE_G);
    map_image(kernel_pml4, _rodata, _data, PTE_NX | data_global());
    map_image(kernel_pml4, _data, _end, PTE_W | PTE_NX | data_global());
    if (mitigations.pti)
        pgtable_isolate();
    early_pd(DEVICE_BASE); /* so that its top-level entry is in every address space */
    mem_map = page_early_alloc((page_ram_top() >> PAGE_SHIFT) * sizeof(struct page));
    mem_map = va((u64)mem_map - KERNEL_BASE);
    write_cr3((u64)kernel_pml4 - KERNEL_BASE);
}

/* The entry for addr's 4 KiB page; create: with tables as needed, NULL if memory is out. */
u64 *pgtable_walk(u64 *pml4, u64 addr, bool create)
{
    u64 *table = pml4;
    for (int shift = 39; shift > 12; shift -= 9) {
        u64 *e = &table[addr >> shift & 511];
        if (!(*e & PTE_P)) {
            u64 *next = create ? page_alloc_zeroed() : NULL;
            if (!next)
                return NULL;
            *e = pa(next) | PTE_P | PTE_W | PTE_U;
            if (shift == 39 && isolated_top && pml4 != kernel_pml4) {
                pml4[512 + (addr >> 39)] = *e;
                *e |= PTE_NX; /* a program that came to run on the kernel's tables would not get far */
            }
        }
        table = va(*e & PTE_ADDR);
    }
    return &table[addr >> 12 & 511];
}

/* Uncached, no-execute, for good. */
void *mm_map_device(u64 phys, u64 size)
{
    u64 first = ALIGN_DOWN(phys, PAGE_SIZE), n = ALIGN_UP(phys + size, PAGE_SIZE) - first;
    u64 f = spin_lock_irqsave(&device_lock);
    u64 at = device_next;
    device_next += n;
    for (u64 off = 0; off < n; off += PAGE_SIZE) {
        u64 *pte = pgtable_walk(kernel_pml4, at + off, true);
        if (!pte)
            panic("pgtable: no memory to map a device");
        *pte = (first + off) | PTE_P | PTE_W | PTE_PCD | PTE_NX | data_global();
    }
    spin_unlock_irqrestore(&device_lock, f);
    return (void *)(at + (phys - first));
}

/* With page-table isolation two tables side by side: the kernel's view of a process, and the one it runs on. */
u64 *pgtable_new(void)
{
    struct page *p = page_alloc(isolated_top ? 1 : 0);
    if (!p)
        return NULL;
    u64 *pml4 = page_va(p);
    memset(pml4, 0, PAGE_SIZE / 2);
    memcpy(pml4 + 256, kernel_pml4 + 256, PAGE_SIZE / 2);
    if (isolated_top) {
        memset(pml4 + 512, 0, PAGE_SIZE);
        pml4[512 + 511] = isolated_top;
    }
    return pml4;
}

void pgtable_delete(u64 *pml4) { page_free(va_page(pml4), isolated_top ? 1 : 0); }

static void free_level(u64 *table, int level)
{
    u32 n = level == 4 ? 256 : 512; /* the upper half is the kernel's */
    for (u32 i = 0; level > 1 && i < n; i++)
        if (table[i] & PTE_P)
            free_level(va(table[i] & PTE_ADDR), level - 1);
    if (level < 4)
        page_free(va_page(table), 0);
    else
        memset(table, 0, PAGE_SIZE / 2);
    if (level == 4 && isolated_top)
        memset(table + 512, 0, PAGE_SIZE / 2);
}

/* Frees the tables of the lower half; the pages they pointed to are gone already. */
void pgtable_free_user(u64 *pml4) { free_level(pml4, 4); }
