/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node of a MultiLibOS: it joins the application by a hello to the general-purpose node (`gpos`, number 0), which gives it a prefix for ids,
 * takes its log lines, gives it its configuration, lists it among its processes and may tell it to stop. docs/offload.md has the formats.
 *
 * A node's words stand on the command line: node=N (1 to 255), session=S (1 to 65535, larger in each life), gpos=A.B.C.D, name=NAME.
 */
#ifndef NODE_H
#define NODE_H

#include "messenger.h"

#define NODE_GPOS 0u
#define NODE_NAME 24u                   /* bytes of a name, with its zero */
#define NODE_SENTENCE 240u

/* Services that every node knows by number: no prefix, and above the ids of a node's own Ebbs. */
enum {
    NODE_EBB_HELLO = 0x200,             /* gpos: joining, who is where, heartbeats */
    NODE_EBB_CONTROL,                   /* every node: stop, statistics */
    NODE_EBB_MAP,                       /* gpos: what ids of distributed Ebbs stand for */
    NODE_EBB_LOG,                       /* gpos */
    NODE_EBB_CONFIG,                    /* gpos, and every node: changes */
    NODE_EBB_POWER,                     /* gpos: machines on and off */
    NODE_EBB_SHARED,                    /* every node: shared objects */
    NODE_EBB_MEMORY,                    /* every node: shared memory */
    NODE_EBB_NINEP,                     /* hosted nodes: their files, by 9P */
    NODE_EBB_OBJECTS,                   /* every node: where objects in its shared memory are */
    NODE_EBB_APPLICATION = 0x240,       /* from here on an application's own */
};

/* Why a future of ours fails, besides the messenger's reasons. */
enum { NODE_REFUSED = 100, NODE_UNKNOWN, NODE_APART };

/*
 * Joins. False, and nothing happens: there is no word gpos=. `image` is the program's name. `joined`, unless NULL, is fulfilled when the welcome
 * has come, or fails with NODE_REFUSED. A gpos that does not answer is asked again and again, also after it was lost; a node need not wait.
 */
bool node_start(const char *image, struct future *joined);

unsigned node_number(void);
const char *node_name(void);            /* name=, or node and the number */
bool node_joined(void);
const char *node_refusal(void);         /* the sentence, after NODE_REFUSED */

/* Whoever must know when it joined (again, after gpos was lost): fn(arg), an event of vCPU 0. At most 8, for good. */
bool node_on_join(event_fn fn, void *arg);

/* ---- ids: a prefix of ours, and a number ---- */

#define NODE_ID_BITS 20u
#define NODE_PREFIXES (1u << (32 - NODE_ID_BITS))

uint32_t node_new_id(void);             /* the same nowhere else, ever; 0: not joined yet, or none are left */

/*
 * gpos's map of ids: which node an Ebb is at home on, and up to NODE_ROOT bytes that say what it is. `done` is fulfilled once it is stored: anybody who then asks
 * gets it. Publishing an id again replaces it.
 */
#define NODE_ROOT 512u

struct node_root {
    uint32_t id;
    uint16_t home;
    uint16_t length;
    uint8_t bytes[NODE_ROOT];
};

void node_publish(uint32_t id, const void *root, uint16_t length, struct future *done);
/* Into `root`, which stays until `done` is fulfilled, or fails with NODE_UNKNOWN. From the second time on without asking. */
void node_resolve(uint32_t id, struct node_root *root, struct future *done);

/*
 * An Ebb of this node that stands for the one of all nodes: calls through `*slot` are as fast as any. `miss` makes representatives; its root is the struct
 * node_root. The same slot whoever asks, with the first one's `miss`.
 */
void node_attach(uint32_t id, ebb_miss_fn miss, ebb_id *slot, struct future *done);

/* ---- other nodes ---- */

/* Fulfilled when messages to that node can be sent: its address is known. Fails with NODE_UNKNOWN. */
void node_peer(unsigned node, struct future *done);

/* ---- the log: a file of that node's name, on gpos ---- */

/*
 * Lines of text, without their ends. What console_printf prints goes there, too, from node_start on. A line is stored once and in order; while gpos is away NODE_LOG_BYTES of
 * them wait, and further ones are lost, which the log then says.
 */
#define NODE_LOG_BYTES 16384u

void node_log(const char *text, size_t length);

struct node_log_counts {
    uint64_t lines, stored, lost;       /* given to the log; of these acknowledged, or not taken for want of room */
};

struct node_log_counts node_log_counts(void);

/* The caller's, until `done` is decided: fulfilled when every line given so far is stored; fails with MESSAGE_NO_MEMORY when one was lost since the last such call. */
struct node_log_sync {
    struct node_log_sync *next;
    struct future done;
    uint64_t lines, lost;
};

void node_log_sync(struct node_log_sync *sync);

/* ---- configuration: keys and values that gpos keeps, the same for all nodes ---- */

#define NODE_KEY 64u                    /* bytes, with the zero */
#define NODE_VALUE 192u

/* As known here: all keys once joined, and changes as they come. False: there is no such key. From any vCPU. */
bool node_config_get(const char *key, char value[NODE_VALUE]);

/* fn(ctx, value), as an event of vCPU 0, when the key is first heard of and whenever it changes. `key` stays. At most 16. */
typedef void (*node_config_fn)(void *ctx, const char *value);
bool node_config_watch(const char *key, node_config_fn fn, void *ctx);

/* Fulfilled when gpos has stored it; others hear of it then. Fails with NODE_REFUSED for what is no key (letters, digits, - _ .) or value (printable). */
void node_config_set(const char *key, const char *value, struct future *done);

/* ---- machines on demand: docs/elasticity.md ---- */

/* A machine that was asked for: the caller's, and stays until `given` is decided. */
struct node_grant {
    struct future given;                /* fulfilled with the grant itself */
    uint16_t number;                    /* of the new node */
    bool warm;                          /* it had booted before */
    uint32_t ip;                        /* network byte order */
    char why[NODE_SENTENCE];            /* after NODE_REFUSED */
    /* the library's */
    struct message_call call;
    struct future_wait wait;
};

/*
 * Asks gpos for a machine of that kind (a pool's name, at most 32 bytes). `given` is fulfilled when the new node has joined gpos; it fails with NODE_REFUSED, or as
 * message_ask does: MESSAGE_NO_TARGET, where gpos has no provisioner.
 */
void node_allocate(const char *kind, struct node_grant *grant);

/* Takes that machine's power away, whoever asked for it. `done` is fulfilled when it is gone. */
void node_free(uint16_t number, struct future *done);

/* ---- versions: each interface has a range, and a pair of nodes uses the highest that both have ---- */

struct node_interface {
    uint32_t ebb;
    const char *name;
    uint16_t low, high;                 /* 0, 0: none, by the word speaks= */
    bool needed;                        /* without it we do not work */
    uint16_t agreed;                    /* with gpos; 0: none */
};

/* Before node_start. At most 16. The word speaks=NAME:LOW-HIGH,... narrows ranges, NAME:0 leaves one out. */
void node_speaks(uint32_t ebb, const char *name, uint16_t low, uint16_t high, bool needed);
uint16_t node_version(uint32_t ebb);    /* agreed with gpos; 0: none, or not joined */

#endif
