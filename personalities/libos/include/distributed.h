/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Distributed Ebbs: one id, a representative on each node. The node that creates one is its home, which knows the kind and a description; any
 * other node makes its own representative when the first message for the id comes, or a first call here, out of that description.
 * Calls of other nodes' representatives are messages to the id. docs/matrix.md has an application.
 */
#ifndef DISTRIBUTED_H
#define DISTRIBUTED_H

#include "messenger.h"

#define EBB_DISTRIBUTED 700u            /* asks a home what an id is */

/* (home node + 1) << 20 | number: never a local Ebb's id. */
typedef uint32_t global_id;

#define GLOBAL_SHIFT 20u
#define GLOBAL_HOME(id) ((uint16_t)(((id) >> GLOBAL_SHIFT) - 1))

#define DISTRIBUTED_DESCRIPTION 256u    /* most bytes of a description */
#define DISTRIBUTED_WAITING 64u         /* messages that wait for a representative, of one id; more are refused */

struct distributed_kind {
    uint16_t kind;
    /* The representative of this node, which stays for good. NULL: the description is of no use, or there is no memory. */
    void *(*make)(global_id id, const void *description, uint32_t length);
    message_handler take;               /* a message to the id; ctx is the representative */
};

/* Before any id of ours goes to others; `kinds` stays. False: too many message targets. */
bool distributed_start(const struct distributed_kind *kinds, unsigned count);

/* Makes an id, whose home this node is. 0: no memory, or the description is too long. */
global_id distributed_create(uint16_t kind, const void *description, uint32_t length);

struct distributed_lookup {
    struct future made;                 /* fulfilled with the representative */
    struct future_wait wait;            /* of the one who asks, if that helps */
    struct distributed_lookup *next;
};

/* This node's representative: at once if there is one, else made first. `lookup` is the caller's, all zero. */
void distributed_rep(struct distributed_lookup *lookup, global_id id);

/* Errors of `made` beyond the messenger's; a message for such an id is answered as one to an Ebb that is not there. */
enum { DISTRIBUTED_NOT_MADE = 100 };

#endif
