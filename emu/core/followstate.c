/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests, threads and tags: numbers in place of pointers. Which vCPU a request runs on, and which request a thread was woken for, is said once. */
#include "follow.h"
#include "state.h"
#include <stdlib.h>
#include <string.h>

enum { LEAST_REQUEST = 200, LEAST_THREAD = 40, TAG_BYTES = 12 };

struct numbers { struct request **request; struct thread **thread; uint32_t nrequests, nthreads; };      /* threads: those of the table, then each vCPU's own */

static struct numbers room_for(struct state *s, uint64_t requests, uint64_t threads)
{
    struct numbers n = { calloc(requests + 1, sizeof *n.request), calloc(threads + (size_t)s->world->nall, sizeof *n.thread), 0, 0 };
    if (!n.request || !n.thread) { s->bad = true; world_fail(s->world, "There is no memory for a snapshot's requests."); }
    return n;
}

static void count_all(struct state *s, struct numbers *n)
{
    struct requests *q = s->world->requests;
    for (size_t i = 0; i < sizeof q->request / sizeof *q->request; i++) for (struct request *r = q->request[i]; r; r = r->next) n->request[n->nrequests++] = r;
    for (size_t i = 0; i < sizeof q->thread / sizeof *q->thread; i++) for (struct thread *t = q->thread[i]; t; t = t->next) n->thread[n->nthreads++] = t;
}

static uint32_t thread_number(const struct numbers *n, const struct thread *t)       /* 0: none */
{
    for (uint32_t i = 0; t && i < n->nthreads; i++) if (n->thread[i] == t) return i + 1;
    return 0;
}

static uint32_t request_number(const struct numbers *n, const struct request *r)
{
    for (uint32_t i = 0; r && i < n->nrequests; i++) if (n->request[i] == r) return i + 1;
    return 0;
}

static bool reason_ok(uint8_t reason) { return reason < CS_MAX_REASONS || reason == NO_REASON; }

static void thread_state(struct state *s, struct thread *t)
{
    STATE(s, t->key); STATE(s, t->machine); state_bool(s, &t->runnable); STATE(s, t->pending); STATE(s, t->n); STATE(s, t->over);
    if (!state_is(s, t->n >= 1 && t->n <= MAX_LEVELS && reason_ok(t->pending) && t->machine >= 0 && t->machine < s->world->nmachines, "a thread")) { t->n = 1; return; }
    for (uint32_t i = 0; i < t->n; i++) { STATE(s, t->level[i].token); STATE(s, t->level[i].claim); STATE(s, t->level[i].last); STATE(s, t->level[i].sent); }
}

static void check_request(struct state *s, const struct request *r, uint64_t claims)
{
    unsigned __int128 parts = 0, cycles = 0;
    bool ok = r->token && r->frontier_ps >= r->start_ps && r->claim <= claims && r->reason < CS_MAX_REASONS && r->home < CS_MAX_REASONS && reason_ok(r->queued_for);
    for (uint32_t i = 0; i < r->nplaces * CS_MAX_PARTS; i++) { ok &= r->parts_ps[i] >= 0; parts += (uint64_t)r->parts_ps[i]; }
    for (int i = 0; i < CS_NCAUSES; i++) cycles += r->cycles[i];
    for (int i = 0; i < HISTORY; i++) ok &= r->history[i].part < r->nplaces * CS_MAX_PARTS;
    for (uint32_t i = 0; i < r->nplaces; i++) {
        ok &= r->came_to[i] <= s->world->nmachines && (i || !r->came_to[0]);
        for (uint32_t k = 0; k < i; k++) ok &= r->came_to[k] != r->came_to[i];
    }
    state_is(s, ok && parts == (uint64_t)r->frontier_ps - (uint64_t)r->start_ps && cycles == r->worked, "an open request");
}

static void request_state(struct state *s, struct request *r, uint64_t claims)
{
    STATE(s, r->token); STATE(s, r->start_ps); STATE(s, r->frontier_ps); STATE(s, r->claim); STATE(s, r->reason); STATE(s, r->place); STATE(s, r->home); STATE(s, r->queued_for); STATE(s, r->ncharges);
    for (int i = 0; i < HISTORY; i++) { STATE(s, r->history[i].until_ps); STATE(s, r->history[i].part); }
    uint64_t places = state_count(s, r->nplaces, (uint64_t)s->world->nmachines + 1, sizeof *r->parts_ps * CS_MAX_PARTS, "a request's places");
    if (s->bad || !state_is(s, places && r->place <= s->world->nmachines, "a request's places")) return;
    if (!request_places(r, (uint32_t)places)) { s->bad = true; world_fail(s->world, "There is no memory for a snapshot's requests."); return; }
    r->nplaces = (uint32_t)places;
    state_bytes(s, r->came_to, places);
    state_bytes(s, r->parts_ps, sizeof *r->parts_ps * CS_MAX_PARTS * places);
    STATE(s, r->cycles); STATE(s, r->worked);
    if (s->loading) check_request(s, r, claims);
}

static void tags_state(struct state *s, const struct numbers *n)
{
    cs_world *w = s->world;
    for (uint32_t i = 0; i < n->nrequests && !s->bad; i++) {
        struct request *r = n->request[i];
        uint64_t count = 0;
        for (const struct tag *t = r->tags; t; t = t->same) count++;
        count = state_count(s, count, MAX_TAGS, TAG_BYTES, "the number of tags");
        const uint8_t *first = s->from;
        const struct tag *t = r->tags;
        for (uint64_t k = 0; k < count && !s->bad; k++) {
            uint64_t gpa = 0; int32_t machine = 0;
            if (s->loading) s->from = first + (count - 1 - k) * TAG_BYTES;            /* the last comes first: each becomes the head of the list */
            else { gpa = t->gpa; machine = t->machine; t = t->same; }
            STATE(s, gpa); STATE(s, machine);
            if (!s->loading || !state_is(s, machine >= 0 && machine < w->nmachines && !token_at(w, machine, gpa), "a tag")) continue;
            token_put(w, machine, gpa, r->token);
        }
        if (s->loading && count) s->from = first + count * TAG_BYTES;
    }
}

/* who is where */
static void relations_state(struct state *s, struct numbers *n)
{
    cs_world *w = s->world;
    for (int i = 0; i < w->nall; i++) n->thread[n->nthreads++] = &w->all[i]->follow->own;
    for (int i = 0; i < w->nall && !s->bad; i++) {
        struct follow *f = w->all[i]->follow;
        thread_state(s, &f->own);
        uint32_t current = request_number(n, f->current), thread = thread_number(n, f->thread);
        STATE(s, current); STATE(s, thread); STATE(s, f->owed_part); STATE(s, f->owed_cycle); STATE(s, f->released); STATE(s, f->released_claim);
        if (!state_is(s, current <= n->nrequests && thread >= 1 && thread <= n->nthreads && f->owed_part <= NO_PART && f->owed_cycle < CLOCK_LIMIT, "whom a vCPU works for") || !s->loading) continue;
        f->own.on = NULL;
        struct thread *t = n->thread[thread - 1];
        struct request *r = current ? n->request[current - 1] : NULL;
        if (!state_is(s, !t->on && !(r && r->on), "a thread or request that two vCPUs run")) return;
        f->thread = t;
        t->on = w->all[i];
        f->current = r;
        if (r) r->on = w->all[i];
    }
    for (uint32_t i = 0; i < n->nrequests && !s->bad; i++) {
        struct request *r = n->request[i];
        uint32_t woken = thread_number(n, r->woken);
        STATE(s, woken);
        if (!state_is(s, woken <= n->nthreads, "the number of a thread") || !s->loading || !woken) continue;
        if (!state_is(s, !n->thread[woken - 1]->woken_for, "a thread that was woken for two")) return;
        r->woken = n->thread[woken - 1];
        r->woken->woken_for = r;
    }
}

/* who goes along with whom, and who has ended and is kept for its token */
static void company_state(struct state *s, struct numbers *n)
{
    for (uint32_t i = 0; i < n->nrequests && !s->bad; i++) {
        struct request *lead = n->request[i], **end = &lead->company;
        uint64_t count = 0;
        for (const struct request *r = lead->company; r; r = r->next_along) count++;
        count = state_count(s, count, n->nrequests, 4, "how many requests go together");
        const struct request *next = lead->company;
        for (uint64_t k = 0; k < count && !s->bad; k++) {
            uint32_t along = request_number(n, next);
            STATE(s, along);
            if (!s->loading) { next = next->next_along; continue; }
            struct request *r = along && along <= n->nrequests ? n->request[along - 1] : NULL;
            if (!state_is(s, r && r != lead && !r->lead && !r->on && !r->woken, "a request that goes along")) return;
            r->lead = lead;
            *end = r;
            end = &r->next_along;
        }
    }
    for (uint32_t i = 0; i < n->nrequests && !s->bad; i++) {
        struct request *r = n->request[i];
        uint32_t heir = request_number(n, r->heir);
        STATE(s, heir);
        state_is(s, !r->lead || !r->company, "a request that goes along and leads");
        if (!s->loading || !heir || s->bad) continue;
        if (!state_is(s, heir <= n->nrequests && n->request[heir - 1] != r && !r->lead && !r->company && !r->on && !r->woken && !r->tags, "a request that has ended")) return;
        r->heir = n->request[heir - 1];
        r->late = r->heir->late;
        r->heir->late = r;
    }
    for (uint32_t i = 0; i < n->nrequests && !s->bad; i++) state_is(s, !n->request[i]->heir || !n->request[i]->heir->heir, "the heir of one that has ended");
}

static void read_all(struct state *s, struct numbers *n, uint64_t requests, uint64_t threads)
{
    struct requests *q = s->world->requests;
    for (uint64_t i = 0; i < requests && !s->bad; i++) {
        struct request *r = calloc(1, sizeof *r);
        if (!r) { s->bad = true; world_fail(s->world, "There is no memory for a snapshot's requests."); return; }
        request_state(s, r, q->claims);
        if (s->bad || !state_is(s, !request_find(s->world, r->token), "a request that is open twice")) { free(r->parts_ps); free(r); return; }
        struct request **last = BUCKET(q->request, r->token);
        while (*last) last = &(*last)->next;
        *last = n->request[n->nrequests++] = r;
        q->nrequests++;
    }
    for (uint64_t i = 0; i < threads && !s->bad; i++) {
        struct thread *t = calloc(1, sizeof *t);
        if (!t) { s->bad = true; world_fail(s->world, "There is no memory for a snapshot's threads."); return; }
        thread_state(s, t);
        struct thread **last = BUCKET(q->thread, t->key ^ (uint64_t)t->machine << 56);
        while (*last) last = &(*last)->next;
        *last = n->thread[n->nthreads++] = t;
        q->nthreads++;
    }
}

void requests_state(struct state *s)
{
    struct requests *q = requests_of(s->world);
    state_begin(s, "REQS");
    if (!q) { s->bad = true; world_fail(s->world, "There is no memory for a snapshot's requests."); return; }
    STATE(s, q->claims); STATE(s, q->dropped);
    uint64_t requests = state_count(s, q->nrequests, MAX_REQUESTS, LEAST_REQUEST, "the number of open requests");
    uint64_t threads = state_count(s, q->nthreads, MAX_THREADS, LEAST_THREAD, "the number of threads");
    if (s->bad) return;
    struct numbers n = room_for(s, requests, threads);
    if (!s->bad && s->loading) read_all(s, &n, requests, threads);
    if (!s->bad && !s->loading) {
        count_all(s, &n);
        for (uint32_t i = 0; i < n.nrequests; i++) request_state(s, n.request[i], q->claims);
        for (uint32_t i = 0; i < n.nthreads; i++) thread_state(s, n.thread[i]);
    }
    if (!s->bad) tags_state(s, &n);
    if (!s->bad) relations_state(s, &n);
    if (!s->bad) company_state(s, &n);
    free(n.request);
    free(n.thread);
}
