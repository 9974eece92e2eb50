/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Distributed Ebbs. An entry of an id is made when it is created here or first met here; while gpos's map or its home is asked what it is, messages
 * and lookups wait at it. Everything waits under one lock; representatives are made and called outside.
 */
#include "distributed.h"

#define BUCKETS 256u
#define PATIENCE_NS 5000000000ull

enum { TYPE_DESCRIBE = 0xFE00, TYPE_DESCRIPTION, TYPE_NOT_KNOWN };
enum state { ASKING, KNOWN, MADE };

struct kept {                           /* a message that waits */
    struct kept *next;
    struct message message;
    uint8_t body[];
};

struct entry {
    struct entry *next;
    enum state state;
    global_id id;
    uint16_t kind;
    uint32_t length, waiting;
    void *rep;
    const struct distributed_kind *of;
    struct kept *first, **last;
    struct distributed_lookup *lookups;
    bool ours;                          /* created here */
    struct message_call call;           /* to its home */
    struct future resolved;             /* by gpos's map */
    struct node_root root;
    struct future_wait wait;
    uint8_t description[DISTRIBUTED_DESCRIPTION];
};

static bool distributed_mapped(void)
{
    return node_number() != 0;          /* of gpos's nodes, joined or not */
}

static uint16_t distributed_home(global_id id)
{
    return (uint16_t)((id >> NODE_ID_BITS) - 1);
}

static const struct distributed_kind *kinds;
static unsigned kind_count;
static struct entry *entries[BUCKETS];
static struct spinlock lock;
static uint32_t created;

static struct entry *distributed_find(global_id id)
{
    struct entry *entry = entries[(id * 2654435761u) >> 24];

    while (entry && entry->id != id)
        entry = entry->next;
    return entry;
}

static struct entry *distributed_add(global_id id, enum state state)
{
    struct entry *entry = mem_zalloc(sizeof(*entry)), **bucket = &entries[(id * 2654435761u) >> 24];

    if (entry == NULL)
        return NULL;
    entry->id = id;
    entry->state = state;
    entry->last = &entry->first;
    entry->next = *bucket;
    *bucket = entry;
    return entry;
}

static void distributed_remove(struct entry *entry)
{
    struct entry **link = &entries[(entry->id * 2654435761u) >> 24];

    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
}

static void distributed_refuse(const struct message *message)
{
    if (message->call)
        message_answer(message, MESSAGE_NO_TARGET_TYPE, NULL, 0);
}

/* Everything that waited, and what came meanwhile, gets the representative (NULL: hears that there is none), in order. Then the entry is decided. */
static void distributed_decide(struct entry *entry, void *rep, int error)
{
    bool gone = false;

    for (;;) {
        spin_lock(&lock);

        struct distributed_lookup *lookup = entry->lookups;
        struct kept *kept = lookup ? NULL : entry->first;

        if (lookup) {
            entry->lookups = lookup->next;
        } else if (kept) {
            entry->first = kept->next;
            entry->waiting--;
        } else if (rep) {
            entry->rep = rep;
            entry->state = MADE;
        } else if (entry->ours) {
            entry->state = KNOWN;
        } else {
            distributed_remove(entry);  /* the next message asks again */
            gone = true;
        }
        spin_unlock(&lock);
        if (lookup && rep)
            future_fulfil(&lookup->made, rep);
        else if (lookup)
            future_fail(&lookup->made, error);
        else if (kept == NULL)
            break;
        else if (rep)
            entry->of->take(rep, &kept->message);
        else
            distributed_refuse(&kept->message);
        mem_free(kept);
    }
    if (gone)
        mem_free(entry);
}

static void distributed_make(struct entry *entry)
{
    void *rep = NULL;

    for (unsigned i = 0; i < kind_count && entry->of == NULL; i++)
        if (kinds[i].kind == entry->kind)
            entry->of = &kinds[i];
    if (entry->of)
        rep = entry->of->make(entry->id, entry->description, entry->length);
    distributed_decide(entry, rep, DISTRIBUTED_NOT_MADE);
}

/* It is known what the id is: a kind, and behind it the description. */
static bool distributed_take_root(struct entry *entry, const uint8_t *root, uint32_t length)
{
    if (length < 2 || length - 2 > DISTRIBUTED_DESCRIPTION)
        return false;
    memcpy(&entry->kind, root, 2);
    entry->length = length - 2;
    memcpy(entry->description, root + 2, entry->length);
    return true;
}

static void distributed_found(struct entry *entry, bool found, const struct future *asked)
{
    if (found)
        distributed_make(entry);
    else
        distributed_decide(entry, NULL, asked->state == FUTURE_FAILED ? asked->error : DISTRIBUTED_NOT_MADE);
}

static void distributed_resolved(void *arg)
{
    struct entry *entry = arg;

    distributed_found(entry, entry->resolved.state == FUTURE_FULFILLED && distributed_take_root(entry, entry->root.bytes, entry->root.length),
                      &entry->resolved);
}

static void distributed_described(void *arg)
{
    struct entry *entry = arg;
    struct message_call *call = &entry->call;
    bool found = call->answered.state == FUTURE_FULFILLED && call->type == TYPE_DESCRIPTION && distributed_take_root(entry, call->reply, call->length);

    mem_free(call->reply);
    distributed_found(entry, found, &call->answered);
}

static void distributed_ask(struct entry *entry)
{
    if (distributed_mapped()) {
        entry->resolved = (struct future){ 0 };
        future_then(&entry->resolved, &entry->wait, distributed_resolved, entry);
        node_resolve(entry->id, &entry->root, &entry->resolved);
        return;
    }
    entry->call = (struct message_call){ 0 };
    future_then(&entry->call.answered, &entry->wait, distributed_described, entry);
    message_ask(&entry->call, distributed_home(entry->id), EBB_DISTRIBUTED, TYPE_DESCRIBE, &entry->id, sizeof(entry->id), PATIENCE_NS);
}

/* With the lock: the entry of an id, and whether the caller must `*ask` its home or `*make` its representative. */
static struct entry *distributed_meet(global_id id, bool *ask, bool *make)
{
    struct entry *entry = distributed_find(id);

    *ask = *make = false;
    if (entry == NULL && id >> NODE_ID_BITS && (distributed_mapped() || distributed_home(id) != messenger_own())) {
        entry = distributed_add(id, ASKING);
        *ask = entry != NULL;
    } else if (entry && entry->state == KNOWN) {
        entry->state = ASKING;          /* it is here that it is made */
        *make = true;
    }
    return entry;
}

static bool distributed_keep(struct entry *entry, const struct message *message)
{
    struct kept *kept = entry->waiting < DISTRIBUTED_WAITING ? mem_alloc(sizeof(*kept) + message->length) : NULL;

    if (kept == NULL)
        return false;
    kept->next = NULL;
    kept->message = *message;
    kept->message.body = kept->body;
    if (message->length)
        memcpy(kept->body, message->body, message->length);
    if (entry->first == NULL)
        entry->last = &entry->first;
    *entry->last = kept;
    entry->last = &kept->next;
    entry->waiting++;
    return true;
}

/* A message to an id that is no target of this node's. */
static void distributed_message(void *ctx, const struct message *message)
{
    bool ask, make, kept = false;

    (void)ctx;
    spin_lock(&lock);

    struct entry *entry = distributed_meet(message->ebb, &ask, &make);

    if (entry && entry->state == MADE) {
        spin_unlock(&lock);
        entry->of->take(entry->rep, message);
        return;
    }
    if (entry && entry->state == ASKING)
        kept = distributed_keep(entry, message);
    spin_unlock(&lock);
    if (!kept)
        distributed_refuse(message);
    if (ask)
        distributed_ask(entry);
    if (make)
        distributed_make(entry);
}

void distributed_rep(struct distributed_lookup *lookup, global_id id)
{
    bool ask, make;

    spin_lock(&lock);

    struct entry *entry = distributed_meet(id, &ask, &make);
    bool waits = entry && entry->state == ASKING;

    if (waits) {
        lookup->next = entry->lookups;
        entry->lookups = lookup;
    }
    spin_unlock(&lock);
    if (!waits && entry && entry->state == MADE)
        future_fulfil(&lookup->made, entry->rep);
    else if (!waits)
        future_fail(&lookup->made, DISTRIBUTED_NOT_MADE);
    if (ask)
        distributed_ask(entry);
    if (make)
        distributed_make(entry);
}

/* Another node asks what an id of ours is. */
static void distributed_service(void *ctx, const struct message *message)
{
    uint8_t answer[2 + DISTRIBUTED_DESCRIPTION];
    global_id id;
    uint32_t length = 0;

    (void)ctx;
    if (message->type != TYPE_DESCRIBE || message->length != sizeof(id) || message->call == 0)
        return;
    memcpy(&id, message->body, sizeof(id));
    spin_lock(&lock);

    const struct entry *entry = distributed_find(id);

    if (entry && entry->ours) {
        memcpy(answer, &entry->kind, 2);
        memcpy(answer + 2, entry->description, entry->length);
        length = 2 + entry->length;
    }
    spin_unlock(&lock);
    message_answer(message, length ? TYPE_DESCRIPTION : TYPE_NOT_KNOWN, answer, length);
}

global_id distributed_create(uint16_t kind, const void *description, uint32_t length, struct future *known)
{
    uint8_t root[2 + DISTRIBUTED_DESCRIPTION];
    global_id id;

    if (length > DISTRIBUTED_DESCRIPTION)
        return 0;
    spin_lock(&lock);
    id = distributed_mapped() ? node_new_id() : created + 1 < 1u << NODE_ID_BITS ? (messenger_own() + 1u) << NODE_ID_BITS | ++created : 0;

    struct entry *entry = id ? distributed_add(id, KNOWN) : NULL;

    if (entry) {
        entry->ours = true;
        entry->kind = kind;
        entry->length = length;
        memcpy(entry->description, description, length);
    }
    spin_unlock(&lock);
    if (entry == NULL)
        return 0;
    if (!distributed_mapped()) {
        future_fulfil(known, NULL);
        return id;
    }
    memcpy(root, &kind, 2);
    memcpy(root + 2, description, length);
    node_publish(id, root, (uint16_t)(length + 2), known);
    return id;
}

bool distributed_start(const struct distributed_kind *list, unsigned count)
{
    kinds = list;
    kind_count = count;
    messenger_otherwise(distributed_message, NULL);
    return messenger_target(EBB_DISTRIBUTED, distributed_service, NULL);
}
