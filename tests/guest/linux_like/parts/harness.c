/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the kernel that need no machine, as a library of the host's: what they call is here, and calls in forms that ctypes likes. */
#include "defs.h"
#include "fib.h"
#include "sched.h"

void *calloc(size_t n, size_t size);
void free(void *p);
void abort(void);

void *kzalloc(u64 size) { return calloc(1, size); }
void kfree(const void *p) { free((void *)p); }
void spin_lock(struct spinlock *l) { l->owner++; }
void spin_unlock(struct spinlock *l) { l->owner--; }
void local_bh_disable(void) { }
void local_bh_enable(void) { }
void sched_quiesce(void) { }
void proc_make(const char *path, u32 (*show)(char *buf, u32 n)) { }
int snprintk(char *buf, size_t n, const char *fmt, ...) { return 0; }

/* ---- the trie */
long part_route(u32 addr)
{
    struct route *r = fib_lookup(addr);
    return r ? (long)r->gateway : -1;
}

/* ---- the tree: numbered nodes with keys; what it holds in order */
static struct { struct rb_node node; u64 key; } nodes[4096];
static struct rb_tree tree;

void part_insert(u32 i, u64 key)
{
    struct rb_node **link = &tree.root, *parent = NULL;
    bool first = true;
    nodes[i].key = key;
    while (*link) {
        parent = *link;
        if (key < container_of(parent, __typeof__(nodes[0]), node)->key) {
            link = &parent->left;
        } else {
            link = &parent->right;
            first = false;
        }
    }
    rb_insert(&tree, &nodes[i].node, parent, link, first);
}

void part_erase(u32 i) { rb_erase(&tree, &nodes[i].node); }

u32 part_walk(u64 *keys)
{
    u32 n = 0;
    for (struct rb_node *at = tree.first; at; at = rb_next(at))
        keys[n++] = container_of(at, __typeof__(nodes[0]), node)->key;
    return n;
}

/* Black nodes on each way down, or -1: a rule is broken. */
static int black_height(const struct rb_node *n)
{
    if (!n)
        return 0;
    if (n->red && ((n->left && n->left->red) || (n->right && n->right->red)))
        return -1;
    if ((n->left && n->left->parent != n) || (n->right && n->right->parent != n))
        return -1;
    int l = black_height(n->left), r = black_height(n->right);
    return l < 0 || l != r ? -1 : l + !n->red;
}

int part_black_height(void) { return tree.root && (tree.root->red || tree.root->parent) ? -1 : black_height(tree.root); }

/* ---- load */
static struct load load;
void part_load_start(u64 now) { load_init(); load = (struct load){ .at = now }; }
u32 part_load(u64 now, u32 runnable, bool running, u32 *run)
{
    load_update(&load, now, runnable, running);
    *run = load.running;
    return load.runnable;
}
