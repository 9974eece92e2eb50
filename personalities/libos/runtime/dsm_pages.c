/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages as this node has them. Three things happen to one, never two at once: a grant is put in place, those that waited run once (the fence: else a page that is
 * wanted elsewhere could go before they have touched it), rights are taken. What the home takes meanwhile is owed until then.
 */
#include "dsm_parts.h"
#include "cpu.h"

struct dsm_page *dsm_page_of(struct dsm_link *link, uint32_t number, bool make)
{
    struct dsm_page *leaf = link->leaves[number / DSM_LEAF];

    if (leaf == NULL && make) {
        leaf = mem_zalloc(DSM_LEAF * sizeof(*leaf));
        for (uint32_t i = 0; leaf && i < DSM_LEAF; i++) {
            leaf[i].home = link->node;
            leaf[i].number = number / DSM_LEAF * DSM_LEAF + i;
        }
        if (leaf)
            dsm_rights_begin(leaf, dsm_page_address(leaf));
        __atomic_store_n(&link->leaves[number / DSM_LEAF], leaf, __ATOMIC_RELEASE);
    }
    return leaf ? &leaf[number % DSM_LEAF] : NULL;
}

/* ---- the fence: an event that visits the vCPUs of those that were woken, behind them in each queue ---- */

static void dsm_settle(struct dsm_page *page);
static void dsm_fence(void *arg);

static void dsm_fence_over(void *arg)
{
    struct dsm_page *page = arg;

    page->hops = page->again;
    page->again = 0;
    page->fenced = page->hops != 0;
    if (page->fenced)
        event_post((unsigned)__builtin_ctz(page->hops), &page->event, dsm_fence, page);
    else
        dsm_settle(page);
}

static void dsm_fence(void *arg)
{
    struct dsm_page *page = arg;

    page->hops &= (uint16_t)(page->hops - 1);
    if (page->hops)
        event_post((unsigned)__builtin_ctz(page->hops), &page->event, dsm_fence, page);
    else if (cpu_id() != DSM_KEEPER)
        event_post(DSM_KEEPER, &page->event, dsm_fence_over, page);
    else
        dsm_fence_over(page);
}

/* ---- those that wait ---- */

void dsm_wake(struct dsm_page *page, int error)
{
    struct dsm_waiter *waiter = page->waiters, **left = &page->waiters;

    *left = NULL;
    while (waiter) {
        struct dsm_waiter *next = waiter->next;

        if (error == 0 && waiter->rights > page->rights) {
            *left = waiter;
            left = &waiter->next;
            *left = NULL;
            waiter = next;
            continue;
        }
        waiter->error = error;
        if (error == 0 && waiter->asleep)
            page->again |= (uint16_t)(1u << waiter->cpu);
        if (waiter->asleep)
            context_resume(waiter->context);
        else
            waiter->done = true;
        waiter = next;
    }
    if (page->again && !page->fenced)
        dsm_fence_over(page);
}

static void dsm_refuse(struct dsm_waiter *waiter, int error)
{
    struct dsm_page page = { .waiters = waiter };

    dsm_wake(&page, error);
}

void dsm_want(void *arg)
{
    struct dsm_waiter *waiter = arg;
    uint64_t number = (waiter->address - WINDOW_SHARED) / DSM_PAGE;
    struct dsm_link *link = dsm_link_to((uint16_t)(number / DSM_HOME_PAGES), true);
    struct dsm_page *page = link && !link->over ? dsm_page_of(link, (uint32_t)(number % DSM_HOME_PAGES), true) : NULL;

    waiter->next = NULL;
    if (page == NULL) {
        dsm_refuse(waiter, link && link->over ? DSM_HOME_LOST : DSM_NO_MEMORY);
        return;
    }

    struct dsm_waiter **last = &page->waiters;

    while (*last)
        last = &(*last)->next;
    *last = waiter;
    if (page->rights < waiter->rights)
        waiter->rights == DSM_RIGHT_WRITE ? dsm_counted.write_faults++ : dsm_counted.read_faults++;
    dsm_advance(page);
}

void dsm_advance(struct dsm_page *page)
{
    struct dsm_link *link = dsm_link_to(page->home, false);
    struct dsm_head head = { .page = page->number, .epoch = link->epoch };
    enum dsm_rights wanted = DSM_RIGHT_NONE;

    if (page->waiters == NULL || page->asked || page->granting || page->revoking)
        return;
    for (const struct dsm_waiter *waiter = page->waiters; waiter; waiter = waiter->next)
        if (waiter->rights > wanted)
            wanted = waiter->rights;
    if (page->rights >= wanted) {
        dsm_wake(page, 0);
    } else if (link->epoch == 0) {
        dsm_join(link);
    } else {
        page->asked = (uint8_t)wanted;
        dsm_send(page->home, wanted == DSM_RIGHT_WRITE ? DSM_ASK_WRITE : DSM_ASK_READ, &head, NULL);
    }
}

/* ---- rights given and taken ---- */

void dsm_granted(struct dsm_page *page, enum dsm_rights rights)
{
    page->granting = 0;
    __atomic_store_n(&page->rights, (uint8_t)rights, __ATOMIC_RELAXED);
    dsm_wake(page, 0);
    dsm_settle(page);
    dsm_advance(page);
}

static void dsm_grant(struct dsm_page *page, const struct dsm_head *head, const void *content)
{
    static const uint8_t zeros[DSM_PAGE];
    struct dsm_head back = { .page = page->number, .epoch = head->epoch };

    page->asked = 0;
    page->granting = 1;
    dsm_counted.granted++;
    dsm_counted.granted_data += head->content == DSM_DATA;
    content = head->content == DSM_KEEP ? NULL : head->content == DSM_DATA ? content : zeros;
    if (dsm_rights_grant(page, content, head->rights))
        return;
    page->granting = 0;
    if (head->rights == DSM_RIGHT_WRITE)
        dsm_send(page->home, DSM_RETURN, &back, content);
    dsm_wake(page, DSM_NO_MEMORY);
    dsm_settle(page);
}

/* What is owed is done, or begun. */
static void dsm_settle(struct dsm_page *page)
{
    struct dsm_link *link = dsm_link_to(page->home, false);
    struct dsm_head head = { .page = page->number, .epoch = link->epoch };

    if (page->owed == DSM_OWES_NOTHING || page->granting || page->fenced || page->revoking)
        return;
    if (page->rights > page->keeps) {
        page->revoking = (uint8_t)(1 + page->keeps);
        link->revoking++;
        dsm_rights_revoke(page, page->keeps);
        return;
    }
    if (page->owed == DSM_OWES_RETURN && link->epoch) {
        dsm_counted.recalled++;
        dsm_send(page->home, DSM_RETURN, &head, dsm_rights_content(page));
    } else if (page->owed == DSM_OWES_INVALIDATED && link->epoch) {
        dsm_counted.invalidated++;
        dsm_send(page->home, DSM_INVALIDATED, &head, NULL);
    }
    page->owed = DSM_OWES_NOTHING;
    dsm_advance(page);
}

void dsm_revoked(struct dsm_page *page)
{
    struct dsm_link *link = dsm_link_to(page->home, false);

    __atomic_store_n(&page->rights, (uint8_t)(page->revoking - 1), __ATOMIC_RELAXED);
    page->revoking = 0;
    link->revoking--;
    dsm_settle(page);
    if (link->epoch == 0 && link->revoking == 0)
        dsm_each_waiting(link, 0);
}

void dsm_take(struct dsm_page *page, enum dsm_owed owed, enum dsm_rights keeps)
{
    page->owed = (uint8_t)owed;
    page->keeps = (uint8_t)keeps;
    dsm_settle(page);
}

/* ---- what a home says ---- */

static bool dsm_makes_sense(const struct dsm_page *page, uint16_t type, const struct dsm_head *head)
{
    switch (type) {
    case DSM_GRANT:
        return page->asked && head->rights == page->asked && (head->content != DSM_KEEP || (page->rights == DSM_RIGHT_READ && !page->revoking && !page->owed));
    case DSM_REFUSE:
        return page->asked;
    case DSM_INVALIDATE:
        return page->rights < DSM_RIGHT_WRITE && page->owed == DSM_OWES_NOTHING;
    case DSM_RECALL:
        return (page->rights == DSM_RIGHT_WRITE || page->granting) && page->owed == DSM_OWES_NOTHING && head->rights < DSM_RIGHT_WRITE;
    }
    return false;
}

void dsm_from_home(uint16_t home, uint16_t type, const struct dsm_head *head, const void *content)
{
    struct dsm_link *link = dsm_link_to(home, false);
    struct dsm_page *page = link && link->epoch && link->epoch == head->epoch ? dsm_page_of(link, head->page, false) : NULL;

    if (page == NULL || !dsm_makes_sense(page, type, head)) {
        dsm_counted.malformed++;
        return;
    }
    switch (type) {
    case DSM_GRANT:
        dsm_grant(page, head, content);
        break;
    case DSM_REFUSE:
        page->asked = 0;
        dsm_wake(page, head->error >= DSM_LOST && head->error <= DSM_NO_MEMORY ? head->error : DSM_ABSENT);
        break;
    case DSM_INVALIDATE:
        dsm_take(page, DSM_OWES_INVALIDATED, DSM_RIGHT_NONE);
        break;
    default:
        dsm_take(page, DSM_OWES_RETURN, head->rights);
    }
}
