/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory: the map of the address space, pages, page tables, address spaces of processes. */
#pragma once
#include "lock.h"
#include "param.h"

/*
 *  0x0000000000000000  user
 *  0xffff888000000000  linear map of RAM (no-execute)
 *  0xffffc90000000000  devices (mm_map_device)
 *  0xffffffff80000000  the kernel image: text read-only, data no-execute
 */
#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ul
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define USER_TOP 0x7ffffffff000ul
#define LINEAR_BASE 0xffff888000000000ul
#define DEVICE_BASE 0xffffc90000000000ul
#define KERNEL_BASE 0xffffffff80000000ul

static inline void *va(u64 pa) { return (void *)(pa + LINEAR_BASE); }
static inline u64 pa(const void *p) { return (u64)p - LINEAR_BASE; }

#define PTE_P 1ul
#define PTE_W 2ul
#define PTE_U 4ul
#define PTE_PCD 0x10ul
#define PTE_PS 0x80ul
#define PTE_G 0x100ul
#define PTE_NX (1ul << 63)
#define PTE_ADDR 0x000ffffffffff000ul

/* One a physical page frame. */
struct page {
    u32 refs;
    u8 order;            /* of the block this page heads */
    u8 flags;
    u16 index;           /* of a slab's pages */
    void *owner;         /* the kmem_cache of a slab's pages */
};
#define PG_FREE 1        /* heads a free block of the buddy allocator */
#define PG_RESERVED 2    /* never was the allocator's */
extern struct page *mem_map;
static inline struct page *pa_page(u64 p) { return &mem_map[p >> PAGE_SHIFT]; }
static inline u64 page_pa(const struct page *p) { return (u64)(p - mem_map) << PAGE_SHIFT; }
static inline void *page_va(const struct page *p) { return va(page_pa(p)); }
static inline struct page *va_page(const void *p) { return pa_page(pa(p)); }

/* page_alloc.c. NULL when memory is out; pages are not cleared unless the name says so. */
struct hvm_start_info;
void page_early_init(const struct hvm_start_info *si);
void *page_early_alloc(u64 size);     /* cleared, page-aligned, reachable below 1 GiB */
void page_alloc_init(void);
u64 page_ram_top(void);
struct page *page_alloc(u32 order);
void page_free(struct page *p, u32 order);
void *page_alloc_zeroed(void);        /* linear address */
void page_put(struct page *p);        /* drops a reference of a user page */
static inline void page_get(struct page *p) { atomic_add(&p->refs, 1); }
u64 page_count_free(void);
u64 page_count_total(void);

/* slab.c */
struct kmem_cache;
#define SLAB_TYPESAFE 1               /* lockless readers may look at freed objects: memory is not cleared when it is taken */
struct kmem_cache *kmem_cache_create(const char *name, u32 size, u32 flags);
const char *slab_check_range(const void *p, u64 n); /* NULL, or the cache of which one object does not hold all of it */
void *kmem_cache_alloc(struct kmem_cache *c);
void kmem_cache_free(struct kmem_cache *c, void *obj);
void *kmalloc(u64 size);
void *kzalloc(u64 size);
void kfree(const void *p);
void slab_init(void);
void vma_init(void);

/* pgtable.c */
extern u64 kernel_pml4[512];
void pgtable_init(void);
void *mm_map_device(u64 phys, u64 size);
u64 *pgtable_walk(u64 *pml4, u64 addr, bool create);
u64 *pgtable_new(void);
void pgtable_delete(u64 *pml4);
void pgtable_free_user(u64 *pml4);

/* mmap.c */
struct file;
struct shm { u32 refs; struct spinlock lock; u64 npages; struct page *pages[]; };
struct vma {
    u64 start, end;
    u32 prot;            /* PROT_* */
    bool shared;
    struct file *file;   /* private file mapping, or NULL */
    u64 offset;          /* into file or shm, bytes */
    struct shm *shm;     /* shared anonymous memory, or NULL */
    struct vma *next;    /* by address */
};
struct span { u64 start, end; };
struct mm {
    u64 *pml4;
    u32 users;           /* tasks that live here: the mappings' lifetime */
    u32 refs;            /* users (together one) and vCPUs that still have it in CR3: the tables' lifetime */
    u32 cpu_mask;        /* vCPUs that have it in CR3 */
    u64 pool_at;         /* where it maps the packet pool, 0: nowhere */
    u64 tlb_gen;         /* flushes asked for so far, tlb.c */
    struct rwsem lock;   /* the vma list */
    struct spinlock table_lock; /* the page tables' contents */
    struct vma *vmas;
    u64 brk_start, brk;
    struct span args, env; /* where execve put them */
};
struct mm *mm_create(void);
struct mm *mm_fork(struct mm *from);
void mm_leave(struct mm *mm);         /* one user less */
void mm_put(struct mm *mm);
void mm_switch(struct cpu *c, struct mm *next);
struct vma *mm_find_vma(struct mm *mm, u64 addr); /* the first that ends above addr */
long mm_map_pages(struct mm *mm, struct page *first, u64 n, u32 prot);
long mm_map(struct mm *mm, u64 addr, u64 len, u32 prot, u32 flags, struct file *f, u64 offset);
long mm_unmap(struct mm *mm, u64 addr, u64 len);
bool mm_fault(struct mm *mm, u64 addr, bool write, bool exec); /* false: not mapped so */
/* mm_info.c; counts in pages */
struct mm_counts { u64 mapped, resident, shared, data, stack, code_start, code_end; struct span args, env; };
struct mm_counts mm_count(struct mm *mm);
u64 mm_read(struct mm *mm, u64 addr, void *dst, u64 n);
bool mm_mapped(struct mm *mm, u64 addr);

void mm_enter_lazy(struct cpu *c);
void mm_flush_range(struct mm *mm, u64 start, u64 end);
void mm_flush_tables(struct mm *mm);
void mm_flush_ipi(void);

/* uaccess.c and copy.S. Sizes in bytes; "not copied" is 0 on success. */
u64 copy_from_user(void *dst, u64 src, u64 n);
u64 copy_to_user(u64 dst, const void *src, u64 n);
u64 copy_clear_user(u64 dst, u64 n);
long copy_string_from_user(char *dst, u64 src, u64 n); /* length, -EFAULT, -ENAMETOOLONG */
int get_user32(u32 *v, u64 src);
int put_user32(u64 dst, u32 v);
int get_user64(u64 *v, u64 src);
int put_user64(u64 dst, u64 v);
u64 copy_user(void *dst, const void *src, u64 n);
