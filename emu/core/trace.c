/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring of raw events, oldest overwritten first: what happened, in the order in which it happened, for a referee to interpret. */
#include "follow.h"
#include <stdlib.h>
#include <string.h>

struct trace { uint64_t capacity, first, n, dropped; cs_event *ring; };

int cs_trace(cs_world *w, uint64_t capacity)
{
    trace_free(w);
    if (!capacity) return 0;
    if (capacity > (UINT64_C(1) << 30)) return world_fail(w, "A trace of %llu events is too large.", (unsigned long long)capacity);
    struct trace *t = calloc(1, sizeof *t);
    if (t && !(t->ring = malloc(capacity * sizeof *t->ring))) { free(t); t = NULL; }
    if (!t) return world_fail(w, "There is no memory for a trace of %llu events.", (unsigned long long)capacity);
    t->capacity = capacity;
    w->trace = t;
    return 0;
}

void trace_free(cs_world *w)
{
    if (w->trace) free(w->trace->ring);
    free(w->trace);
    w->trace = NULL;
}

static void put(struct trace *t, cs_event e)
{
    if (t->n == t->capacity) {
        t->first = (t->first + 1) % t->capacity;
        t->n--;
        t->dropped++;
    }
    t->ring[(t->first + t->n++) % t->capacity] = e;
}

void trace_event(cs_world *w, int kind, struct vcpu *v, uint32_t id, int64_t start_ps, int64_t end_ps, uint64_t a, uint64_t b)
{
    if (!w->trace) return;
    put(w->trace, (cs_event){ .kind = (uint8_t)kind, .machine = v ? (uint8_t)v->machine->index : 0, .vcpu = v ? (uint8_t)v->index : 0,
        .user = v && v->cur && v->cur->flags & BLK_USER, .id = id, .start_ps = start_ps, .end_ps = end_ps, .a = a, .b = b });
}

void trace_block(struct vcpu *v, const struct block *b, uint64_t from_cycle, uint64_t to_cycle)
{
    cs_world *w = v->machine->world;
    if (!w->requests || !w->requests->nrequests) return;   /* there is nobody whose time it could be */
    put(w->trace, (cs_event){ .kind = CS_T_BLOCK, .machine = (uint8_t)v->machine->index, .vcpu = (uint8_t)v->index,
        .user = !!(b->flags & BLK_USER), .start_ps = vcpu_ps(v, from_cycle), .end_ps = vcpu_ps(v, to_cycle), .a = b->va, .b = b->size });
}

uint64_t cs_trace_read(cs_world *w, cs_event *out, uint64_t max, uint64_t *dropped)
{
    struct trace *t = w->trace;
    *dropped = t ? t->dropped : 0;
    if (!t) return 0;
    uint64_t n = t->n < max ? t->n : max;
    for (uint64_t i = 0; i < n; i++) out[i] = t->ring[(t->first + i) % t->capacity];
    t->first = (t->first + n) % t->capacity;
    t->n -= n;
    return n;
}
