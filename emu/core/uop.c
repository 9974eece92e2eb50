/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From decoded instructions to micro-ops. The table gives each form its fused and unfused micro-ops, port sets and latency; here it is decided
 * which of them loads, stores and computes, who waits for whom, and which share an issue slot.
 *
 * An instruction's computing micro-ops form a chain when its latency is long enough for one (two shuffles and an add), else they run
 * side by side. Only the last one's result is the instruction's.
 */
#include "uop.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_UOPS = 8192, MAX_EXPANDED = 64 };

struct maker { const struct uarch *u; struct uops *out; uint32_t capacity; bool failed; };

static struct uop *add(struct maker *m, uint16_t ports, uint32_t flags, uint16_t cost)
{
    if (m->out->n == m->capacity) {
        uint32_t capacity = m->capacity ? 2 * m->capacity : 16;
        struct uop *p = capacity <= MAX_UOPS ? realloc(m->out->at, capacity * sizeof *p) : NULL;
        if (!p) { m->failed = true; return NULL; }
        m->out->at = p;
        m->capacity = capacity;
    }
    struct uop *o = &m->out->at[m->out->n++];
    *o = (struct uop){ .dst = { REG_SINK, REG_SINK, REG_SINK, REG_SINK }, .ports = ports, .flags = flags, .cost = cost };
    return o;
}

static void source(struct uop *o, uint8_t r)
{
    if (r == DREG_NONE) return;
    for (int i = 0; i < UOP_SOURCES; i++) {
        if (o->src[i] == r) return;
        if (o->src[i] == DREG_NONE) { o->src[i] = r; return; }
    }
}

static void result(struct uop *o, uint8_t r)
{
    for (int i = 0; i < UOP_RESULTS; i++) if (o->dst[i] == REG_SINK) { o->dst[i] = r; return; }
}

static void address(struct uop *o, const struct dop *d)
{
    for (int i = 0; i < d->naddr; i++) source(o, d->addr[i]);
}

static uint16_t load_ports(const struct uarch *u) { return (uint16_t)u->row[UA_load_ports]; }

static uint8_t entries(const struct dop *d) { return (uint8_t)(d->bytes > 8 ? (d->bytes + 7) / 8 : 1); }
static bool indexed(const struct dop *d) { return d->naddr > 1 && d->addr[1] != DREG_NONE; }

static void results(struct uop *o, const struct dop *d) { for (int i = 0; i < d->nwrites; i++) result(o, d->writes[i]); }
static void sources(struct uop *o, const struct dop *d) { for (int i = 0; i < d->nreads; i++) source(o, d->reads[i]); }

static bool is_flags(uint8_t r) { return r == DREG_CARRY || r == DREG_FLAGS; }

/* A shift by CL of three micro-ops: the first shifts, the others choose between old and new flags. */
static void shift_by_cl(struct maker *m, const struct dop *d, const uint16_t *ports, uint32_t latency)
{
    for (int i = 0; i < 3; i++) {
        struct uop *o = add(m, ports[i], 0, (uint16_t)(i == 2 && latency > 1 ? latency - 1 : 1));
        if (!o) return;
        for (int k = 0; k < d->nreads; k++) if (is_flags(d->reads[k]) == (i > 0)) source(o, d->reads[k]);
        if (i) source(o, REG_CHAIN);
        for (int k = 0; k < d->nwrites; k++) if (is_flags(d->writes[k]) ? i == 2 : i == 0) result(o, d->writes[k]);
        if (!i) result(o, REG_CHAIN);
    }
}

static bool vector(const struct dop *d)
{
    for (int i = 0; i < d->nwrites; i++) if (d->writes[i] >= DREG_VEC && d->writes[i] < DREG_OTHER) return true;
    for (int i = 0; i < d->nreads; i++) if (d->reads[i] >= DREG_VEC && d->reads[i] < DREG_OTHER) return true;
    return false;
}

static uint16_t load_cost(const struct uarch *u, const struct dop *d)
{
    return (uint16_t)u->row[d->bytes > 16 ? UA_load_latency_y : vector(d) ? UA_load_latency_x : UA_load_latency];
}

static void no_port(struct maker *m, const struct dop *d, uint32_t flags)
{
    struct uop *o = add(m, 0, UOP_SLOT | flags, 0);
    if (!o) return;
    if (flags & UOP_MOVE) sources(o, d);
    results(o, d);
}

/* Ports of the computing micro-ops, one by one; what loads and stores is taken out. */
static uint32_t computing(const struct uarch *u, const struct dop *d, uint16_t *ports, uint32_t max)
{
    const struct form *f = d->form;
    bool load = d->load, address = d->store, data = d->store;
    uint32_t n = 0;
    for (int s = 0; s < f->nsets; s++) {
        uint32_t count = f->set[s].n16 / 16;
        uint16_t p = f->set[s].ports;
        if (load && p == load_ports(u) && count) { count--; load = false; }
        if (address && (p == (uint16_t)u->row[UA_store_ports] || p == load_ports(u)) && count) { count--; address = false; }
        if (data && p == (uint16_t)u->row[UA_data_ports] && count) { count--; data = false; }
        while (count-- && n < max) ports[n++] = p;
    }
    return n;
}

static void plain(struct maker *m, const struct dop *d, const struct dop *branch)
{
    uint16_t ports[MAX_EXPANDED];
    const struct uarch *u = m->u;
    uint32_t first = m->out->n, n, fused = d->form ? d->form->uops16 / 16u : (uint32_t)u->row[UA_default_uops];
    uint32_t latency = d->form ? d->form->latency : (uint32_t)u->row[UA_default_latency];
    uint8_t held = DREG_NONE;
    if (d->form) n = computing(u, d, ports, MAX_EXPANDED);
    else { n = fused > d->load + (uint32_t)d->store ? fused - d->load - d->store : 0; for (uint32_t i = 0; i < n; i++) ports[i] = (uint16_t)u->row[UA_alu_ports]; }
    if (branch) { n = n ? n : 1; ports[n - 1] = branch->form && branch->form->nsets ? branch->form->set[0].ports : (uint16_t)u->row[UA_branch_ports]; }
    bool writes = d->nwrites > 0;
    if (d->load) {
        struct uop *o = add(m, load_ports(u), UOP_LOAD, load_cost(u, d));
        if (!o) return;
        address(o, d);
        o->entries = entries(d);
        if (!indexed(d) && !vector(d) && d->disp >= 0 && d->disp < 2048 && !n && d->naddr) o->flags |= UOP_CHASED;
        if (n || d->store) { result(o, REG_LOADED); held = REG_LOADED; }
        else if (writes) {
            results(o, d);
            for (int i = 0; i < d->nreads; i++) if (d->reads[i] != d->addr[0] && d->reads[i] != d->addr[1]) source(o, d->reads[i]);    /* a narrow load merges */
        }
    }
    bool chain = n > 1 && latency >= n, flags_apart = d->by_cl && n == 3 && !d->load && !d->store;
    if (flags_apart) shift_by_cl(m, d, ports, latency);
    for (uint32_t i = 0; i < n && !flags_apart; i++) {
        bool last = i + 1 == n;
        struct uop *o = add(m, ports[i], 0, (uint16_t)(!last ? 1 : chain ? latency - (n - 1) : latency ? latency : 1));
        if (!o) return;
        if (chain && i) source(o, REG_CHAIN);
        if (!chain || !i || !last) source(o, held);
        for (int k = 0; k < d->nreads; k++) if (last || !chain || d->reads[k] != d->merged) source(o, d->reads[k]);
        if (!d->load && !d->store) address(o, d);         /* LEA */
        if (chain && !last) result(o, REG_CHAIN);
        if (last) {
            results(o, d);
            if (d->store) result(o, REG_DATA);
            if (d->form && d->form->flags & FORM_UNPIPELINED && d->form->recip16 > 16) o->hold = (uint8_t)(d->form->recip16 / 16 > 255 ? 255 : d->form->recip16 / 16 - 1);
            if (branch) o->flags |= UOP_BRANCH;
        }
    }
    if (d->store) {
        struct uop *o = add(m, indexed(d) ? load_ports(u) : (uint16_t)u->row[UA_store_ports], UOP_STORE_ADDRESS, 1);
        if (!o) return;
        address(o, d);
        o->entries = entries(d);
        o = add(m, (uint16_t)u->row[UA_data_ports], UOP_STORE_DATA, 1);
        if (!o) return;
        o->entries = entries(d);
        if (n) source(o, REG_DATA);
        else if (held) source(o, held);
        else for (int i = 0; i < d->nreads; i++) if (d->nreads == 1 || (d->reads[i] != d->addr[0] && d->reads[i] != d->addr[1])) source(o, d->reads[i]);
    }
    /* issue slots: as many as fused micro-ops; pairs fuse from the back (address with data), then from the front (load with operation) */
    uint32_t made = m->out->n - first, slots = fused + d->unlaminated;
    struct uop *at = m->out->at + first;
    if (made > slots) {
        uint32_t merge = made - slots;
        for (uint32_t i = 0; i < made; i++) at[i].flags |= UOP_SLOT;
        for (uint32_t i = made; i-- > 1 && merge;) if (at[i].flags & UOP_STORE_DATA) { at[i].flags &= ~(uint32_t)UOP_SLOT; merge--; }
        for (uint32_t i = 1; i < made && merge; i++) if (at[i].flags & UOP_SLOT) { at[i].flags &= ~(uint32_t)UOP_SLOT; merge--; }
    } else {
        for (uint32_t i = 0; i < made; i++) at[i].flags |= UOP_SLOT;
        for (uint32_t i = made; i < slots && i < MAX_EXPANDED; i++) if (!add(m, 0, UOP_SLOT, 0)) return;
        if (!made) results(&m->out->at[m->out->n - 1], d);
    }
}

static void serial(struct maker *m, const struct dop *d)
{
    struct uop *o = add(m, 0, (uint16_t)(UOP_SLOT | (d->locked ? UOP_LOCKED : d->drains ? UOP_SERIAL | UOP_DRAIN : UOP_SERIAL)), (uint16_t)(d->serial16 / 16 > UINT16_MAX ? UINT16_MAX : d->serial16 / 16));
    if (!o) return;
    sources(o, d);
    if (d->naddr) address(o, d);
    results(o, d);
    if (d->load) o->flags |= UOP_LOAD;
    if (d->store) o->flags |= UOP_STORE_DATA;
    if (d->drains && !d->load && !d->store) o->flags |= UOP_REST;
    o->entries = entries(d);
    for (uint32_t left = d->serial16 / 16 - o->cost; left; left -= o->cost)        /* WBINVD */
        if (!(o = add(m, 0, UOP_SERIAL | UOP_DRAIN, (uint16_t)(left > UINT16_MAX ? UINT16_MAX : left)))) return;
}

/* Marks where 32-byte windows of code begin and how much of the micro-op cache each takes. */
static int windows(const struct uarch *u, uint64_t va, struct uops *out)
{
    uint32_t at = (uint32_t)(va & 31), uop = 0, slots = 0, current = 0, per_way = (uint32_t)u->row[UA_dsb_line], most = (uint32_t)u->row[UA_dsb_window_lines];
    uint32_t bytes = at;
    for (uint32_t i = 0; i < out->ninsn; i++) bytes += out->insn[i].length;
    out->nwindows = (bytes + 31) / 32;
    out->window = calloc(out->nwindows + 1, 1);
    if (!out->window) return -1;
    for (uint32_t i = 0; i < out->ninsn; i++) {
        const struct uop_insn *in = &out->insn[i];
        if (at / 32 != current) {
            uint32_t ways = (slots + per_way - 1) / per_way;
            out->window[current] = (uint8_t)(ways <= most ? ways ? ways : 1 : 0);
            while (++current < at / 32) out->window[current] = 1;
            slots = 0;
            if (uop < in->end) out->at[uop].flags |= UOP_WINDOW;
        }
        slots += in->microcoded ? per_way : in->slots;
        uop = in->end;
        at += in->length;
    }
    uint32_t ways = (slots + per_way - 1) / per_way;
    out->window[current] = (uint8_t)(ways <= most ? ways ? ways : 1 : 0);
    while (++current < out->nwindows) out->window[current] = 1;
    return 0;
}

void uops_seal(struct uops *out)
{
    out->loads = out->stores = out->syncs = 0;
    out->at[out->n] = (struct uop){ .flags = UOP_SLOT };
    out->roomy = true;
    for (uint32_t i = 0; i < out->n; i++) {
        struct uop *o = &out->at[i];
        if (o->src[2] != DREG_NONE || o->dst[3] != REG_SINK) o->flags |= UOP_MORE;
        out->loads += !!(o->flags & UOP_LOAD);
        out->stores += !!(o->flags & UOP_STORE_DATA);
        out->syncs += !!(o->flags & UOP_STACK_READ);
        out->roomy = out->roomy && !(o->flags & (UOP_SERIAL | UOP_LOCKED | UOP_REP));
        o->kind = o->flags & (UOP_SERIAL | UOP_LOCKED) ? KIND_SERIAL : o->flags & UOP_REP ? KIND_REP : !o->ports ? KIND_NONE : o->flags & UOP_LOAD ? KIND_LOAD
            : o->flags & (UOP_STORE_ADDRESS | UOP_STORE_DATA) ? KIND_STORE : KIND_OP;
    }
}

int uops_make(const struct uarch *u, const struct dop *d, uint32_t n, uint64_t va, struct uops *out)
{
    struct maker m = { u, out, 0, false };
    *out = (struct uops){ .ninsn = n, .insn = calloc(n ? n : 1, sizeof *out->insn) };
    if (!out->insn) return -1;
    for (uint32_t i = 0; i < n && !m.failed; i++) {
        struct uop_insn *in = &out->insn[i];
        uint32_t first = out->n;
        bool joined = i && d[i - 1].fused;
        in->length = d[i].length;
        in->opcode = d[i].opcode;
        in->lcp = d[i].lcp;
        in->branch = d[i].branch;
        in->fusible = d[i].fusible;
        if (joined) { in->joined = true; in->end = (uint16_t)out->n; continue; }
        switch (d[i].kind) {
        case DOP_ZERO: no_port(&m, &d[i], 0); break;
        case DOP_MOVE: no_port(&m, &d[i], UOP_MOVE); break;
        case DOP_NOP: no_port(&m, &d[i], 0); break;
        case DOP_SERIAL: serial(&m, &d[i]); break;
        case DOP_REP: { struct uop *o = add(&m, 0, UOP_SLOT | UOP_REP, 0); if (o) { o->flags |= (uint16_t)((d[i].load ? UOP_LOAD : 0) | (d[i].store ? UOP_STORE_DATA : 0)); } break; }
        default: plain(&m, &d[i], i + 1 < n && d[i].fused ? &d[i + 1] : NULL);
        }
        if (m.failed) break;
        if (d[i].unlaminated && out->n - first > 1) out->at[first].flags |= UOP_PAIR;
        uint32_t slots = 0;
        for (uint32_t k = first; k < out->n; k++) slots += !!(out->at[k].flags & UOP_SLOT);
        if (slots && d[i].stack) out->at[first].flags |= UOP_STACK;
        if (slots && d[i].stack_read) out->at[first].flags |= UOP_STACK_READ;
        if (d[i].branch) out->at[out->n - 1].flags |= UOP_BRANCH;
        in->slots = (uint8_t)(slots - d[i].unlaminated);
        in->microcoded = in->slots > 4;
        in->complex = in->slots > 1 || (d[i].form && d[i].form->flags & FORM_COMPLEX);
        in->end = (uint16_t)out->n;
    }
    if (!m.failed && add(&m, 0, UOP_SLOT, 0)) {             /* one more: the end mark */
        out->n--;
        uops_seal(out);
        if (!windows(u, va, out)) return 0;
    }
    uops_free(out);
    return -1;
}

void uops_free(struct uops *u)
{
    free(u->at);
    free(u->insn);
    free(u->window);
    *u = (struct uops){ 0 };
}
