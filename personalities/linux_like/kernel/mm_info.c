/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at address spaces from outside: sizes, and bytes. */
#include "defs.h"
#include "mm.h"
#include "task.h"

static u64 mm_count_present(struct mm *mm, const struct vma *v)
{
    u64 n = 0;
    for (u64 a = v->start; a < v->end;) {
        const u64 *pte = pgtable_walk(mm->pml4, a, false);
        if (!pte) {
            a = ALIGN_DOWN(a, 2ul << 20) + (2ul << 20);
            continue;
        }
        n += *pte != 0;
        a += PAGE_SIZE;
    }
    return n;
}

struct mm_counts mm_count(struct mm *mm)
{
    struct mm_counts c = { .args = mm->args, .env = mm->env };
    down_read(&mm->lock);
    for (const struct vma *v = mm->vmas; v; v = v->next) {
        u64 n = (v->end - v->start) >> PAGE_SHIFT;
        spin_lock(&mm->table_lock);
        u64 present = mm_count_present(mm, v);
        spin_unlock(&mm->table_lock);
        c.mapped += n;
        c.resident += present;
        c.shared += v->shared ? present : 0;
        if (v->end == USER_TOP)
            c.stack += n;
        else if (v->prot & PROT_WRITE && !v->shared)
            c.data += n;
        if (v->file && v->prot & PROT_EXEC && !c.code_end) {
            c.code_start = v->start;
            c.code_end = v->end;
        }
    }
    up_read(&mm->lock);
    return c;
}

/* What lies at addr, as far as it is mapped; returns how many bytes. The caller is a user of mm. */
u64 mm_read(struct mm *mm, u64 addr, void *dst, u64 n)
{
    u64 done = 0;
    while (done < n && addr + done < USER_TOP) {
        u64 at = addr + done, k = MIN(n - done, PAGE_SIZE - at % PAGE_SIZE);
        if (!mm_fault(mm, at, false, false))
            break;
        spin_lock(&mm->table_lock);
        const u64 *pte = pgtable_walk(mm->pml4, at, false);
        bool ok = pte && *pte & PTE_P;
        if (ok)
            memcpy((u8 *)dst + done, (u8 *)va(*pte & PTE_ADDR) + at % PAGE_SIZE, k);
        spin_unlock(&mm->table_lock);
        if (!ok)
            break;
        done += k;
    }
    return done;
}

bool mm_mapped(struct mm *mm, u64 addr)
{
    down_read(&mm->lock);
    const struct vma *v = mm_find_vma(mm, addr);
    bool yes = v && v->start <= addr;
    up_read(&mm->lock);
    return yes;
}
