/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A world without an emulator: the ledger's C files driven step by step. What engine.c, block.c and memory.c would do is here in a
 * few lines: a block is (address, cycles), guest memory is one page of 8-byte words, page walks are the identity below LIMIT. */
#include "follow.h"
#include "machine.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_AT = 0x10000, WORDS = 512, LIMIT = 0x100000 };
struct guest { uint64_t word[WORDS], reg[CS_MAX_VCPUS][16]; };
static struct guest guests[64];

int world_fail(cs_world *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->error, sizeof w->error, format, args);
    va_end(args);
    return -1;
}

void block_settle(struct vcpu *v) { (void)v; }

CS_API const char *cs_error(cs_world *w) { return w->error; }

void block_tables_changed(struct machine *m)
{
    for (int i = 0; i < m->ncpus; i++)
        for (struct block *b = m->vcpu[i]->table[0]; b; b = b->next) {
            symbols_resolve(m, b, b->flags & BLK_USER);
            probes_resolve(m, b, b->flags & BLK_USER);
        }
}

bool vcpu_walk(struct vcpu *v, uint64_t gva, uint64_t *gpa)
{
    (void)v;
    *gpa = gva;
    return gva < LIMIT;
}

bool vcpu_read(struct vcpu *v, uint64_t gva, void *to, uint32_t n)
{
    if (gva < PAGE_AT || gva + n > PAGE_AT + sizeof guests[0].word || gva + n < gva) return false;
    memcpy(to, (char *)guests[v->machine->index].word + (gva - PAGE_AT), n);
    return true;
}

uint64_t vcpu_reg(const struct vcpu *v, int n) { return guests[v->machine->index].reg[v->index][n]; }

struct machine *world_machine(cs_world *w, int machine) { return w->machine[machine]; }

CS_API cs_world *h_new(int nmachines, int ncpus, uint64_t hz)
{
    cs_world *w = calloc(1, sizeof *w);
    memset(guests, 0, sizeof guests);
    for (w->nmachines = 0; w->nmachines < nmachines; w->nmachines++) {
        struct machine *m = w->machine[w->nmachines] = calloc(1, sizeof *m);
        m->world = w;
        m->index = w->nmachines;
        m->hz = m->ps_den = hz;
        m->ps_num = UINT64_C(1000000000000);
        for (; m->ncpus < ncpus; m->ncpus++) {
            struct vcpu *v = m->vcpu[m->ncpus] = calloc(1, sizeof *v);
            v->machine = m;
            v->index = m->ncpus;
            v->table = calloc(1, sizeof *v->table);
            if (follow_new(v)) return NULL;
        }
    }
    return w;
}

CS_API void h_free(cs_world *w)
{
    for (int i = 0; i < w->nmachines; i++) {
        struct machine *m = w->machine[i];
        for (int j = 0; j < m->ncpus; j++) {
            for (struct block *b = m->vcpu[j]->table[0], *n; b; b = n) { n = b->next; free(b); }
            free(m->vcpu[j]->table);
            follow_free(m->vcpu[j]);
            free(m->vcpu[j]);
        }
        symbols_free(m);
        probes_free(m);
        free(m);
    }
    requests_free(w);
    trace_free(w);
    free(w);
}

CS_API void h_reg(cs_world *w, int machine, int vcpu, int reg, uint64_t value) { (void)w; guests[machine].reg[vcpu][reg] = value; }
CS_API void h_word(cs_world *w, int machine, int index, uint64_t value) { (void)w; guests[machine].word[index] = value; }
CS_API int64_t h_now(cs_world *w, int machine, int vcpu) { return vcpu_ps(w->machine[machine]->vcpu[vcpu], w->machine[machine]->vcpu[vcpu]->clock); }
CS_API uint64_t h_clock(cs_world *w, int machine, int vcpu) { return w->machine[machine]->vcpu[vcpu]->clock; }
CS_API uint64_t h_current(cs_world *w, int machine, int vcpu)
{
    struct request *r = w->machine[machine]->vcpu[vcpu]->follow->current;
    return r ? r->token : 0;
}

/* a block at va runs, for that many cycles, in two parts when the cycles are odd */
CS_API void h_block(cs_world *w, int machine, int vcpu, uint64_t va, int user, uint64_t cycles)
{
    struct vcpu *v = w->machine[machine]->vcpu[vcpu];
    struct block *b = v->table[0];
    while (b && (b->va != va || !(b->flags & BLK_USER) != !user)) b = b->next;
    if (!b) {
        b = calloc(1, sizeof *b);
        b->va = va;
        b->size = 1;
        b->flags = user ? BLK_USER : 0;
        symbols_resolve(v->machine, b, user);
        probes_resolve(v->machine, b, user);
        b->next = v->table[0];
        v->table[0] = b;
    }
    v->cur = b;
    if (b->flags & (BLK_PROBE | BLK_RETURN_SITE)) probe_fire(v, b);
    for (uint64_t part = cycles & 1 ? cycles / 3 : 0, left = cycles; left; left -= part, part = left) {
        if (!part) part = left;
        v->clock += part;
        b->cycles[CS_RETIRING] += part;
        follow_block(v, b, v->clock - part, v->clock);
    }
    b->runs++;
    b->instructions += 3;
    v->cur = NULL;
}

CS_API void h_idle(cs_world *w, int machine, int vcpu, uint64_t cycles)
{
    struct vcpu *v = w->machine[machine]->vcpu[vcpu];
    v->clock += cycles;
    follow_idle(v, v->clock - cycles, v->clock);
}

static void trace_now(struct vcpu *v, int kind, uint64_t b)
{
    if (v->machine->world->trace) trace_event(v->machine->world, kind, v, 0, vcpu_ps(v, v->clock), vcpu_ps(v, v->clock), 0, b);
}

CS_API void h_interrupt(cs_world *w, int machine, int vcpu, uint64_t token)
{
    struct vcpu *v = w->machine[machine]->vcpu[vcpu];
    trace_now(v, CS_T_INTERRUPT, token);
    follow_interrupt(v, token);
}

CS_API void h_exception(cs_world *w, int machine, int vcpu)
{
    struct vcpu *v = w->machine[machine]->vcpu[vcpu];
    trace_now(v, CS_T_EXCEPTION, 0);
    follow_exception(v);
}

CS_API void h_iret(cs_world *w, int machine, int vcpu, int user) { follow_iret(w->machine[machine]->vcpu[vcpu], user); }
