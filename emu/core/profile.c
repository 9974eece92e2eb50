/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tree of call stacks, and what each of them cost: see profile.h. Nodes are only ever added, a parent before its children. */
#include "profile.h"
#include "follow.h"
#include "machine.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_NODE_BITS = 12 };

static uint32_t *slot_of(const struct profile *p, uint32_t parent, uint32_t symbol)
{
    uint32_t mask = (2u << p->bits) - 1, i = (uint32_t)follow_mix((uint64_t)parent << 32 | symbol) & mask;
    while (p->slot[i] && (p->node[p->slot[i]].parent != parent || p->node[p->slot[i]].symbol != symbol)) i = (i + 1) & mask;
    return &p->slot[i];
}

static bool grow(struct profile *p)
{
    uint32_t bits = p->node ? p->bits + 1 : FIRST_NODE_BITS;
    if (1u << bits > PROFILE_NODES) return false;
    uint32_t *slot = calloc(2u << bits, sizeof *slot);
    struct node *node = slot ? realloc(p->node, sizeof *node << bits) : NULL;
    if (!node) { free(slot); return false; }
    free(p->slot);
    p->node = node;
    p->slot = slot;
    p->bits = bits;
    for (uint32_t i = PROFILE_ROOTS; i < p->n; i++) *slot_of(p, node[i].parent, node[i].symbol) = i;
    return true;
}

uint32_t profile_child(struct profile *p, uint32_t parent, uint32_t symbol)
{
    if (parent == ROOT_LOST) return ROOT_LOST;
    uint32_t *slot = slot_of(p, parent, symbol);
    if (LIKELY(*slot)) return *slot;
    if (p->n == 1u << p->bits) {
        if (!grow(p)) { p->lost[CS_L_PATHS]++; return ROOT_LOST; }
        slot = slot_of(p, parent, symbol);
    }
    p->node[p->n] = (struct node){ .parent = parent, .symbol = symbol };
    return *slot = p->n++;
}

/* A vCPU's time but for what it was halted, in sixteenths of a cycle. */
static uint64_t busy16(const struct vcpu *v) { return ((v->clock - v->follow->idle_cycles) << 4) + v->frac16; }

void profile_charge(struct vcpu *v)
{
    struct shadow *s = v->shadow;
    struct node *node = &v->machine->profile->node[s->node];
    uint64_t now16 = busy16(v);
    node->cycles16 += now16 - s->since16;
    node->instructions += s->instructions;
    if (s->token) tally_add(&v->machine->profile->tally, s->token, s->symbol, now16 - s->since16, s->instructions);
    s->since16 = now16;
    s->instructions = 0;
}

uint64_t profile_settle(struct machine *m)
{
    uint64_t total16 = 0;
    for (int i = 0; i < m->ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        uint64_t ahead = v->cur ? v->cur->ninsn - v->cur_insns : 0;              /* instructions counted when their block began, which are still to run */
        v->shadow->instructions -= ahead;
        profile_charge(v);
        v->shadow->instructions = ahead;
        total16 += busy16(v);
    }
    return total16;
}

void profile_free(struct machine *m)
{
    struct profile *p = m->profile;
    for (int i = 0; i < m->ncpus; i++) m->vcpu[i]->shadow = NULL;
    m->profile = NULL;
    if (!p) return;
    for (uint32_t i = 0; i < p->ncontexts; i++) free(p->context[i]);
    tally_free(&p->tally);
    free(p->node);
    free(p->slot);
    free(p);
}

static struct profile *profile_new(void)
{
    struct profile *p = calloc(1, sizeof *p);
    if (!p || !grow(p)) { free(p); return NULL; }
    for (uint32_t i = 0; i < PROFILE_ROOTS; i++) p->node[i] = (struct node){ .parent = i, .symbol = NO_SYMBOL };
    p->n = PROFILE_ROOTS;
    return p;
}

int cs_profile(cs_world *w, int machine, int on)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    profile_free(m);
    if (!on) return 0;
    if (!(m->profile = profile_new())) return world_fail(w, "There is no memory for a profile.");
    for (int i = 0; i < m->ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        v->shadow = &m->profile->shadow[i];
        *v->shadow = (struct shadow){ .node = ROOT_RESUMED, .symbol = NO_SYMBOL, .since16 = busy16(v) };
        if (v->cur) v->shadow->instructions = v->cur->ninsn - v->cur_insns;      /* the run ended within it */
        v->slow = true;
    }
    return 0;
}

int cs_profile_read(cs_world *w, int machine, cs_call_path *out, uint32_t max, uint64_t *total16, uint64_t lost[CS_L_COUNT])
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    struct profile *p = m->profile;
    if (!p) return world_fail(w, "Machine %d has no profile.", machine);
    *total16 = profile_settle(m);
    memcpy(lost, p->lost, sizeof p->lost);
    for (uint32_t i = 0; i < p->n && i < max; i++) {
        const struct node *n = &p->node[i];
        out[i] = (cs_call_path){ n->parent, n->symbol, n->cycles16, n->instructions, n->calls };
    }
    return (int)p->n;
}
