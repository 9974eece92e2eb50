/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is alive. A node that has pages of a home has a lease of it, which it renews; when that has run out it drops them all, and some time after that the home counts it
 * as dead. So a node that is cut off, and cannot be told, does not go on reading what others have changed since. Each stay has a number of its own, the epoch.
 */
#include "dsm_parts.h"

/* A node as this home knows it. */
struct dsm_guest {
    uint32_t epoch;                     /* 0: it has nothing of ours */
    bool doomed;                        /* something did not reach it: its lease is not renewed */
    uint64_t end;
};

static struct dsm_guest dsm_guests[MESSENGER_NODES];
static struct dsm_link *dsm_links[MESSENGER_NODES];
static uint32_t dsm_last_epoch = 1;
static struct timer dsm_timer;

/* ---- as a home ---- */

bool dsm_joined(uint16_t node, uint32_t epoch)
{
    return epoch && dsm_guests[node].epoch == epoch;
}

uint32_t dsm_epoch_of(uint16_t node)
{
    return dsm_guests[node].epoch;
}

static void dsm_leaves(uint16_t node)
{
    dsm_guests[node].epoch = 0;
    dsm_guests[node].doomed = false;
    dsm_forget(node);
}

static void dsm_look(void *arg)
{
    bool any = false;

    (void)arg;
    for (uint16_t node = 0; node < MESSENGER_NODES; node++) {
        if (dsm_guests[node].epoch && node != dsm_own && clock_ns() > dsm_guests[node].end)
            dsm_leaves(node);
        any |= dsm_guests[node].epoch && node != dsm_own;
    }
    if (any && !timer_start(&dsm_timer, dsm_lease_ns / 8, dsm_look, NULL))
        panic("dsm: no memory for a timer");
}

void dsm_hello(const struct message *question, const struct dsm_head *hello)
{
    struct dsm_guest *guest = &dsm_guests[question->from];
    struct dsm_head head = { .life = messenger_session() };

    if (hello->epoch == 0 && question->from != dsm_own) {       /* it has nothing of ours, or no more */
        dsm_leaves(question->from);
        guest->epoch = ++dsm_last_epoch;
    }
    if (guest->epoch && (hello->epoch == 0 || hello->epoch == guest->epoch) && !guest->doomed) {
        guest->end = clock_ns() + dsm_lease_ns + dsm_lease_ns / 4;
        head.epoch = guest->epoch;
    }
    message_answer(question, DSM_WELCOME, &head, sizeof(head));
    if (dsm_timer.slot == 0)
        dsm_look(NULL);
}

static void dsm_expel_here(void *arg)
{
    if (dsm_guests[(uint64_t)arg].epoch)
        dsm_leaves((uint16_t)(uint64_t)arg);
}

void dsm_expel(uint16_t node)
{
    if (node == dsm_own || node >= MESSENGER_NODES || !event_spawn(DSM_KEEPER, dsm_expel_here, (void *)(uint64_t)node))
        panic("dsm: node %u cannot be expelled", node);
}

/* ---- as a guest ---- */

struct dsm_link *dsm_link_to(uint16_t home, bool make)
{
    struct dsm_link *link = home < MESSENGER_NODES ? dsm_links[home] : NULL;

    if (link == NULL && make && home < MESSENGER_NODES && (link = mem_zalloc(sizeof(*link)))) {
        link->node = home;
        link->epoch = home == dsm_own;
        __atomic_store_n(&dsm_links[home], link, __ATOMIC_RELEASE);
    }
    return link;
}

void dsm_each_waiting(struct dsm_link *link, int error)
{
    for (uint32_t leaf = 0; leaf < DSM_HOME_PAGES / DSM_LEAF; leaf++)
        for (uint32_t i = 0; link->leaves[leaf] && i < DSM_LEAF; i++) {
            struct dsm_page *page = &link->leaves[leaf][i];

            if (page->waiters && error)
                dsm_wake(page, error);
            else if (page->waiters)
                dsm_advance(page);
        }
}

void dsm_lapse(struct dsm_link *link)
{
    uint32_t written = 0;

    link->epoch = 0;
    timer_cancel(&link->timer);
    dsm_each_waiting(link, DSM_HOME_LOST);
    for (uint32_t leaf = 0; leaf < DSM_HOME_PAGES / DSM_LEAF; leaf++)
        for (uint32_t i = 0; link->leaves[leaf] && i < DSM_LEAF; i++) {
            struct dsm_page *page = &link->leaves[leaf][i];

            written += page->rights == DSM_RIGHT_WRITE;
            page->asked = 0;
            if (page->rights || page->granting || page->owed || page->revoking)
                dsm_take(page, DSM_OWES_SILENCE, DSM_RIGHT_NONE);
        }
    console_printf("dsm: node %u is out of reach: %u pages that were being written here are lost\n", link->node, written);
}

static void dsm_tick(void *arg)
{
    struct dsm_link *link = arg;

    if (link->epoch == 0)
        return;
    if (clock_ns() > link->until) {
        dsm_lapse(link);
        return;
    }
    if (!link->asking && clock_ns() > link->asked_at + dsm_lease_ns / 4)
        dsm_join(link);
    if (!timer_start(&link->timer, dsm_lease_ns / 8, dsm_tick, link))
        panic("dsm: no memory for a timer");
}

static void dsm_welcome(struct dsm_link *link, uint32_t asked_epoch, const struct dsm_head *head)
{
    if (link->life && head->life != link->life) {
        __atomic_store_n(&link->over, true, __ATOMIC_RELEASE);
        if (link->epoch)
            dsm_lapse(link);
        else
            dsm_each_waiting(link, DSM_HOME_LOST);
        return;
    }
    if (asked_epoch != link->epoch) {           /* the lease ran out meanwhile */
        dsm_each_waiting(link, 0);
        return;
    }
    if (head->epoch == 0 || (link->epoch && head->epoch != link->epoch)) {
        if (link->epoch)
            dsm_lapse(link);                    /* the home has counted us as dead */
        else
            dsm_each_waiting(link, DSM_HOME_LOST);
        return;
    }
    link->life = head->life;
    link->epoch = head->epoch;
    link->until = link->asked_at + dsm_lease_ns;
    if (link->timer.slot == 0 && !timer_start(&link->timer, dsm_lease_ns / 8, dsm_tick, link))
        panic("dsm: no memory for a timer");
    dsm_each_waiting(link, 0);
}

static void dsm_answered(void *arg)
{
    struct dsm_link *link = arg;
    const struct message_call *call = &link->call;
    struct dsm_head head = { 0 };
    bool good = call->answered.state == FUTURE_FULFILLED && call->type == DSM_WELCOME && call->length == sizeof(head);

    if (good)
        memcpy(&head, call->reply, sizeof(head));
    mem_free(call->reply);
    link->asking = false;
    if (good)
        dsm_welcome(link, link->asked_epoch, &head);
    else if (link->epoch == 0)
        dsm_each_waiting(link, DSM_HOME_LOST);
}

void dsm_join(struct dsm_link *link)
{
    struct dsm_head head = { .epoch = link->epoch };

    if (link->asking || link->revoking)
        return;
    memset(&link->call, 0, sizeof(link->call));
    link->asking = true;
    link->asked_at = clock_ns();
    link->asked_epoch = link->epoch;
    future_then(&link->call.answered, &link->answered, dsm_answered, link);
    message_ask(&link->call, link->node, DSM_EBB, DSM_HELLO, &head, sizeof(head), dsm_lease_ns);
}

uint32_t dsm_life(uint16_t home)
{
    const struct dsm_link *link = dsm_link_to(home, false);

    if (home == dsm_own)
        return messenger_session();
    return link && !__atomic_load_n(&link->over, __ATOMIC_ACQUIRE) ? __atomic_load_n(&link->life, __ATOMIC_ACQUIRE) : 0;
}

struct dsm_accepted {
    struct event event;
    uint32_t life;
    uint16_t home;
};

static void dsm_accept_here(void *arg)
{
    struct dsm_accepted *accepted = arg;
    struct dsm_link *link = dsm_link_to(accepted->home, true);

    if (link && link->life != accepted->life) {
        if (link->epoch)
            dsm_lapse(link);
        else
            dsm_each_waiting(link, DSM_HOME_LOST);
        __atomic_store_n(&link->life, accepted->life, __ATOMIC_RELEASE);
        __atomic_store_n(&link->over, false, __ATOMIC_RELEASE);
    }
    mem_free(accepted);
}

void dsm_accept(uint16_t home, uint32_t life)
{
    struct dsm_accepted *accepted = mem_alloc(sizeof(*accepted));

    if (home == dsm_own || home >= MESSENGER_NODES || accepted == NULL)
        panic("dsm: node %u cannot live anew here", home);
    accepted->home = home;
    accepted->life = life;
    if (cpu_id() == DSM_KEEPER)
        dsm_accept_here(accepted);
    else
        event_post(DSM_KEEPER, &accepted->event, dsm_accept_here, accepted);
}

/* A message was lost for good, so this node and that one no longer agree on who has what. */
void dsm_undelivered(uint16_t node)
{
    struct dsm_link *link = dsm_link_to(node, false);

    if (node == dsm_own)
        panic("dsm: no memory for a message");
    dsm_guests[node].doomed = dsm_guests[node].epoch != 0;
    if (link && link->epoch)
        dsm_lapse(link);
}

void dsm_lease_start(void)
{
    dsm_guests[dsm_own].epoch = 1;
}
