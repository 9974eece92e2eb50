/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests and the tokens that lie on buffers. The invariant: parts sum to frontier - start, always, and no part is negative. */
#include "follow.h"
#include <stdlib.h>
#include <string.h>

struct requests *requests_of(cs_world *w)
{
    if (!w->requests) w->requests = calloc(1, sizeof(struct requests));
    return w->requests;
}

struct request *request_find(cs_world *w, uint64_t token)
{
    if (!token || !w->requests) return NULL;
    struct request *r = *BUCKET(w->requests->request, token);
    while (r && r->token != token) r = r->next;
    return r && r->heir ? r->heir : r;
}

bool request_places(struct request *r, uint32_t places)
{
    if (places <= r->room) return true;
    int64_t *parts = realloc(r->parts_ps, sizeof *parts * CS_MAX_PARTS * places);
    if (!parts) return false;
    r->parts_ps = parts;
    r->room = places;
    return true;
}

/* Its row of a place, made when it first comes there. */
static uint32_t row_of(struct request *r, uint32_t place)
{
    for (uint32_t i = r->nplaces; i; i--) if (r->came_to[i - 1] == place) return i - 1;
    if (!request_places(r, r->nplaces + 1)) return 0;   /* no memory: the sum must come out all the same */
    memset(r->parts_ps + (size_t)r->nplaces * CS_MAX_PARTS, 0, sizeof *r->parts_ps * CS_MAX_PARTS);
    r->came_to[r->nplaces] = (uint8_t)place;
    return r->nplaces++;
}

static void charge(struct request *r, uint32_t place, uint32_t part, int64_t until_ps)
{
    if (until_ps <= r->frontier_ps) return;
    part += row_of(r, place) * CS_MAX_PARTS;
    r->parts_ps[part] += until_ps - r->frontier_ps;
    r->frontier_ps = until_ps;
    struct charge *last = &r->history[(r->ncharges - 1) % HISTORY];
    if (!r->ncharges || last->part != part) { last = &r->history[r->ncharges++ % HISTORY]; last->part = part; }
    last->until_ps = until_ps;
}

void request_charge(struct request *r, uint32_t place, uint32_t part, int64_t until_ps)
{
    charge(r, place, part, until_ps);
    for (struct request *q = r->company; q; q = q->next_along) charge(q, place, part, until_ps);
}

void request_pay(struct request *r)
{
    if (!r->on || r->on->follow->owed_part == NO_PART) return;
    struct follow *f = r->on->follow;
    request_charge(r, place_of(r->on), f->owed_part, vcpu_ps(r->on, f->owed_cycle));
    f->owed_part = NO_PART;
}

static void settle(struct request *r, int64_t now_ps)   /* the gap up to now: blocks that ran have charged theirs already */
{
    company_leave(r);
    request_pay(r);
    request_charge(r, r->on ? place_of(r->on) : r->place, CS_MAX_COMPONENTS + (r->on ? CS_W_UNATTRIBUTED : r->reason), now_ps);
    if (r->on) { r->on->follow->current = NULL; r->on = NULL; }
}

void request_wait(struct request *r, uint32_t place, uint8_t reason, int64_t now_ps)
{
    settle(r, now_ps);
    r->place = (uint8_t)place;
    r->reason = reason;
}

void request_run(struct request *r, struct vcpu *v, int64_t now_ps)
{
    settle(r, now_ps);
    r->on = v;
    v->follow->current = r;
}

uint64_t request_claim(cs_world *w, struct request *r) { return r->claim = ++w->requests->claims; }

void request_unwake(struct request *r)
{
    if (r->woken) r->woken->woken_for = NULL;
    r->woken = NULL;
    r->queued_for = NO_REASON;
}

/* ---- tokens on buffers ---- */

static struct tag **tag_slot(cs_world *w, int machine, uint64_t gpa)
{
    struct tag **at = BUCKET(w->requests->tag, gpa ^ (uint64_t)machine << 56);
    while (*at && ((*at)->gpa != gpa || (*at)->machine != machine)) at = &(*at)->next;
    return at;
}

static void tag_disown(struct tag *t)
{
    *t->same_at = t->same;
    if (t->same) t->same->same_at = t->same_at;
}

static void tag_own(struct tag *t, struct request *r)
{
    t->request = r;
    t->same = r->tags;
    t->same_at = &r->tags;
    if (r->tags) r->tags->same_at = &t->same;
    r->tags = t;
}

static void tag_drop(cs_world *w, struct tag **slot)
{
    struct tag *t = *slot;
    *slot = t->next;
    tag_disown(t);
    t->next = w->requests->free_tag;
    w->requests->free_tag = t;
    w->requests->ntags--;
}

void request_untag(cs_world *w, struct request *r)
{
    while (r->tags) tag_drop(w, tag_slot(w, r->tags->machine, r->tags->gpa));
}

void request_retag(struct request *r, struct request *to)
{
    for (struct tag *t; (t = r->tags);) { tag_disown(t); tag_own(t, to); }
}

void token_put(cs_world *w, int machine, uint64_t gpa, uint64_t token)
{
    struct requests *q = requests_of(w);
    if (!q) return;
    struct request *r = request_find(w, token);
    struct tag **slot = tag_slot(w, machine, gpa), *t = *slot;
    if (!r) { if (t) tag_drop(w, slot); return; }   /* a closed request's token is nobody's */
    if (t) { tag_disown(t); tag_own(t, r); return; }
    if (q->ntags >= MAX_TAGS) { q->dropped[CS_D_TAGS]++; return; }
    if ((t = q->free_tag)) q->free_tag = t->next;
    else if (!(t = malloc(sizeof *t))) { q->dropped[CS_D_TAGS]++; return; }
    t->gpa = gpa; t->machine = machine; t->next = NULL;
    *slot = t;
    tag_own(t, r);
    q->ntags++;
}

uint64_t token_at(cs_world *w, int machine, uint64_t gpa)
{
    if (!w->requests) return 0;
    struct tag *t = *tag_slot(w, machine, gpa);
    return t ? t->request->token : 0;
}

int cs_token_tag(cs_world *w, int machine, uint64_t gpa, uint64_t token)
{
    if (machine < 0 || machine >= w->nmachines) return world_fail(w, "There is no machine %d to lay a token in.", machine);
    token_put(w, machine, gpa, token);
    if (w->trace) trace_event(w, CS_T_TAG, NULL, (uint32_t)machine, 0, 0, gpa, token);
    return 0;
}

uint64_t cs_token_take(cs_world *w, int machine, uint64_t gpa)
{
    uint64_t token = token_at(w, machine, gpa);
    if (token) token_put(w, machine, gpa, 0);
    if (w->trace) trace_event(w, CS_T_TAKE, NULL, (uint32_t)machine, 0, 0, gpa, token);
    return token;
}

/* ---- a request's life ---- */

int cs_request_open(cs_world *w, uint64_t token, int64_t start_ps)
{
    struct requests *q = requests_of(w);
    if (!q) return world_fail(w, "There is no memory to follow requests.");
    if (!token) return world_fail(w, "A request's token must not be 0.");
    if (request_find(w, token)) return world_fail(w, "Request %llu is open already.", (unsigned long long)token);
    if (q->nrequests >= MAX_REQUESTS) return world_fail(w, "More than %d requests are open at once.", MAX_REQUESTS);
    struct request *r = q->free_request;
    if (r) q->free_request = r->next;
    else if (!(r = calloc(1, sizeof *r)) || !request_places(r, 1)) {
        free(r);
        return world_fail(w, "There is no memory for request %llu.", (unsigned long long)token);
    }
    *r = (struct request){ .room = r->room, .parts_ps = r->parts_ps };
    row_of(r, 0);
    r->token = token;
    r->start_ps = r->frontier_ps = start_ps;
    r->reason = r->home = CS_W_UNATTRIBUTED;
    r->queued_for = NO_REASON;
    request_claim(w, r);
    struct request **slot = BUCKET(q->request, token);
    r->next = *slot;
    *slot = r;
    q->nrequests++;
    if (w->trace) trace_event(w, CS_T_OPEN, NULL, 0, start_ps, start_ps, token, 0);
    return 0;
}

static struct request *need(cs_world *w, uint64_t token)
{
    struct request *r = request_find(w, token);
    if (!r) world_fail(w, "Request %llu is not open.", (unsigned long long)token);
    return r;
}

static bool place_ok(cs_world *w, uint32_t place)
{
    return place <= (uint32_t)w->nmachines || world_fail(w, "There is no place %u for a request to be at.", place) >= 0;
}

int cs_request_mark(cs_world *w, uint64_t token, uint32_t place, uint32_t part, int64_t until_ps)
{
    struct request *r = need(w, token);
    if (!r || !place_ok(w, place)) return -1;
    if (part >= CS_MAX_PARTS) return world_fail(w, "There is no part %u.", part);
    company_leave(r);
    request_pay(r);
    request_charge(r, place, part, until_ps);
    if (w->trace) trace_event(w, CS_T_MARK, NULL, part, 0, until_ps, token, place);
    return 0;
}

int cs_request_wait(cs_world *w, uint64_t token, uint32_t place, uint32_t reason, int64_t now_ps)
{
    struct request *r = need(w, token);
    if (!r || !place_ok(w, place)) return -1;
    if (reason >= CS_MAX_REASONS) return world_fail(w, "There is no reason %u to wait for.", reason);
    request_wait(r, place, (uint8_t)reason, now_ps);
    request_claim(w, r);
    request_unwake(r);
    if (w->trace) trace_event(w, CS_T_WAIT, NULL, reason, now_ps, now_ps, token, place);
    return 0;
}

int cs_request_join(cs_world *w, uint64_t token, uint64_t lead, int64_t now_ps)
{
    struct request *r = need(w, token), *a = need(w, lead);
    if (!r || !a) return -1;
    company_join(w, r, a, now_ps);
    if (w->trace) trace_event(w, CS_T_JOIN, NULL, 0, now_ps, now_ps, token, lead);
    return 0;
}

static void forget(cs_world *w, struct request *r)   /* its record is for others */
{
    struct request **slot = BUCKET(w->requests->request, r->token);
    while (*slot != r) slot = &(*slot)->next;
    *slot = r->next;
    r->next = w->requests->free_request;
    w->requests->free_request = r;
    w->requests->nrequests--;
}

/* A vCPU may have run past the end (the answer left while its sender was still at work): take the newest charges back. */
static void trim(struct request *r, int64_t end_ps)
{
    uint32_t kept = r->ncharges < HISTORY ? r->ncharges : HISTORY;
    for (; kept && r->frontier_ps > end_ps; kept--) {
        struct charge *c = &r->history[(r->ncharges - 1) % HISTORY];
        if (kept == 1 && r->ncharges > 1) break;   /* where the oldest began is forgotten */
        int64_t began = r->ncharges > 1 ? r->history[(r->ncharges - 2) % HISTORY].until_ps : r->start_ps;
        int64_t to = began > end_ps ? began : end_ps;
        r->parts_ps[c->part] -= r->frontier_ps - to;
        r->frontier_ps = to;
        r->ncharges--;
    }
    for (uint32_t i = 0; r->frontier_ps > end_ps && i < r->nplaces * CS_MAX_PARTS; i++) {
        int64_t n = r->frontier_ps - end_ps;
        if (n > r->parts_ps[i]) n = r->parts_ps[i];
        r->parts_ps[i] -= n;
        r->frontier_ps -= n;
    }
}

/* Its parts that are not 0, place by place in the order in which it came there; how many. Their sum, and whether one is negative. */
static uint32_t parts_of(const struct request *r, cs_part *out, uint32_t max, int64_t *sum, bool *negative)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->nplaces; i++)
        for (uint32_t k = 0; k < CS_MAX_PARTS; k++) {
            int64_t ps = r->parts_ps[i * CS_MAX_PARTS + k];
            if (!ps) continue;
            *sum += ps;
            *negative |= ps < 0;
            if (n < max) out[n] = (cs_part){ r->came_to[i], k, ps };
            n++;
        }
    return n;
}

int cs_request_close(cs_world *w, uint64_t token, int64_t end_ps, int64_t *start_ps, cs_part *parts, uint32_t max, uint32_t *n, uint64_t cycles[CS_NCAUSES])
{
    struct request *r = need(w, token);
    if (!r) return -1;
    if (r->token != token) return world_fail(w, "Request %llu is not open.", (unsigned long long)token);
    if (end_ps < r->start_ps) return world_fail(w, "Request %llu ends before it starts.", (unsigned long long)token);
    struct vcpu *on = r->on;
    settle(r, end_ps);
    bool followed = r->company;
    if (followed) company_inherit(r, on);
    trim(r, end_ps);
    int64_t sum = 0;
    bool negative = false;
    *n = parts_of(r, parts, max, &sum, &negative);
    if (*n > max) return world_fail(w, "Request %llu has %u parts, and there is room for %u.", (unsigned long long)token, *n, max);
    if (sum != end_ps - r->start_ps || negative)
        return world_fail(w, "The parts of request %llu sum to %lld ps of its %lld, or one is negative.", (unsigned long long)token, (long long)sum, (long long)(end_ps - r->start_ps));
    uint64_t worked = 0;
    for (int i = 0; i < CS_NCAUSES; i++) worked += r->cycles[i];
    if (worked != r->worked)
        return world_fail(w, "The cycles of request %llu sum to %llu of the %llu that ran for it.", (unsigned long long)token, (unsigned long long)worked, (unsigned long long)r->worked);
    memcpy(cycles, r->cycles, sizeof r->cycles);
    *start_ps = r->start_ps;
    request_untag(w, r);
    request_unwake(r);
    for (struct request *late = r->late, *next; late && !followed; late = next) { next = late->late; forget(w, late); }
    if (!followed) forget(w, r);
    if (w->trace) trace_event(w, CS_T_CLOSE, NULL, 0, end_ps, end_ps, token, 0);
    return 0;
}

int cs_dropped(cs_world *w, uint64_t out[CS_D_COUNT])
{
    memset(out, 0, sizeof *out * CS_D_COUNT);
    if (w->requests) memcpy(out, w->requests->dropped, sizeof w->requests->dropped);
    return 0;
}

void requests_free(cs_world *w)
{
    struct requests *q = w->requests;
    if (!q) return;
    for (size_t i = 0; i < sizeof q->request / sizeof *q->request; i++)
        for (struct request *r = q->request[i], *n; r; r = n) { n = r->next; free(r->parts_ps); free(r); }
    for (size_t i = 0; i < sizeof q->tag / sizeof *q->tag; i++)
        for (struct tag *t = q->tag[i], *n; t; t = n) { n = t->next; free(t); }
    for (size_t i = 0; i < sizeof q->thread / sizeof *q->thread; i++)
        for (struct thread *t = q->thread[i], *n; t; t = n) { n = t->next; free(t); }
    for (struct request *r = q->free_request, *n; r; r = n) { n = r->next; free(r->parts_ps); free(r); }
    for (struct tag *t = q->free_tag, *n; t; t = n) { n = t->next; free(t); }
    free(q);
    w->requests = NULL;
}
