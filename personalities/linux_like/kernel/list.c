/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a list is what it should be, asked at each change: a bug elsewhere shows here before it writes where it likes. */
#include "defs.h"

noinline void list_add_check(const struct list *n, const struct list *prev, const struct list *next)
{
    if (unlikely(next->prev != prev || prev->next != next || n == prev || n == next))
        panic("list: %lx is to go between %lx and %lx, which are no neighbours, or is one of them", (u64)n, (u64)prev, (u64)next);
}

noinline void list_del_check(const struct list *n)
{
    if (unlikely(n->next == LIST_POISON || n->prev == LIST_POISON))
        panic("list: %lx was taken out before", (u64)n);
    if (unlikely(n->prev->next != n || n->next->prev != n))
        panic("list: the neighbours of %lx do not know it", (u64)n);
}
