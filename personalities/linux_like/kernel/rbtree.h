/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Red-black trees with the links inside the objects; the first node is remembered. The caller finds a new node's place. */
#pragma once
#include "types.h"

struct rb_node { struct rb_node *parent, *left, *right; bool red; };
struct rb_tree { struct rb_node *root, *first; };

/* n becomes a child of parent (NULL: the root) at *link; first: it is before all others. */
void rb_insert(struct rb_tree *t, struct rb_node *n, struct rb_node *parent, struct rb_node **link, bool first);
void rb_erase(struct rb_tree *t, struct rb_node *n);
struct rb_node *rb_next(const struct rb_node *n);
