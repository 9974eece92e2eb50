/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See recorder.h. Who waited for whom is followed here, by the registers and the store buffer's granules, so that the window need not keep it. */
#include "recorder.h"
#include <stdlib.h>

struct recorder {
    struct witness witness;
    struct window *window; const struct uops *block; struct accesses at;
    uint16_t *insn, *index;              /* of each micro-op: its instruction, its place in it */
    cs_uop_view *out; uint32_t n, max, unretired /* records from here on */, iteration;
    int32_t producer[REG_COUNT], store_of[FORWARDS];
};

static void retired(void *data, uint64_t cycle)
{
    struct recorder *s = data;
    for (; s->unretired < s->n; s->unretired++) s->out[s->unretired].retired = cycle;
}

/* The youngest store that overlaps what the load takes from the log. */
static void forwarded_from(const struct recorder *s, const struct access *x, cs_uop_view *r)
{
    const struct window *w = s->window;
    uint64_t end = x->gpa + x->size;
    for (uint32_t k = 1; k <= FORWARDS; k++) {
        uint32_t i = (w->nforwards - k) & (FORWARDS - 1);
        const struct forward *f = &w->forward[i];
        if (!f->granule) return;
        uint64_t low = (f->granule - 1) << 3;
        if (end <= low || x->gpa >= low + 8) continue;
        uint64_t from = x->gpa > low ? x->gpa - low : 0, to = end < low + 8 ? end - low : 8;
        if (f->to <= from || f->from >= to) continue;
        if (s->store_of[i] > r->store) r->store = s->store_of[i];
        if (f->from > from || f->to < to) r->flags |= CS_UOP_BLOCKED;
        return;
    }
}

static const struct access *taken(const struct access **at, const struct access *end, uint32_t entries, uint32_t *n)
{
    const struct access *first = *at;
    *n = 0;
    while (*n < entries && *at < end) { ++*at; ++*n; }
    return first;
}

static cs_uop_view *record(struct recorder *s, const struct uop *u, uint32_t k)
{
    cs_uop_view *r = &s->out[s->n++];
    *r = (cs_uop_view){ .from = { -1, -1, -1, -1 }, .store = -1, .iteration = s->iteration };
    if (!u) {
        r->flags = CS_UOP_SYNC;
        r->ports = (uint16_t)s->window->limit.alu_ports;
        r->latency = 1;
        r->from[0] = s->producer[DREG_RSP];
        return r;
    }
    r->instruction = s->insn[k];
    r->index = s->index[k];
    r->ports = u->ports;
    r->latency = u->cost;
    r->flags = (uint16_t)((u->flags & UOP_LOAD ? CS_UOP_LOAD : 0) | (u->flags & UOP_STORE_ADDRESS ? CS_UOP_STORE_ADDRESS : 0) | (u->flags & UOP_STORE_DATA ? CS_UOP_STORE_DATA : 0)
        | (u->flags & UOP_SLOT ? 0 : CS_UOP_FUSED) | (u->flags & UOP_MOVE ? CS_UOP_MOVE : 0) | (u->flags & (UOP_SERIAL | UOP_LOCKED) ? CS_UOP_SERIAL : 0)
        | (u->flags & UOP_BRANCH ? CS_UOP_BRANCH : 0) | (u->hold ? CS_UOP_UNPIPELINED : 0));
    for (int i = 0; i < UOP_SOURCES; i++) if (u->src[i] != DREG_NONE) r->from[i] = s->producer[u->src[i]];
    return r;
}

static void micro_op(void *data, uint32_t index, uint64_t delivered, uint64_t issued, uint64_t ready, uint64_t dispatched, uint64_t done, int port)
{
    struct recorder *s = data;
    const struct uop *u = index == (uint32_t)WITNESS_SYNC ? NULL : &s->block->at[index];
    int32_t number = s->n < s->max ? (int32_t)s->n : -1;
    uint32_t n = 0;
    const struct access *x = u && u->flags & UOP_LOAD ? taken(&s->at.load, s->at.load_end, u->entries, &n) : NULL;
    if (number >= 0) {
        cs_uop_view *r = record(s, u, index);
        r->delivered = delivered; r->issued = issued; r->ready = ready; r->dispatched = dispatched; r->done = done; r->port = (int16_t)port;
        for (uint32_t i = 0; i < n; i++) forwarded_from(s, &x[i], r);
        if (u && number && r[-1].flags & CS_UOP_SYNC) r[-1].instruction = r->instruction;     /* for whose sake it was */
    }
    if (!u) { s->producer[DREG_RSP] = number; return; }
    for (int i = 0; i < UOP_RESULTS; i++) if (u->dst[i] != REG_SINK) s->producer[u->dst[i]] = number;
    if (u->flags & UOP_STORE_DATA) for (uint32_t i = s->window->forward_from; i != s->window->nforwards; i++) s->store_of[i & (FORWARDS - 1)] = number;
}

struct recorder *recorder_new(struct window *w, const struct uops *b, cs_uop_view *out, uint32_t max)
{
    struct recorder *s = calloc(1, sizeof *s);
    uint16_t *insn = calloc(2 * (size_t)b->n + 1, sizeof *insn);
    if (!s || !insn) { free(s); free(insn); return NULL; }
    *s = (struct recorder){ .witness = { s, micro_op, retired }, .window = w, .block = b, .insn = insn, .index = insn + b->n, .out = out, .max = max };
    for (uint32_t i = 0, k = 0; i < b->ninsn; i++)
        for (uint32_t first = k; k < b->insn[i].end; k++) { insn[k] = (uint16_t)i; s->index[k] = (uint16_t)(k - first); }
    for (int i = 0; i < REG_COUNT; i++) s->producer[i] = -1;
    for (int i = 0; i < FORWARDS; i++) s->store_of[i] = -1;
    return s;
}

void recorder_free(struct recorder *s)
{
    if (s) free(s->insn);
    free(s);
}

void recorder_attach(struct recorder *s) { s->window->witness = &s->witness; }
void recorder_iteration(struct recorder *s, uint32_t number, const struct accesses *a) { s->iteration = number; s->at = *a; }
uint32_t recorder_count(const struct recorder *s) { return s->n; }
