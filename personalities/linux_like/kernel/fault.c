/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults: memory appears when it is touched, and is copied when a sharer writes. */
#include "defs.h"
#include "fs.h"
#include "task.h"
#include "vma.h"

static u64 fault_flags(const struct vma *v, bool writable)
{
    return PTE_P | PTE_U | (writable && v->prot & PROT_WRITE ? PTE_W : 0) | (v->prot & PROT_EXEC ? 0 : PTE_NX);
}

/* The page that belongs at addr, with a reference; NULL: no memory. */
static struct page *fault_page(struct vma *v, u64 addr)
{
    struct page *p;
    u64 at = addr - v->start + v->offset;
    if (v->shm) {
        u64 i = at >> PAGE_SHIFT;
        if (i >= v->shm->npages)
            return NULL;
        p = READ_ONCE(v->shm->pages[i]);
        if (!p) {
            void *fresh = page_alloc_zeroed();
            if (!fresh)
                return NULL;
            spin_lock(&v->shm->lock);
            if (!v->shm->pages[i])
                v->shm->pages[i] = va_page(fresh), fresh = NULL;
            p = v->shm->pages[i];
            spin_unlock(&v->shm->lock);
            if (fresh)
                page_free(va_page(fresh), 0);
        }
        page_get(p);
        return p;
    }
    void *fresh = page_alloc_zeroed();
    if (!fresh)
        return NULL;
    if (v->file)
        inode_read(v->file->inode, fresh, PAGE_SIZE, at);
    return va_page(fresh);
}

static bool fault_missing(struct mm *mm, struct vma *v, u64 addr)
{
    struct page *p = fault_page(v, addr);
    if (!p)
        return false;
    spin_lock(&mm->table_lock);
    u64 *pte = pgtable_walk(mm->pml4, addr, true);
    bool ok = pte != NULL;
    if (pte && !*pte) {
        *pte = page_pa(p) | fault_flags(v, true);
        p = NULL;
    }
    spin_unlock(&mm->table_lock);
    if (p)
        page_put(p); /* another thread was first */
    return ok;
}

static bool fault_copy_on_write(struct mm *mm, struct vma *v, u64 addr)
{
    struct page *copy = NULL, *old = NULL;
    for (;;) {
        spin_lock(&mm->table_lock);
        u64 *pte = pgtable_walk(mm->pml4, addr, false);
        if (!pte || !(*pte & PTE_P) || *pte & PTE_W)
            break; /* changed meanwhile: look again by faulting again */
        struct page *p = pa_page(*pte & PTE_ADDR);
        if (v->shm || p->refs == 1) {
            *pte |= PTE_W;
            break;
        }
        if (copy) {
            memcpy(page_va(copy), page_va(p), PAGE_SIZE);
            *pte = page_pa(copy) | fault_flags(v, true);
            old = p;
            copy = NULL;
            break;
        }
        spin_unlock(&mm->table_lock);
        copy = page_alloc(0);
        if (!copy)
            return false;
    }
    spin_unlock(&mm->table_lock);
    if (copy)
        page_free(copy, 0);
    if (old) {
        mm_flush_range(mm, addr, addr + PAGE_SIZE); /* other threads may read the old page */
        page_put(old);
    } else {
        invlpg(addr);
    }
    return true;
}

bool mm_fault(struct mm *mm, u64 addr, bool write, bool exec)
{
    addr &= PAGE_MASK;
    down_read(&mm->lock);
    struct vma *v = mm_find_vma(mm, addr);
    bool ok = v && v->start <= addr && v->prot & (write ? PROT_WRITE : exec ? PROT_EXEC : PROT_READ | PROT_WRITE | PROT_EXEC);
    if (ok) {
        current->minflt++;
        spin_lock(&mm->table_lock);
        u64 *pte = pgtable_walk(mm->pml4, addr, false);
        u64 entry = pte ? *pte : 0;
        spin_unlock(&mm->table_lock);
        if (!entry)
            ok = fault_missing(mm, v, addr);
        else if (write && !(entry & PTE_W))
            ok = fault_copy_on_write(mm, v, addr);
        else
            invlpg(addr);
    }
    up_read(&mm->lock);
    return ok;
}
