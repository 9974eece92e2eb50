/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Distributed Ebbs: one id, a representative on each node. The node that creates one says what it is, a kind and a description; any other node
 * makes its own representative when the first message for the id comes, or a first call here, out of that. What an id is stands in gpos's map, for
 * nodes that join it (node.h); without a gpos the id names the node that created it, which is asked. Calls of other nodes' representatives are
 * messages to the id. docs/matrix.md has an application.
 */
#ifndef DISTRIBUTED_H
#define DISTRIBUTED_H

#include "node.h"

#define EBB_DISTRIBUTED 700u            /* without a gpos: asks what an id is */

/* As node_new_id makes them; without a gpos, the creating node's number and one more stand in the prefix's place. Never a local Ebb's id. */
typedef uint32_t global_id;

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

/*
 * Makes an id: `known` is fulfilled when other nodes can find out what it is, and fails with the messenger's reasons. 0, and `known` is left alone: no memory,
 * not joined yet, or the description is too long.
 */
global_id distributed_create(uint16_t kind, const void *description, uint32_t length, struct future *known);

struct distributed_lookup {
    struct future made;                 /* fulfilled with the representative */
    struct future_wait wait;            /* of the one who asks, if that helps */
    struct distributed_lookup *next;
};

/* This node's representative: at once if there is one, else made first. `lookup` is the caller's, all zero. */
void distributed_rep(struct distributed_lookup *lookup, global_id id);

/* An error of `made` beyond the messenger's and the map's; a message for such an id is answered as one to an Ebb that is not there. */
enum { DISTRIBUTED_NOT_MADE = 120 };

#endif
