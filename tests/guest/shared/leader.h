/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the leader's parts share: one thing at a time, whose future is awaited. */
#ifndef LEADER_H
#define LEADER_H

#include "nodes.h"

struct leader {
    const struct shared_integration *with;
    struct shared handles[8];
    struct future future;
    struct future_wait wait;
    uint8_t *shadow_big;        /* what must be in the object `big` */
    uint32_t random;
};

extern struct leader leader;

/* A fresh future, and what runs when it is decided. */
struct future *leader_await(event_fn then);
void leader_must(const char *what);     /* it was fulfilled */

/* The parts, in this order; each ends by calling the next. */
void leader_table(void *arg);           /* leader_table.c */
void leader_many(void *arg);            /* leader_many.c: random places and lengths, and several at once */
void leader_together(void *arg);        /* leader_together.c: with the helper */
void leader_death(void *arg);           /* leader_death.c: instead of all these */

#endif
