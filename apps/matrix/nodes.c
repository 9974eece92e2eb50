/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Placing tiles: a new node for each as long as there are any, then the one with the fewest. Nodes are told of each other. */
#include "front.h"

struct front_node front_nodes[MESSENGER_NODES];

/* ---- nodes that know each other ---- */

struct meeting {
    struct message_call call;
    struct future_wait wait;
    uint16_t node;
};

static void front_met(void *arg)
{
    struct meeting *meeting = arg;

    if (meeting->call.answered.state != FUTURE_FULFILLED) {
        front_nodes[meeting->node].lost = true;
        front_fail("node %u does not answer (%s): it was to be told of another node", meeting->node,
                   meeting->call.answered.error == MESSAGE_LATE ? "late" : "unreachable");
    }
    mem_free(meeting->call.reply);
    mem_free(meeting);
    front_step();
}

/* Tells `node` of `other`. */
static void front_introduce(uint16_t node, uint16_t other)
{
    struct meeting *meeting = mem_zalloc(sizeof(*meeting));
    struct matrix_meet meet = { front_nodes[other].ip, other, front_nodes[other].port };

    if (meeting == NULL) {
        front_fail("the front end has no memory");
        return;
    }
    meeting->node = node;
    front_wait();
    front.figures.messages += 2;
    front.figures.bytes += sizeof(meet) + sizeof(uint16_t);
    future_then(&meeting->call.answered, &meeting->wait, front_met, meeting);
    message_ask(&meeting->call, node, EBB_MATRIX_NODE, MATRIX_MEET, &meet, sizeof(meet), front_patience_ns);
}

/* ---- placing ---- */

struct placing {
    struct front_grant grant;
    struct front_matrix *matrix;
    uint64_t tile;
    struct placing *next;
};

static unsigned placing_open;                   /* nodes that are being asked for */
static struct placing *placing_none, **placing_last = &placing_none;    /* tiles that get none of their own */

static uint16_t front_emptiest(void)
{
    uint16_t found = MATRIX_NOWHERE;

    for (uint16_t node = 0; node < MESSENGER_NODES; node++)
        if (front_nodes[node].known && !front_nodes[node].lost &&
            (found == MATRIX_NOWHERE || front_nodes[node].tiles < front_nodes[found].tiles))
            found = node;
    return found;
}

static void front_place_at(struct placing *placing, uint16_t node)
{
    placing->matrix->nodes[placing->tile] = node;
    front_nodes[node].tiles++;
    mem_free(placing);
    front_step();
}

/* A node that is new: all others hear of it, and it of them. */
static void front_welcome(const struct front_grant *grant)
{
    uint16_t node = grant->number;

    front_nodes[node] = (struct front_node){ .known = true, .pooled = grant->pooled, .ip = grant->ip, .port = grant->port };
    front.figures.provisioned++;
    for (uint16_t other = 0; other < MESSENGER_NODES; other++)
        if (other != node && front_nodes[other].known && !front_nodes[other].lost) {
            front_introduce(other, node);
            front_introduce(node, other);
        }
}

/* Tiles without a node of their own wait until all that were asked for are there, or are not to be had; then they are spread. */
static void front_spread(void)
{
    while (placing_none) {
        struct placing *placing = placing_none;
        uint16_t node = front_emptiest();

        placing_none = placing->next;
        if (node != MATRIX_NOWHERE) {
            front_place_at(placing, node);
            continue;
        }
        front_fail("there is no node for another tile: none is left to be had, and none is there");
        mem_free(placing);
        front_step();
    }
    placing_last = &placing_none;
}

static void front_placed(void *arg)
{
    struct placing *placing = arg;

    if (placing->grant.number != MATRIX_NOWHERE) {
        front_welcome(&placing->grant);
        front_place_at(placing, placing->grant.number);
    } else {
        placing->next = NULL;
        *placing_last = placing;
        placing_last = &placing->next;
    }
    if (--placing_open == 0)
        front_spread();
}

void front_place(struct front_matrix *matrix, uint64_t tile)
{
    struct placing *placing = NULL;

    if (matrix->nodes[tile] != MATRIX_NOWHERE)
        return;
    if ((placing = mem_zalloc(sizeof(*placing))) == NULL) {
        front_fail("the front end has no memory");
        return;
    }
    placing->matrix = matrix;
    placing->tile = tile;
    placing_open++;
    front_wait();
    future_then(&placing->grant.given, &placing->grant.wait, front_placed, placing);
    front_provision(&placing->grant);
}
