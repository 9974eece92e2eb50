/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Probes: what a manifest says happens when a block at a symbol runs. The guest chooses every value read here, so each key is
 * checked, each table bounded, and what is forgotten is counted. */
#include "follow.h"
#include "state.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_PROBES = 1024, NARGS = 6, RAX = 0, RSP = 4 };
static const int argument[NARGS] = { 7, 6, 2, 1, 8, 9 };   /* System V: rdi rsi rdx rcx r8 r9, in vcpu_reg's order */

struct awaited {           /* a function that was entered and whose return probe has not fired */
    uint64_t address, rsp; /* it has returned when a block starts here with the stack pointer here */
    uint64_t thread;       /* programs' stacks lie at the same addresses; 0 for the kernel's, which do not */
    uint64_t arg[NARGS];   /* as they were on entry */
    uint32_t probe; bool user;
};
struct probes {
    uint32_t n, nsites, nnotes, nawaited;
    uint64_t site[MAX_RETURNS];            /* return addresses ever awaited, sorted: their blocks carry BLK_RETURN_SITE */
    struct awaited awaited[MAX_RETURNS];   /* oldest first */
    cs_note note[MAX_NOTES];               /* sorted by (probe, value) */
    cs_probe probe[];                      /* sorted by (user, address), otherwise in the manifest's order */
};

static int compare(const cs_probe *p, uint8_t user, uint64_t address)
{
    if (p->user != user) return p->user < user ? -1 : 1;
    return p->address < address ? -1 : p->address > address;
}

static uint32_t first_at(const struct probes *p, uint8_t user, uint64_t address)
{
    uint32_t low = 0, high = p->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(&p->probe[middle], user, address) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

int cs_probes(cs_world *w, int machine, const cs_probe *rows, int n)
{
    if (machine < 0 || machine >= w->nmachines) return world_fail(w, "There is no machine %d to probe.", machine);
    if (n < 0 || n > MAX_PROBES) return world_fail(w, "A machine takes 0 to %d probes, not %d.", MAX_PROBES, n);
    for (int i = 0; i < n; i++)
        if (rows[i].user > 1 || rows[i].action > CS_RESUME || rows[i].reason >= CS_MAX_REASONS || rows[i].key.source > NARGS || rows[i].to.source > NARGS || rows[i].when.source > CS_ALWAYS)
            return world_fail(w, "Probe %u has a field out of range.", rows[i].id);
    struct machine *m = w->machine[machine];
    struct probes *p = calloc(1, sizeof *p + (size_t)n * sizeof *p->probe);
    if (!p || !requests_of(w)) { free(p); return world_fail(w, "There is no memory for %d probes.", n); }
    for (int i = 0; i < n; i++) {   /* insertion, since it is stable */
        uint32_t at = p->n++;
        for (; at && compare(&p->probe[at - 1], rows[i].user, rows[i].address) > 0; at--) p->probe[at] = p->probe[at - 1];
        p->probe[at] = rows[i];
    }
    probes_free(m);
    m->probes = p;
    block_tables_changed(m);
    return 0;
}

void probes_free(struct machine *m)
{
    free(m->probes);
    m->probes = NULL;
}

static uint32_t site_index(const struct probes *p, uint64_t address)
{
    uint32_t low = 0, high = p->nsites;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->site[middle] < address) low = middle + 1;
        else high = middle;
    }
    return low;
}

void probes_resolve(struct machine *m, struct block *b, bool user)
{
    const struct probes *p = m->probes;
    b->flags &= (uint32_t)~(BLK_PROBE | BLK_RETURN_SITE);
    if (!p) return;
    uint32_t i = first_at(p, user, b->va), s = site_index(p, b->va);
    if (i < p->n && !compare(&p->probe[i], user, b->va)) b->flags |= BLK_PROBE;
    if (s < p->nsites && p->site[s] == b->va) b->flags |= BLK_RETURN_SITE;
}

static void await(struct vcpu *v, struct probes *p, uint32_t probe, bool user)
{
    uint64_t *dropped = &v->machine->world->requests->dropped[CS_D_RETURNS];
    struct awaited a = { .rsp = vcpu_reg(v, RSP) + 8, .thread = user ? v->follow->thread->key : 0, .probe = probe, .user = user };
    if (!vcpu_read(v, a.rsp - 8, &a.address, 8)) { ++*dropped; return; }
    for (int i = 0; i < NARGS; i++) a.arg[i] = vcpu_reg(v, argument[i]);
    uint32_t s = site_index(p, a.address);
    if (s == p->nsites || p->site[s] != a.address) {
        if (p->nsites == MAX_RETURNS) { ++*dropped; return; }
        memmove(&p->site[s + 1], &p->site[s], (p->nsites++ - s) * sizeof *p->site);
        p->site[s] = a.address;
        block_tables_changed(v->machine);
    }
    for (uint32_t i = 0; i < p->nawaited; i++) {   /* the same frame again: that call never returned */
        struct awaited *old = &p->awaited[i];
        if (old->rsp == a.rsp && old->thread == a.thread && old->probe == a.probe && old->user == a.user) { *old = a; return; }
    }
    if (p->nawaited == MAX_RETURNS) {
        ++*dropped;
        memmove(p->awaited, p->awaited + 1, --p->nawaited * sizeof *p->awaited);
    }
    p->awaited[p->nawaited++] = a;
}

static void note(struct vcpu *v, struct probes *p, uint32_t probe, uint64_t value)
{
    uint32_t low = 0, high = p->nnotes;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const cs_note *c = &p->note[middle];
        if (c->probe < probe || (c->probe == probe && c->value < value)) low = middle + 1;
        else high = middle;
    }
    cs_note *c = &p->note[low];
    if (low < p->nnotes && c->probe == probe && c->value == value) { c->count++; return; }
    if (p->nnotes == MAX_NOTES) { v->machine->world->requests->dropped[CS_D_NOTES]++; return; }
    memmove(c + 1, c, (p->nnotes++ - low) * sizeof *c);
    *c = (cs_note){ .probe = probe, .value = value, .count = 1 };
}

/* ---- firing ---- */

static bool value_of(struct vcpu *v, const cs_arg *a, const uint64_t *args, uint64_t *value)
{
    *value = a->source == NARGS ? vcpu_reg(v, RAX) : args ? args[a->source] : vcpu_reg(v, argument[a->source]);
    if (!a->load || vcpu_read(v, *value + (uint64_t)(int64_t)a->offset, value, 8)) return true;
    v->machine->world->requests->dropped[CS_D_UNMAPPED]++;
    return false;
}

static bool buffer_of(struct vcpu *v, const cs_arg *a, const uint64_t *args, uint64_t *gpa)
{
    uint64_t gva;
    *gpa = UINT64_MAX;
    if (!value_of(v, a, args, &gva)) return false;
    if (vcpu_walk(v, gva, gpa)) return true;
    *gpa = UINT64_MAX;
    v->machine->world->requests->dropped[CS_D_UNMAPPED]++;
    return false;
}

static void act(struct vcpu *v, struct probes *p, const cs_probe *probe, const uint64_t *args)
{
    cs_world *w = v->machine->world;
    int machine = v->machine->index;
    uint64_t key = 0, to = 0;
    bool known = true, keyed = false;
    if (probe->when.source != CS_ALWAYS && !(value_of(v, &probe->when, args, &key) && (uint8_t)key)) return;
    key = 0;
    switch (probe->action) {   /* what the guest says */
    case CS_BIND: case CS_TAG: case CS_HANDOFF: case CS_GATHER: case CS_PART: case CS_SENT: case CS_WAITED: case CS_RESUME: known = buffer_of(v, &probe->key, args, &key); break;
    case CS_MOVE: case CS_MERGE: case CS_SHARE: known = buffer_of(v, &probe->key, args, &key); keyed = buffer_of(v, &probe->to, args, &to); known &= keyed; break;
    case CS_SWITCH: known = value_of(v, &probe->key, args, &key); keyed = value_of(v, &probe->to, args, &to); known &= keyed; break;
    case CS_WAKE: case CS_NOTE: known = value_of(v, &probe->key, args, &key); break;
    default: break;
    }
    if (w->trace) trace_event(w, CS_T_PROBE, v, probe->id, vcpu_ps(v, v->clock), known, key, to);
    switch (probe->action) {   /* what it means */
    case CS_BIND: follow_bind(v, known ? token_at(w, machine, key) : 0); break;
    case CS_RESUME: if (known && request_find(w, token_at(w, machine, key))) follow_bind(v, token_at(w, machine, key)); break;
    case CS_TAG: if (known) token_put(w, machine, key, follow_token(v)); break;
    case CS_MOVE:
        if (!known || key == to) break;
        token_put(w, machine, to, token_at(w, machine, key));
        token_put(w, machine, key, 0);
        break;
    case CS_RELEASE: follow_release(v, probe->reason); break;
    case CS_HANDOFF: follow_handoff(v, key, known, probe->reason); break;
    case CS_WAIT: follow_pending(v, probe->reason); break;
    case CS_WAKE: if (known) follow_wake(v, key); break;
    case CS_SWITCH: if (known) follow_switch(v, key, to); break;
    case CS_CLEAR: follow_clear(v); break;
    case CS_NOTE: if (known) note(v, p, probe->id, key); break;
    case CS_ENTER: follow_enter(v); break;
    case CS_LEAVE: follow_leave(v); break;
    case CS_GATHER: if (known) follow_gather(v, token_at(w, machine, key)); break;
    case CS_PART: follow_part(v, known ? token_at(w, machine, key) : 0); break;
    case CS_SENT: if (known) follow_sent(v, token_at(w, machine, key), probe->reason); break;
    case CS_MERGE: if (known) follow_merge(v, key, to); break;
    case CS_SHARE: if (known && key != to) token_put(w, machine, to, token_at(w, machine, key)); break;
    case CS_WAITED: if (known) follow_waited(v, token_at(w, machine, key), probe->reason); break;
    }
}

void probe_fire(struct vcpu *v, struct block *b)
{
    struct probes *p = v->machine->probes;
    if (!p) return;
    bool user = b->flags & BLK_USER;
    if (b->flags & BLK_RETURN_SITE && p->nawaited) {
        uint64_t rsp = vcpu_reg(v, RSP), thread = user ? v->follow->thread->key : 0;
        for (uint32_t i = 0; i < p->nawaited;) {
            struct awaited a = p->awaited[i];
            if (a.address != b->va || a.rsp != rsp || a.user != user || a.thread != thread) { i++; continue; }
            memmove(&p->awaited[i], &p->awaited[i + 1], (--p->nawaited - i) * sizeof *p->awaited);
            act(v, p, &p->probe[a.probe], a.arg);
        }
    }
    if (!(b->flags & BLK_PROBE)) return;
    for (uint32_t i = first_at(p, user, b->va); i < p->n && !compare(&p->probe[i], user, b->va); i++) {
        if (p->probe[i].at_return) await(v, p, i, user);
        else act(v, p, &p->probe[i], NULL);
    }
}

int cs_notes(cs_world *w, int machine, cs_note *out, int max)
{
    if (machine < 0 || machine >= w->nmachines) return world_fail(w, "There is no machine %d.", machine);
    const struct probes *p = w->machine[machine]->probes;
    if (!p) return 0;
    uint32_t n = max < 0 ? 0 : (uint32_t)max < p->nnotes ? (uint32_t)max : p->nnotes;
    if (n) memcpy(out, p->note, n * sizeof *out);
    return (int)p->nnotes;
}

/* The probes themselves are the manifest's, put in place before. */
void probes_state(struct state *s, struct machine *m)
{
    struct probes *p = m->probes;
    uint64_t sum = 0xcbf29ce484222325ull, mine;
    for (uint32_t i = 0; p && i < p->n; i++)
        for (size_t k = 0; k < sizeof *p->probe; k++) sum = (sum ^ ((const uint8_t *)&p->probe[i])[k]) * 0x100000001b3ull;
    mine = sum;
    state_begin(s, "PROB");
    STATE(s, sum);
    if (!state_is(s, sum == mine, "another manifest's probes") || !p) return;
    p->nsites = (uint32_t)state_count(s, p->nsites, MAX_RETURNS, sizeof *p->site, "the number of return addresses");
    state_bytes(s, p->site, p->nsites * sizeof *p->site);
    for (uint32_t i = 1; i < p->nsites; i++) state_is(s, p->site[i] > p->site[i - 1], "the order of return addresses");
    p->nawaited = (uint32_t)state_count(s, p->nawaited, MAX_RETURNS, 77, "the number of functions that are to return");
    for (uint32_t i = 0; i < p->nawaited; i++) {
        struct awaited *a = &p->awaited[i];
        STATE(s, a->address); STATE(s, a->rsp); STATE(s, a->thread); STATE(s, a->arg); STATE(s, a->probe); state_bool(s, &a->user);
        state_is(s, a->probe < p->n, "a probe's number");
    }
    p->nnotes = (uint32_t)state_count(s, p->nnotes, MAX_NOTES, sizeof *p->note, "the number of notes");
    state_bytes(s, p->note, p->nnotes * sizeof *p->note);
    for (uint32_t i = 0; i < p->nnotes; i++) {
        bool known = false;
        for (uint32_t k = 0; k < p->n; k++) known |= p->probe[k].id == p->note[i].probe;
        state_is(s, known && (!i || p->note[i].probe > p->note[i - 1].probe || (p->note[i].probe == p->note[i - 1].probe && p->note[i].value > p->note[i - 1].value)), "a note");
    }
}
