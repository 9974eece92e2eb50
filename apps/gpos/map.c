/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ids of distributed Ebbs stand for: a hash table of roots. */
#include "gpos.h"

#define BUCKETS 256u
#define ROOTS_MOST 65536u

struct map_entry {
    struct map_entry *next;
    struct node_root root;
};

static struct map_entry *buckets[BUCKETS];
static unsigned map_count;

static struct map_entry *map_find(uint32_t id)
{
    struct map_entry *at = buckets[id % BUCKETS];

    while (at && at->root.id != id)
        at = at->next;
    return at;
}

static bool map_store(const struct message *message)
{
    const struct node_root *root = (const struct node_root *)message->body;
    struct map_entry *entry = map_find(root->id);

    if (entry == NULL) {
        entry = map_count < ROOTS_MOST ? mem_alloc(sizeof(*entry)) : NULL;
        if (entry == NULL)
            return false;
        entry->next = buckets[root->id % BUCKETS];
        buckets[root->id % BUCKETS] = entry;
        map_count++;
    }
    memcpy(&entry->root, root, message->length);
    return true;
}

static void map_publish(const struct message *message)
{
    const struct node_root *root = (const struct node_root *)message->body;
    bool whole = message->length >= offsetof(struct node_root, bytes) && message->length <= sizeof(*root) &&
                 root->length == message->length - offsetof(struct node_root, bytes);

    message_answer(message, whole && map_store(message) ? NODE_STORED : NODE_FULL, NULL, 0);
}

static void map_resolve(const struct message *message)
{
    uint32_t id = 0;

    if (message->length == sizeof(id))
        memcpy(&id, message->body, sizeof(id));

    const struct map_entry *entry = map_find(id);

    message_answer(message, NODE_ROOT_IS, entry ? &entry->root : NULL,
                   entry ? (uint32_t)offsetof(struct node_root, bytes) + entry->root.length : 0);
}

static void map_message(void *ctx, const struct message *message)
{
    (void)ctx;
    nodes_heard(message->from);
    if (message->call == 0 || !nodes_speaks(nodes_at(message->from), NODE_EBB_MAP))
        return;
    if (message->type == NODE_PUBLISH)
        map_publish(message);
    else if (message->type == NODE_RESOLVE)
        map_resolve(message);
}

void map_start(void)
{
    if (!messenger_target(NODE_EBB_MAP, map_message, NULL))
        panic("gpos: too many targets of messages");
}
