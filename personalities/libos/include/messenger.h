/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between the nodes of a MultiLibOS: typed, addressed to an Ebb's id, whole, each once and in the order in which one node
 * sent them to another, whatever the network does to datagrams; or not at all, and the sender is told. docs/messages.md has the format.
 */
#ifndef MESSENGER_H
#define MESSENGER_H

#include "libos.h"

#define MESSAGE_MAX 65536u      /* bytes of a body */
#define MESSENGER_PORT 5640u
#define MESSENGER_NODES 256u    /* numbers are below this */
#define MESSENGER_TARGETS 64u   /* Ebbs of a node that take messages */

/* Why a future of ours fails. */
enum { MESSAGE_UNREACHABLE = 1, MESSAGE_RESTARTED, MESSAGE_NO_TARGET, MESSAGE_NO_MEMORY, MESSAGE_LATE };

struct message {
    const uint8_t *body;
    uint32_t length;
    ebb_id ebb;
    uint32_t call;              /* not 0: the sender waits for an answer */
    uint16_t type;              /* the Ebb's business; from MESSAGE_TYPES on ours */
    uint16_t from;              /* the node */
};

#define MESSAGE_TYPES 0xFF00u
#define MESSAGE_NO_TARGET_TYPE MESSAGE_TYPES    /* an answer of this type fails the call with MESSAGE_NO_TARGET */

/* Runs as an event, always on the same vCPU for messages of one node. The message is gone when it returns. */
typedef void (*message_handler)(void *ctx, const struct message *message);

/*
 * From now on this is node `own`, at the UDP port `port`. `session`, 1 to 65535, tells this life of the node from earlier ones and is larger than
 * theirs. False: the port is taken.
 */
bool messenger_start(uint16_t own, uint16_t port, uint32_t session);

uint16_t messenger_own(void);           /* this node */
uint32_t messenger_session(void);       /* and its life, as messenger_start was told */

/* Where a node is. Once for each, before messages go to it or come from it: others' datagrams are dropped. */
void messenger_peer(uint16_t node, uint32_t ip, uint16_t port);      /* ip in network byte order */

/*
 * Before messenger_start: asked about a well-formed datagram of a node without a name, on the vCPU it came to. messenger_peer in it takes the sender in;
 * otherwise the datagram is dropped, and comes again. `port` as in messenger_peer.
 */
typedef void (*messenger_stranger_fn)(uint16_t node, uint32_t ip, uint16_t port);
void messenger_on_stranger(messenger_stranger_fn fn);
bool messenger_knows(uint16_t node);

/* Messages to that Ebb of this node go to `handler`, from now on and for good. False: too many. */
bool messenger_target(ebb_id ebb, message_handler handler, void *ctx);

/* Messages to Ebbs that are no target go to `handler`, which answers those it does not know with MESSAGE_NO_TARGET_TYPE. One for a node. */
void messenger_otherwise(message_handler handler, void *ctx);

/*
 * Sends a copy of `body`. `delivered`, unless NULL, is fulfilled when the other node has it all, and fails when that cannot be known any more:
 * it does not answer, or has started anew.
 */
void message_send(uint16_t node, ebb_id ebb, uint16_t type, const void *body, uint32_t length, struct future *delivered);

/* A question whose answer is waited for. */
struct message_call {
    struct future answered;     /* fulfilled with the call itself */
    uint8_t *reply;             /* the caller's to free, with mem_free; NULL when empty */
    uint32_t length;
    uint16_t type;
    /* the messenger's */
    uint16_t node;
    uint32_t number, cpu, done;
    int error;
    struct future sent;
    struct future_wait wait;
    struct event event;
    struct timer timer;
    struct message_call *next;
};

/*
 * `call` is the caller's, all zero, and stays until it is decided: with an answer, or MESSAGE_LATE when none came within `patience_ns`. That the other node
 * acts on a question whose call failed is possible.
 */
void message_ask(struct message_call *call, uint16_t node, ebb_id ebb, uint16_t type, const void *body, uint32_t length, uint64_t patience_ns);

/* The answer to a message with a call, while its handler runs or later (keep `from`, `ebb` and `call`). */
void message_answer(const struct message *question, uint16_t type, const void *body, uint32_t length);

struct messenger_counts {
    uint64_t sent, received;            /* messages */
    uint64_t resent, duplicates;        /* segments */
    uint64_t malformed, strangers, undeliverable;
};

struct messenger_counts messenger_counts(void);         /* of all vCPUs */

#endif
