/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ids, what they stand for, and where other nodes are: questions to gpos, whose answers are kept. From any vCPU. */
#include "node_parts.h"

#define PATIENCE_NS 2000000000ull
#define ROOT_BUCKETS 64u

/* A question under way; freed when it is answered. */
struct node_question {
    struct message_call call;
    struct future_wait wait;
    struct future *done;
    struct node_root *root;             /* where the answer goes */
    uint16_t node;
    ebb_miss_fn miss;                   /* of an attachment */
    ebb_id *slot;
    struct future resolved;
};

struct node_known {
    struct node_known *next;
    ebb_id slot;                        /* 0: not attached */
    struct node_root root;
};

static struct node_known *known[ROOT_BUCKETS];
static struct spinlock known_lock;
static struct spinlock peer_lock;

uint32_t node_new_id(void)
{
    if (!node_joined())
        return 0;

    uint32_t number = __atomic_add_fetch(&node_own.ids, 1, __ATOMIC_RELAXED);

    return number < 1u << NODE_ID_BITS ? node_own.prefix << NODE_ID_BITS | number : 0;
}

/* ---- asking ---- */

static struct node_question *question_new(struct future *done, event_fn answered)
{
    struct node_question *question = mem_zalloc(sizeof(*question));

    if (question == NULL) {
        future_fail(done, MESSAGE_NO_MEMORY);
        return NULL;
    }
    question->done = done;
    future_then(&question->call.answered, &question->wait, answered, question);
    return question;
}

/* `error`: 0, or why not. */
static void question_end(struct node_question *question, int error)
{
    struct future *done = question->done;
    int failed = question->call.answered.state == FUTURE_FAILED ? question->call.answered.error : error;

    mem_free(question->call.reply);
    mem_free(question);
    if (failed)
        future_fail(done, failed);
    else
        future_fulfil(done, NULL);
}

/* ---- roots ---- */

static void publish_answered(void *arg)
{
    struct node_question *question = arg;

    question_end(question, question->call.type == NODE_STORED ? 0 : MESSAGE_NO_MEMORY);
}

void node_publish(uint32_t id, const void *root, uint16_t length, struct future *done)
{
    struct node_root body = { id, node_own.number, length, { 0 } };

    if (length > NODE_ROOT)
        panic("node: a root of %u bytes", length);
    memcpy(body.bytes, root, length);

    struct node_question *question = question_new(done, publish_answered);

    if (question)
        message_ask(&question->call, NODE_GPOS, NODE_EBB_MAP, NODE_PUBLISH, &body, (uint32_t)offsetof(struct node_root, bytes) + length,
                    PATIENCE_NS);
}

static struct node_known *known_find(uint32_t id)
{
    struct node_known *at = known[id % ROOT_BUCKETS];

    while (at && at->root.id != id)
        at = at->next;
    return at;
}

/* The answer is kept; whoever asked at the same time may have been first. NULL: no memory. */
static struct node_known *known_keep(const struct node_root *root, uint32_t length)
{
    struct node_known *fresh = mem_zalloc(sizeof(*fresh));

    if (fresh == NULL)
        return NULL;
    memcpy(&fresh->root, root, length);
    spin_lock(&known_lock);

    struct node_known *found = known_find(root->id);

    if (found == NULL) {
        fresh->next = known[root->id % ROOT_BUCKETS];
        known[root->id % ROOT_BUCKETS] = found = fresh;
        fresh = NULL;
    }
    spin_unlock(&known_lock);
    mem_free(fresh);
    return found;
}

static void resolve_answered(void *arg)
{
    struct node_question *question = arg;
    const struct node_root *root = (const struct node_root *)question->call.reply;
    uint32_t length = question->call.length;
    int error = NODE_UNKNOWN;

    if (question->call.type == NODE_ROOT_IS && length >= offsetof(struct node_root, bytes) && length <= sizeof(*root) &&
        root->length == length - offsetof(struct node_root, bytes)) {
        struct node_known *kept = known_keep(root, length);

        error = kept ? 0 : MESSAGE_NO_MEMORY;
        if (kept)
            *question->root = kept->root;
    }
    question_end(question, error);
}

void node_resolve(uint32_t id, struct node_root *root, struct future *done)
{
    spin_lock(&known_lock);

    struct node_known *found = known_find(id);

    if (found)
        *root = found->root;
    spin_unlock(&known_lock);
    if (found) {
        future_fulfil(done, NULL);
        return;
    }

    struct node_question *question = question_new(done, resolve_answered);

    if (question) {
        question->root = root;
        message_ask(&question->call, NODE_GPOS, NODE_EBB_MAP, NODE_RESOLVE, &id, sizeof(id), PATIENCE_NS);
    }
}

/* ---- attaching: an Ebb of this node for one of all nodes ---- */

static void attach_resolved(void *arg)
{
    struct node_question *question = arg;
    struct node_root *root = question->root;
    struct future *done = question->done;
    int error = question->resolved.state == FUTURE_FAILED ? question->resolved.error : 0;

    if (!error) {
        spin_lock(&known_lock);

        struct node_known *found = known_find(root->id);

        if (found->slot == 0)
            found->slot = ebb_create(question->miss, &found->root);
        *question->slot = found->slot;
        spin_unlock(&known_lock);
    }
    mem_free(root);
    mem_free(question);
    if (error)
        future_fail(done, error);
    else
        future_fulfil(done, NULL);
}

void node_attach(uint32_t id, ebb_miss_fn miss, ebb_id *slot, struct future *done)
{
    struct node_question *question = mem_zalloc(sizeof(*question));
    struct node_root *root = mem_alloc(sizeof(*root));

    if (question == NULL || root == NULL) {
        mem_free(question);
        mem_free(root);
        future_fail(done, MESSAGE_NO_MEMORY);
        return;
    }
    question->root = root;
    question->done = done;
    question->miss = miss;
    question->slot = slot;
    node_resolve(id, root, &question->resolved);
    future_then(&question->resolved, &question->wait, attach_resolved, question);
}

/* ---- other nodes ---- */

static void peer_answered(void *arg)
{
    struct node_question *question = arg;
    uint32_t address = 0;

    if (question->call.type == NODE_HERE && question->call.length == sizeof(struct node_place)) {
        const struct node_place *place = (const struct node_place *)question->call.reply;

        address = place->address;
        spin_lock(&peer_lock);
        if (address && !messenger_knows(question->node))
            messenger_peer(question->node, address, place->port);
        spin_unlock(&peer_lock);
    }
    question_end(question, address ? 0 : NODE_UNKNOWN);
}

void node_peer(unsigned node, struct future *done)
{
    uint16_t number = (uint16_t)node;

    if (node >= MESSENGER_NODES) {
        future_fail(done, NODE_UNKNOWN);
        return;
    }
    if (node == node_own.number || messenger_knows(number)) {
        future_fulfil(done, NULL);
        return;
    }

    struct node_question *question = question_new(done, peer_answered);

    if (question) {
        question->node = number;
        message_ask(&question->call, NODE_GPOS, NODE_EBB_HELLO, NODE_WHERE, &number, sizeof(number), PATIENCE_NS);
    }
}

/* Somebody speaks to us: gpos knows whether that is a node. One at a time; others come again. */
static struct future stranger_known;
static struct future_wait stranger_wait;
static bool stranger_open;

static void stranger_done(void *arg)
{
    (void)arg;
    __atomic_store_n(&stranger_open, false, __ATOMIC_RELEASE);
}

void node_stranger(uint16_t node, uint32_t ip, uint16_t port)
{
    (void)ip;
    (void)port;
    if (!node_joined() || __atomic_exchange_n(&stranger_open, true, __ATOMIC_ACQUIRE))
        return;
    stranger_known = (struct future){ 0 };
    node_peer(node, &stranger_known);
    future_then(&stranger_known, &stranger_wait, stranger_done, NULL);
}
