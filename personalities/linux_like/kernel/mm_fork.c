/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fork's copy of an address space: private pages are shared read-only until one side writes. */
#include "defs.h"
#include "task.h"
#include "vma.h"

static bool fork_range(struct mm *to, struct mm *from, const struct vma *v)
{
    bool ok = true;
    spin_lock(&from->table_lock);
    for (u64 a = v->start; a < v->end && ok;) {
        u64 *src = pgtable_walk(from->pml4, a, false);
        if (!src) {
            a = ALIGN_DOWN(a, 2ul << 20) + (2ul << 20);
            continue;
        }
        if (*src) {
            u64 *dst = pgtable_walk(to->pml4, a, true);
            ok = dst != NULL;
            if (ok) {
                if (!v->shm)
                    *src &= ~PTE_W;
                page_get(pa_page(*src & PTE_ADDR));
                *dst = *src;
            }
        }
        a += PAGE_SIZE;
    }
    spin_unlock(&from->table_lock);
    return ok;
}

struct mm *mm_fork(struct mm *from)
{
    struct mm *to = mm_create();
    if (!to)
        return NULL;
    down_write(&from->lock);
    to->brk_start = from->brk_start;
    to->brk = from->brk;
    to->args = from->args;
    to->env = from->env;
    struct vma **tail = &to->vmas;
    bool ok = true;
    for (struct vma *v = from->vmas; v && ok; v = v->next) {
        struct vma *c = vma_copy(v);
        ok = c != NULL;
        if (!ok)
            break;
        c->next = NULL;
        *tail = c;
        tail = &c->next;
        ok = fork_range(to, from, v);
    }
    up_write(&from->lock);
    mm_flush_range(from, 0, USER_TOP);
    if (!ok) {
        mm_leave(to);
        return NULL;
    }
    return to;
}
