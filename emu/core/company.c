/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests that go together: several in one segment, one read, one answer. Streams have no borders, so the code that works on such bytes
 * works for all of them at once: what is charged to the one that leads is charged to each of its company, from the moment it joined. Cycles are counted
 * once, as the lead's. One of them goes its own way again as soon as anything happens to it by its own token, and all of them when the lead is answered.
 *
 * A lead that ends is followed by the first of its company (its heir), which then has what it had: buffers, vCPU, thread. Its record stays until the heir
 * ends, since its token is still out there, in levels and on frames: request_find answers with the heir. */
#include "follow.h"
#include <stdlib.h>

void company_join(cs_world *w, struct request *r, struct request *lead, int64_t now_ps)
{
    if (lead->lead) lead = lead->lead;
    if (lead == r || r->lead == lead) return;
    request_wait(r, r->place, CS_W_UNATTRIBUTED, now_ps);
    request_claim(w, r);
    request_unwake(r);
    request_untag(w, r);
    request_pay(lead);
    struct request **end = &lead->company;
    while (*end) end = &(*end)->next_along;
    *end = r;
    r->next_along = r->company;
    r->company = NULL;
    for (; r; r = r->next_along) r->lead = lead;
}

void company_leave(struct request *r)
{
    struct request *lead = r->lead;
    if (!lead) return;
    request_pay(lead);
    r->reason = lead->on ? CS_W_UNATTRIBUTED : lead->reason;
    r->home = lead->home;
    r->place = lead->on ? place_of(lead->on) : lead->place;
    struct request **at = &lead->company;
    while (*at != r) at = &(*at)->next_along;
    *at = r->next_along;
    r->lead = r->next_along = NULL;
}

struct request *company_split(struct request *r)
{
    struct request *first = r->company;
    if (!first) return NULL;
    company_leave(first);
    first->company = r->company;
    r->company = NULL;
    for (struct request *q = first->company; q; q = q->next_along) q->lead = first;
    return first;
}

void company_inherit(struct request *r, struct vcpu *on)
{
    struct request *heir = company_split(r);
    heir->claim = r->claim;
    heir->reason = r->reason;
    heir->place = r->place;
    heir->home = r->home;
    heir->queued_for = r->queued_for;
    heir->woken = r->woken;
    if (heir->woken) heir->woken->woken_for = heir;
    r->woken = NULL;
    heir->on = on;
    if (on) on->follow->current = heir;
    request_retag(r, heir);
    struct request **end = &heir->late;
    while (*end) end = &(*end)->late;
    *end = r;
    for (; r; r = r->late) r->heir = heir;
}
