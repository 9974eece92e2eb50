/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address spaces: the sorted list of mappings, and mmap, munmap, mprotect, brk on it. */
#include "defs.h"
#include "fs.h"
#include "net.h"
#include "task.h"
#include "vma.h"

#define MMAP_TOP (USER_TOP - USER_STACK_SIZE - (1ul << 20)) /* a gap below the stack catches its overflow */
#define MMAP_BOTTOM 0x10000ul
#define UNMAP_BATCH 64

static struct kmem_cache *vma_cache;

void vma_init(void) { vma_cache = kmem_cache_create("vma", sizeof(struct vma), 0); }

struct vma *vma_new(u64 start, u64 end, u32 prot)
{
    struct vma *v = kmem_cache_alloc(vma_cache);
    if (v)
        *v = (struct vma){ .start = start, .end = end, .prot = prot };
    return v;
}

struct vma *vma_copy(const struct vma *v)
{
    struct vma *c = kmem_cache_alloc(vma_cache);
    if (!c)
        return NULL;
    *c = *v;
    if (c->file)
        atomic_add(&c->file->refs, 1);
    if (c->shm)
        atomic_add(&c->shm->refs, 1);
    return c;
}

void vma_free(struct vma *v)
{
    if (v->file)
        file_put(v->file);
    if (v->shm && atomic_sub(&v->shm->refs, 1) == 0) {
        for (u64 i = 0; i < v->shm->npages; i++)
            if (v->shm->pages[i])
                page_put(v->shm->pages[i]);
        kfree(v->shm);
    }
    kmem_cache_free(vma_cache, v);
}

struct vma *mm_find_vma(struct mm *mm, u64 addr)
{
    struct vma *v = mm->vmas;
    while (v && v->end <= addr)
        v = v->next;
    return v;
}

void vma_insert(struct mm *mm, struct vma *v)
{
    struct vma **at = &mm->vmas, *prev = NULL;
    while (*at && (*at)->start < v->start)
        prev = *at, at = &(*at)->next;
    if (prev && prev->end == v->start && prev->prot == v->prot && !prev->file && !v->file && !prev->shm && !v->shm) {
        prev->end = v->end;
        vma_free(v);
        return;
    }
    v->next = *at;
    *at = v;
}

/* Makes addr a boundary between mappings. */
static bool vma_split(struct mm *mm, u64 addr)
{
    struct vma *v = mm_find_vma(mm, addr);
    if (!v || v->start >= addr)
        return true;
    struct vma *hi = vma_copy(v);
    if (!hi)
        return false;
    hi->start = addr;
    hi->offset = v->offset + (addr - v->start);
    v->end = addr;
    v->next = hi;
    return true;
}

struct mm *mm_create(void)
{
    struct mm *mm = kzalloc(sizeof *mm);
    if (!mm)
        return NULL;
    mm->pml4 = pgtable_new();
    if (!mm->pml4) {
        kfree(mm);
        return NULL;
    }
    mm->users = mm->refs = 1;
    rwsem_init(&mm->lock);
    return mm;
}

void mm_put(struct mm *mm)
{
    if (atomic_sub(&mm->refs, 1))
        return;
    pgtable_delete(mm->pml4);
    kfree(mm);
}

void mm_leave(struct mm *mm)
{
    if (atomic_sub(&mm->users, 1))
        return;
    for (struct vma *v = mm->vmas, *next; v; v = next) {
        next = v->next;
        mm_unmap_pages(mm, v->start, v->end);
        vma_free(v);
    }
    mm->vmas = NULL;
    pool_reclaim(mm);
    mm_flush_tables(mm); /* nobody walks what we free now */
    pgtable_free_user(mm->pml4);
    mm_put(mm);
}

/* Clears the entries of a range and lets go of the pages, once no TLB has them. */
void mm_unmap_pages(struct mm *mm, u64 start, u64 end)
{
    struct page *gone[UNMAP_BATCH];
    for (u64 a = start; a < end;) {
        u32 n = 0;
        u64 first = 0, last = 0;
        spin_lock(&mm->table_lock);
        while (a < end && n < UNMAP_BATCH) {
            u64 *pte = pgtable_walk(mm->pml4, a, false);
            if (!pte) {
                a = ALIGN_DOWN(a, 2ul << 20) + (2ul << 20);
                continue;
            }
            if (*pte) {
                gone[n++] = pa_page(*pte & PTE_ADDR);
                *pte = 0;
                first = first ? first : a;
                last = a + PAGE_SIZE;
            }
            a += PAGE_SIZE;
        }
        spin_unlock(&mm->table_lock);
        if (n)
            mm_flush_range(mm, first, last);
        while (n)
            page_put(gone[--n]);
    }
}

static long unmap_locked(struct mm *mm, u64 start, u64 end)
{
    if (!vma_split(mm, start) || !vma_split(mm, end))
        return -ENOMEM;
    struct vma **at = &mm->vmas, *gone = NULL;
    while (*at && (*at)->start < end) {
        struct vma *v = *at;
        if (v->start < start) {
            at = &v->next;
            continue;
        }
        *at = v->next;
        v->next = gone;
        gone = v;
    }
    for (struct vma *next; gone; gone = next) {
        next = gone->next;
        mm_unmap_pages(mm, gone->start, gone->end);
        vma_free(gone);
    }
    return 0;
}

static bool range_free(struct mm *mm, u64 start, u64 end)
{
    struct vma *v = mm_find_vma(mm, start);
    return start >= MMAP_BOTTOM && end <= USER_TOP && start < end && (!v || v->start >= end);
}

/* The highest gap below the stack; 0: none. */
static u64 find_gap(struct mm *mm, u64 len)
{
    u64 best = 0, from = MMAP_BOTTOM;
    for (struct vma *v = mm->vmas; ; v = v->next) {
        u64 to = v ? MIN(v->start, MMAP_TOP) : MMAP_TOP;
        if (to > from && to - from >= len)
            best = to - len;
        if (!v || v->end >= MMAP_TOP)
            break;
        from = MAX(from, v->end);
    }
    return best;
}

static struct shm *shm_new(u64 npages)
{
    struct shm *s = kzalloc(sizeof *s + npages * sizeof(struct page *));
    if (s) {
        s->refs = 1;
        s->npages = npages;
    }
    return s;
}

/* Returns the address or -errno. Takes its own reference of f. */
long mm_map(struct mm *mm, u64 addr, u64 len, u32 prot, u32 flags, struct file *f, u64 offset)
{
    len = ALIGN_UP(len, PAGE_SIZE);
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (!len || (fixed && addr & ~PAGE_MASK) || offset & ~PAGE_MASK)
        return -EINVAL;
    if (len > USER_TOP || (f && (flags & MAP_SHARED) && (prot & PROT_WRITE)))
        return f ? -EACCES : -ENOMEM; /* shared writable file mappings are not supported */
    struct shm *shm = NULL;
    if (!f && flags & MAP_SHARED && !(shm = shm_new(len >> PAGE_SHIFT)))
        return -ENOMEM;
    down_write(&mm->lock);
    long r = -ENOMEM;
    addr &= PAGE_MASK;
    if (fixed) {
        if (addr < MMAP_BOTTOM || addr > USER_TOP - len)
            goto out;
        r = -EEXIST;
        if (flags & MAP_FIXED_NOREPLACE && !range_free(mm, addr, addr + len))
            goto out;
        if ((r = unmap_locked(mm, addr, addr + len)))
            goto out;
    } else if (!addr || !range_free(mm, addr, addr + len)) {
        addr = find_gap(mm, len);
    }
    r = -ENOMEM;
    struct vma *v = addr ? vma_new(addr, addr + len, prot) : NULL;
    if (v) {
        v->shared = flags & MAP_SHARED;
        v->file = f;
        v->offset = f ? offset : 0;
        v->shm = shm;
        shm = NULL;
        if (f)
            atomic_add(&f->refs, 1);
        vma_insert(mm, v);
        r = (long)addr;
    }
out:
    up_write(&mm->lock);
    kfree(shm);
    return r;
}

/* n pages that stay the kernel's, shared and kept mapped: each gets a reference for the mapping and one that nobody gives back. */
long mm_map_pages(struct mm *mm, struct page *first, u64 n, u32 prot)
{
    struct shm *shm = shm_new(n);
    if (!shm)
        return -ENOMEM;
    for (u64 i = 0; i < n; i++) {
        shm->pages[i] = first + i;
        atomic_add(&first[i].refs, 2);
    }
    down_write(&mm->lock);
    u64 addr = find_gap(mm, n << PAGE_SHIFT);
    struct vma *v = addr ? vma_new(addr, addr + (n << PAGE_SHIFT), prot) : NULL;
    if (v) {
        v->shared = true;
        v->shm = shm;
        vma_insert(mm, v);
    }
    up_write(&mm->lock);
    if (!v)
        kfree(shm);
    return v ? (long)addr : -ENOMEM;
}

long mm_unmap(struct mm *mm, u64 addr, u64 len)
{
    len = ALIGN_UP(len, PAGE_SIZE);
    if (addr & ~PAGE_MASK || !len || addr > USER_TOP || len > USER_TOP - addr)
        return -EINVAL;
    down_write(&mm->lock);
    long r = unmap_locked(mm, addr, addr + len);
    up_write(&mm->lock);
    return r;
}

long sys_mmap(u64 addr, u64 len, u32 prot, u32 flags, int fd, u64 offset)
{
    struct file *f = NULL;
    if (!(flags & (MAP_SHARED | MAP_PRIVATE)))
        return -EINVAL;
    if (!(flags & MAP_ANONYMOUS)) {
        f = file_get(fd);
        if (!f)
            return -EBADF;
        if (f->ops->mmap) {
            long at = f->ops->mmap(f, prot & 7);
            file_put(f);
            return at;
        }
        if (!f->inode || (f->inode->mode & S_IFMT) != S_IFREG) {
            file_put(f);
            return -ENODEV;
        }
    }
    long r = mm_map(current->mm, addr, len, prot & 7, flags, f, offset);
    if (f)
        file_put(f);
    return r;
}

long sys_munmap(u64 addr, u64 len) { return mm_unmap(current->mm, addr, len); }

/* New rights for the pages that are there; a write right comes by fault, which knows about sharing. */
static void protect_pages(struct mm *mm, struct vma *v)
{
    spin_lock(&mm->table_lock);
    for (u64 a = v->start; a < v->end;) {
        u64 *pte = pgtable_walk(mm->pml4, a, false);
        if (!pte) {
            a = ALIGN_DOWN(a, 2ul << 20) + (2ul << 20);
            continue;
        }
        if (*pte) {
            u64 e = *pte & ~(PTE_P | PTE_KEPT | PTE_NX);
            if (!(v->prot & PROT_WRITE))
                e &= ~PTE_W;
            if (!(v->prot & PROT_EXEC))
                e |= PTE_NX;
            *pte = e | (v->prot ? PTE_P : PTE_KEPT);
        }
        a += PAGE_SIZE;
    }
    spin_unlock(&mm->table_lock);
}

long sys_mprotect(u64 addr, u64 len, u32 prot)
{
    struct mm *mm = current->mm;
    len = ALIGN_UP(len, PAGE_SIZE);
    if (addr & ~PAGE_MASK)
        return -EINVAL;
    if (!len)
        return 0;
    if (addr > USER_TOP || len > USER_TOP - addr)
        return -ENOMEM;
    down_write(&mm->lock);
    long r = -ENOMEM;
    u64 at = addr, end = addr + len;
    if (!vma_split(mm, addr) || !vma_split(mm, end))
        goto out;
    for (struct vma *v = mm_find_vma(mm, addr); v && v->start < end; v = v->next) {
        if (v->start != at)
            goto out; /* a hole */
        v->prot = prot & 7;
        protect_pages(mm, v);
        at = v->end;
    }
    r = at >= end ? 0 : -ENOMEM;
out:
    up_write(&mm->lock);
    mm_flush_range(mm, addr, end);
    return r;
}

long sys_brk(u64 addr)
{
    struct mm *mm = current->mm;
    u64 old = ALIGN_UP(mm->brk, PAGE_SIZE), new = ALIGN_UP(addr, PAGE_SIZE);
    if (addr < mm->brk_start || addr >= MMAP_TOP)
        return (long)mm->brk;
    if (new > old) {
        long r = mm_map(mm, old, new - old, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, NULL, 0);
        if (r < 0)
            return (long)mm->brk;
    } else if (new < old) {
        mm_unmap(mm, new, old - new);
    }
    mm->brk = addr;
    return (long)addr;
}
