/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directory of pages that this node is home to. A page is shared (the home has its contents, nodes have readable copies), exclusive (one node may write it, and
 * only that node has its contents) or lost (that node died). Requests are served one after the other; while the home waits for answers, the next ones queue.
 */
#include "dsm_parts.h"

enum { ENTRY_SHARED, ENTRY_EXCLUSIVE, ENTRY_LOST };

struct dsm_request {
    struct dsm_request *next;
    uint16_t node;
    uint8_t rights;
};

struct dsm_nodes {
    uint64_t bits[MESSENGER_NODES / 64];
};

struct dsm_entry {
    struct dsm_nodes readers;
    struct dsm_nodes waiting;           /* for answers of these */
    struct dsm_request *requests;       /* at most one of a node */
    uint8_t *content;                   /* NULL: zeros */
    uint16_t owner;
    uint8_t state;
};

static struct dsm_entry *dsm_entries[DSM_HOME_PAGES / DSM_LEAF];
static uint32_t dsm_pages;              /* set aside */

static bool nodes_any(const struct dsm_nodes *nodes)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < MESSENGER_NODES / 64; i++)
        any |= nodes->bits[i];
    return any != 0;
}

static bool nodes_has(const struct dsm_nodes *nodes, uint16_t node)
{
    return nodes->bits[node / 64] >> node % 64 & 1;
}

static void nodes_add(struct dsm_nodes *nodes, uint16_t node)
{
    nodes->bits[node / 64] |= 1ull << node % 64;
}

static void nodes_remove(struct dsm_nodes *nodes, uint16_t node)
{
    nodes->bits[node / 64] &= ~(1ull << node % 64);
}

void *dsm_share(uint32_t pages)
{
    uint32_t first = __atomic_load_n(&dsm_pages, __ATOMIC_RELAXED);

    do
        if (pages == 0 || pages > DSM_HOME_PAGES - first)
            return NULL;
    while (!__atomic_compare_exchange_n(&dsm_pages, &first, first + pages, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return dsm_address(dsm_own, first);
}

/* NULL: no memory. */
static struct dsm_entry *entry_of(uint32_t page)
{
    struct dsm_entry **leaf = &dsm_entries[page / DSM_LEAF];

    if (*leaf == NULL)
        *leaf = mem_zalloc(DSM_LEAF * sizeof(**leaf));
    return *leaf ? *leaf + page % DSM_LEAF : NULL;
}

/* ---- answers ---- */

static void entry_refuse(uint16_t node, uint32_t page, int error)
{
    struct dsm_head head = { .page = page, .epoch = dsm_epoch_of(node), .error = (uint16_t)error };

    dsm_send(node, DSM_REFUSE, &head, NULL);
}

static void entry_grant(const struct dsm_entry *entry, uint16_t node, uint32_t page, enum dsm_rights rights)
{
    bool has = nodes_has(&entry->readers, node);
    struct dsm_head head = { .page = page, .epoch = dsm_epoch_of(node), .rights = (uint8_t)rights };

    head.content = has ? DSM_KEEP : entry->content ? DSM_DATA : DSM_ZEROS;
    dsm_send(node, DSM_GRANT, &head, head.content == DSM_DATA ? entry->content : NULL);
}

/* Invalidates all copies but `node`'s. False: there are none. */
static bool entry_invalidate(struct dsm_entry *entry, uint16_t node, uint32_t page)
{
    entry->waiting = entry->readers;
    nodes_remove(&entry->waiting, node);
    for (unsigned reader = 0; reader < MESSENGER_NODES; reader++)
        if (nodes_has(&entry->waiting, (uint16_t)reader)) {
            struct dsm_head head = { .page = page, .epoch = dsm_epoch_of((uint16_t)reader) };

            dsm_send((uint16_t)reader, DSM_INVALIDATE, &head, NULL);
        }
    return nodes_any(&entry->waiting);
}

static void entry_recall(struct dsm_entry *entry, uint32_t page, enum dsm_rights keeps)
{
    struct dsm_head head = { .page = page, .epoch = dsm_epoch_of(entry->owner), .rights = (uint8_t)keeps };

    nodes_add(&entry->waiting, entry->owner);
    dsm_send(entry->owner, DSM_RECALL, &head, NULL);
}

/* True: the first request is over; false: answers are waited for. */
static bool entry_step(struct dsm_entry *entry, uint32_t page)
{
    const struct dsm_request *request = entry->requests;

    if (entry->state == ENTRY_LOST) {
        entry_refuse(request->node, page, DSM_LOST);
    } else if (entry->state == ENTRY_EXCLUSIVE && entry->owner == request->node) {
        dsm_counted.malformed++;        /* it asks for what it has: it is mad, and may wait for ever */
    } else if (entry->state == ENTRY_EXCLUSIVE) {
        entry_recall(entry, page, request->rights == DSM_RIGHT_READ ? DSM_RIGHT_READ : DSM_RIGHT_NONE);
        return false;
    } else if (request->rights == DSM_RIGHT_READ) {
        nodes_remove(&entry->readers, request->node);   /* a reader that asks has no copy */
        entry_grant(entry, request->node, page, DSM_RIGHT_READ);
        nodes_add(&entry->readers, request->node);
    } else if (entry_invalidate(entry, request->node, page)) {
        return false;
    } else {
        entry_grant(entry, request->node, page, DSM_RIGHT_WRITE);
        entry->readers = (struct dsm_nodes){ 0 };
        entry->owner = request->node;
        entry->state = ENTRY_EXCLUSIVE;
    }
    return true;
}

static void entry_serve(struct dsm_entry *entry, uint32_t page)
{
    while (entry->requests && !nodes_any(&entry->waiting) && entry_step(entry, page)) {
        struct dsm_request *over = entry->requests;

        entry->requests = over->next;
        mem_free(over);
    }
}

/* ---- what nodes say ---- */

static void entry_ask(struct dsm_entry *entry, uint16_t from, uint32_t page, enum dsm_rights rights)
{
    struct dsm_request **last = &entry->requests;
    struct dsm_request *request = mem_alloc(sizeof(*request));

    while (*last && (*last)->node != from)
        last = &(*last)->next;
    if (*last || request == NULL) {
        *last ? dsm_counted.malformed++ : entry_refuse(from, page, DSM_NO_MEMORY);
        mem_free(request);
        return;
    }
    *request = (struct dsm_request){ NULL, from, (uint8_t)rights };
    *last = request;
    dsm_counted.asked++;
}

static void entry_returned(struct dsm_entry *entry, uint16_t from, const void *content)
{
    /* A recall for a reader lets the writer keep a copy. */
    bool keeps = nodes_has(&entry->waiting, from) && entry->requests && entry->requests->rights == DSM_RIGHT_READ;

    if (entry->content == NULL)
        entry->content = mem_alloc(DSM_PAGE);
    entry->state = ENTRY_SHARED;
    entry->waiting = (struct dsm_nodes){ 0 };
    if (keeps)
        nodes_add(&entry->readers, from);
    if (entry->content)
        memcpy(entry->content, content, DSM_PAGE);
    else
        panic("dsm: no memory for a page that comes back");
}

void dsm_to_home(uint16_t from, uint16_t type, const struct dsm_head *head, const void *content)
{
    struct dsm_entry *entry = NULL;
    bool asks = type == DSM_ASK_READ || type == DSM_ASK_WRITE;

    if (dsm_joined(from, head->epoch) && head->page < __atomic_load_n(&dsm_pages, __ATOMIC_ACQUIRE))
        entry = entry_of(head->page);
    else if (dsm_joined(from, head->epoch) && asks) {
        entry_refuse(from, head->page, DSM_ABSENT);
        return;
    }
    if (entry && asks)
        entry_ask(entry, from, head->page, type == DSM_ASK_WRITE ? DSM_RIGHT_WRITE : DSM_RIGHT_READ);
    else if (entry && type == DSM_INVALIDATED && entry->state == ENTRY_SHARED && nodes_has(&entry->waiting, from)) {
        nodes_remove(&entry->waiting, from);
        nodes_remove(&entry->readers, from);
    } else if (entry && type == DSM_RETURN && entry->state == ENTRY_EXCLUSIVE && entry->owner == from)
        entry_returned(entry, from, content);
    else if (asks && dsm_joined(from, head->epoch))
        entry_refuse(from, head->page, DSM_NO_MEMORY);
    else
        dsm_counted.malformed++;
    if (entry)
        entry_serve(entry, head->page);
}

/* ---- the dead ---- */

/* True: the page is lost. */
static bool entry_forget(struct dsm_entry *entry, uint16_t node)
{
    bool lost = entry->state == ENTRY_EXCLUSIVE && entry->owner == node;

    for (struct dsm_request **link = &entry->requests; *link;) {
        struct dsm_request *request = *link;

        if (request->node == node) {
            *link = request->next;
            mem_free(request);
        } else {
            link = &request->next;
        }
    }
    nodes_remove(&entry->readers, node);
    nodes_remove(&entry->waiting, node);
    if (lost)
        entry->state = ENTRY_LOST;
    return lost;
}

void dsm_forget(uint16_t node)
{
    uint32_t lost = 0, first = 0;

    for (uint32_t page = 0; page < dsm_pages; page++) {
        struct dsm_entry *leaf = dsm_entries[page / DSM_LEAF];

        if (leaf == NULL) {
            page += DSM_LEAF - 1;
            continue;
        }
        if (entry_forget(leaf + page % DSM_LEAF, node) && lost++ == 0)
            first = page;
        entry_serve(leaf + page % DSM_LEAF, page);
    }
    dsm_counted.lost += lost;
    if (lost)
        console_printf("dsm: node %u is dead: %u pages that it was writing are lost, the first is page %u\n", node, lost, first);
}
