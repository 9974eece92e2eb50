/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Circular doubly linked lists with the links inside the objects. */
#pragma once
#include "types.h"

struct list { struct list *next, *prev; };

#define LIST_INIT(name) { &(name), &(name) }
static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return READ_ONCE(l->next) == l; }
/* list.c: whether the links agree; a list that does not is corrupt memory, and the kernel ends (Linux's CONFIG_DEBUG_LIST). */
void list_add_check(const struct list *n, const struct list *prev, const struct list *next);
void list_del_check(const struct list *n);
#define LIST_POISON ((struct list *)0xdead000000000100ul) /* no canonical address */
static inline void list_insert(struct list *n, struct list *prev, struct list *next)
{
    list_add_check(n, prev, next);
    next->prev = n;
    n->next = next;
    n->prev = prev;
    WRITE_ONCE(prev->next, n);
}
static inline void list_add(struct list *n, struct list *head) { list_insert(n, head, head->next); }
static inline void list_add_tail(struct list *n, struct list *head) { list_insert(n, head->prev, head); }
static inline void list_unlink(struct list *n)
{
    list_del_check(n);
    n->next->prev = n->prev;
    WRITE_ONCE(n->prev->next, n->next);
}
static inline void list_del(struct list *n)
{
    list_unlink(n);
    n->next = n->prev = LIST_POISON;
}
static inline void list_del_init(struct list *n) { list_unlink(n); list_init(n); }
static inline void list_splice_tail(struct list *from, struct list *to)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
#define list_entry(p, type, member) container_of(p, type, member)
#define list_first(head, type, member) container_of((head)->next, type, member)
#define list_for_each(pos, head, member)                                                       \
    for (pos = container_of((head)->next, __typeof__(*pos), member); &pos->member != (head);   \
         pos = container_of(pos->member.next, __typeof__(*pos), member))
#define list_for_each_safe(pos, tmp, head, member)                                             \
    for (pos = container_of((head)->next, __typeof__(*pos), member),                           \
        tmp = container_of(pos->member.next, __typeof__(*pos), member); &pos->member != (head); \
         pos = tmp, tmp = container_of(tmp->member.next, __typeof__(*pos), member))
