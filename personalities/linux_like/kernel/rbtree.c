/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Red-black trees (Cormen et al., "Introduction to Algorithms", chapter 13): no red node has a red child, and every way down passes as many black ones.
 * `left` and `right` are exchanged in the mirrored cases by way of `side`.
 */
#include "rbtree.h"
#include "defs.h"

static inline struct rb_node **side(struct rb_node *n, bool right) { return right ? &n->right : &n->left; }

static void rb_replace(struct rb_tree *t, struct rb_node *old, struct rb_node *new)
{
    if (!old->parent)
        t->root = new;
    else
        *side(old->parent, old->parent->right == old) = new;
    if (new)
        new->parent = old->parent;
}

/* n's child of the other side takes its place, and n goes down to `right` or left. */
static void rb_rotate(struct rb_tree *t, struct rb_node *n, bool right)
{
    struct rb_node *up = *side(n, !right), *between = *side(up, right);
    rb_replace(t, n, up);
    *side(n, !right) = between;
    if (between)
        between->parent = n;
    *side(up, right) = n;
    n->parent = up;
}

void rb_insert(struct rb_tree *t, struct rb_node *n, struct rb_node *parent, struct rb_node **link, bool first)
{
    *n = (struct rb_node){ .parent = parent, .red = true };
    *link = n;
    if (first)
        t->first = n;
    while ((parent = n->parent) && parent->red) {
        struct rb_node *grand = parent->parent;
        bool right = grand->right == parent;
        struct rb_node *uncle = *side(grand, !right);
        if (uncle && uncle->red) {
            parent->red = uncle->red = false;
            grand->red = true;
            n = grand;
            continue;
        }
        if (*side(parent, !right) == n) {
            rb_rotate(t, parent, right);
            parent = n;
        }
        parent->red = false;
        grand->red = true;
        rb_rotate(t, grand, !right);
        break;
    }
    t->root->red = false;
}

struct rb_node *rb_next(const struct rb_node *n)
{
    if (n->right) {
        for (n = n->right; n->left;)
            n = n->left;
        return (struct rb_node *)n;
    }
    while (n->parent && n->parent->right == n)
        n = n->parent;
    return n->parent;
}

/* The way to n, whose parent is `parent`, is one black node short. */
static void rb_mend(struct rb_tree *t, struct rb_node *n, struct rb_node *parent)
{
    while (parent && (!n || !n->red)) {
        bool right = parent->right == n;
        struct rb_node *s = *side(parent, !right);
        if (s->red) {
            s->red = false;
            parent->red = true;
            rb_rotate(t, parent, right);
            s = *side(parent, !right);
        }
        struct rb_node *near = *side(s, right), *far = *side(s, !right);
        if (!(near && near->red) && !(far && far->red)) {
            s->red = true;
            n = parent;
            parent = n->parent;
            continue;
        }
        if (!(far && far->red)) {
            near->red = false;
            s->red = true;
            rb_rotate(t, s, !right);
            s = near;
            far = *side(s, !right);
        }
        s->red = parent->red;
        parent->red = far->red = false;
        rb_rotate(t, parent, right);
        return;
    }
    if (n)
        n->red = false;
}

void rb_erase(struct rb_tree *t, struct rb_node *n)
{
    if (t->first == n)
        t->first = rb_next(n);
    struct rb_node *child, *parent;
    bool red;
    if (!n->left || !n->right) {
        child = n->left ? n->left : n->right;
        parent = n->parent;
        red = n->red;
        rb_replace(t, n, child);
    } else {
        struct rb_node *next = n->right;   /* takes n's place */
        while (next->left)
            next = next->left;
        child = next->right;
        red = next->red;
        parent = next->parent == n ? next : next->parent;
        if (next->parent != n) {
            rb_replace(t, next, child);
            next->right = n->right;
            next->right->parent = next;
        }
        rb_replace(t, n, next);
        next->left = n->left;
        next->left->parent = next;
        next->red = n->red;
    }
    if (!red)
        rb_mend(t, child, parent);
}
