/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block's steady state, without a guest: the window model runs copies of it. Unrolled: one copy behind the other, by the decoders, as such
 * blocks are measured. Looped: from the micro-op cache, each copy behind a taken branch.
 *
 * Which load meets which store depends on addresses. All general registers start with one value, as in BHive's measurements, and what
 * can be followed is followed (moves, additions, LEA, stack); any other result is a value of its own. Addresses count
 * modulo a page, for all pages are one there.
 */
#include "machine.h"
#include "recorder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_COPIES = 32, MAX_COPIES = 400, ENOUGH_INSNS = 4000 };

struct values { uint64_t reg[17], memory, fresh; };

static uint64_t fresh(struct values *s)
{
    s->fresh += 0x9e3779b97f4a7c15ull;
    uint64_t x = s->fresh;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (x ^ x >> 31) & ~63ull;
}

static uint64_t value(const struct values *s, uint8_t r) { return r >= DREG_GPR && r < DREG_CARRY ? s->reg[r - DREG_GPR] : 0; }
static void set(struct values *s, uint8_t r, uint64_t v) { if (r >= DREG_GPR && r < DREG_CARRY) s->reg[r - DREG_GPR] = v; }

static uint64_t address_of(const struct values *s, const struct dop *d)
{
    if (d->stack) return s->reg[DREG_RSP - DREG_GPR] - (d->store ? 8 : 0);
    uint64_t a = (uint64_t)d->disp;
    if (d->naddr) a += value(s, d->addr[0]);
    if (d->naddr > 1) a += value(s, d->addr[1]) * d->scale;
    return a & (PAGE - 1);
}

static void step(struct values *s, const struct dop *d)
{
    uint64_t *rsp = &s->reg[DREG_RSP - DREG_GPR];
    uint64_t result = d->effect == EFFECT_MOVE ? value(s, d->reads[0]) : d->effect == EFFECT_ADD ? value(s, d->writes_first) + (uint64_t)d->effect_value
        : d->effect == EFFECT_SET ? (uint64_t)d->effect_value : 0;
    if (d->effect == EFFECT_LEA) result = (uint64_t)d->disp + value(s, d->addr[0]) + (d->naddr > 1 ? value(s, d->addr[1]) * d->scale : 0);
    if (d->effect == EFFECT_LOAD) result = s->memory;
    if (d->effect == EFFECT_CHOOSE) {
        uint64_t other = d->load ? s->memory : value(s, d->writes_first);
        for (int i = 0; i < d->nreads && !d->load; i++)
            if (d->reads[i] != d->writes_first && d->reads[i] < DREG_CARRY) other = value(s, d->reads[i]);
        result = other == value(s, d->writes_first) ? other : fresh(s);
    }
    if (d->effect_narrow) result &= 0xffffffff;
    for (int i = 0; i < d->nwrites; i++) set(s, d->writes[i], d->effect && d->writes[i] == d->writes_first ? result : fresh(s));
    if (d->stack) *rsp += d->store ? -8ull : 8;
}

static uint32_t add(struct access *log, uint32_t n, uint64_t address, uint32_t bytes)
{
    do {
        if (n < ACCESS_MAX) log[n++] = (struct access){ .gpa = address, .size = (uint8_t)(bytes < 8 ? bytes : 8), .cause = CS_L1 };
        address += 8;
        bytes = bytes > 8 ? bytes - 8 : 0;
    } while (bytes);
    return n;
}

static struct accesses log_block(struct values *s, const struct dop *d, uint32_t n, struct access log[2][ACCESS_MAX])
{
    uint32_t loads = 0, stores = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (d[i].load) loads = add(log[0], loads, address_of(s, &d[i]), d[i].bytes);
        if (d[i].store) stores = add(log[1], stores, address_of(s, &d[i]), d[i].bytes);
        step(s, &d[i]);
    }
    return (struct accesses){ log[0], log[0] + loads, log[1], log[1] + stores };
}

static void view(const struct dop *d, const struct uops *b, cs_predict_how *how)
{
    uint32_t first = 0;
    if (how->ninsn > b->ninsn) how->ninsn = b->ninsn;
    for (uint32_t i = 0; i < how->ninsn; first = b->insn[i++].end) {
        const struct uop_insn *in = &b->insn[i];
        cs_insn_view *v = &how->insn[i];
        *v = (cs_insn_view){ .length = in->length, .decoded = in->joined ? 0 : in->slots };
        if (d[i].form) snprintf(v->form, sizeof v->form, "%s", d[i].form->name);
        bool serial = d[i].kind == DOP_SERIAL;
        v->flags = (d[i].fused ? CS_INSN_FUSED : 0) | (in->joined ? CS_INSN_JOINED : 0) | (d[i].unlaminated ? CS_INSN_UNLAMINATED : 0) | (d[i].kind == DOP_MOVE ? CS_INSN_MOVE : 0)
            | (d[i].kind == DOP_ZERO ? CS_INSN_ZERO : 0) | (d[i].kind == DOP_NOP ? CS_INSN_NOP : 0) | (serial && !d[i].locked ? CS_INSN_SERIAL : 0) | (d[i].locked ? CS_INSN_LOCKED : 0)
            | (d[i].kind == DOP_REP ? CS_INSN_REP : 0) | (in->microcoded ? CS_INSN_MICROCODED : 0) | (in->complex && !in->microcoded ? CS_INSN_COMPLEX : 0) | (d[i].lcp ? CS_INSN_LCP : 0)
            | (d[i].uncosted ? CS_INSN_UNCOSTED : 0) | (d[i].branch ? CS_INSN_BRANCH : 0) | (d[i].load ? CS_INSN_LOAD : 0) | (d[i].store ? CS_INSN_STORE : 0)
            | (d[i].form && d[i].form->flags & FORM_UNPIPELINED ? CS_INSN_UNPIPELINED : 0);
        for (uint32_t k = first; k < in->end; k++) {
            v->issued += !!(b->at[k].flags & UOP_SLOT);
            v->uops += b->at[k].ports != 0 || b->at[k].flags & UOP_LOCKED;
            if (!(b->at[k].flags & UOP_SLOT)) v->flags |= CS_INSN_MICRO_FUSED;
        }
    }
}

int cs_predict_full(cs_world *w, int machine, const uint8_t *code, uint32_t n, cs_predict_how *how, cs_prediction *out)
{
    struct machine *m = world_machine(w, machine);
    struct uops b;
    struct dop *decoded, *d = NULL;
    if (!m) return -1;
    if (!n || n > 4096) return world_fail(w, "A block of %u bytes is none; 1 to 4096 can be predicted.", n);
    uint64_t va = 0;
    if (decode_uops(m, code, n, 0, va, &b, &decoded)) return -1;
    struct window *win = aligned_alloc(64, (sizeof *win + 63) & ~(size_t)63);
    struct access (*log)[ACCESS_MAX] = calloc(2, sizeof *log);
    struct recorder *seen = how->nuop ? recorder_new(win, &b, how->uop, how->nuop) : NULL;
    d = malloc((b.ninsn ? b.ninsn : 1) * sizeof *d);
    if (!win || !log || !d || (how->nuop && !seen)) { free(win); free(log); free(d); recorder_free(seen); uops_free(&b); return world_fail(w, "There is no memory for a prediction."); }
    memcpy(d, decoded, b.ninsn * sizeof *d);
    view(d, &b, how);
    window_init(win, m->uarch);
    win->front.cycle = win->front.decode = win->front.predecode = win->now.issue = win->now.retire = 16;
    struct values s = { .memory = how->fill, .fresh = 1 };
    for (int i = 0; i < 17; i++) s.reg[i] = how->fill;
    s.reg[DREG_RSP - DREG_GPR] = how->fill + PAGE / 2;
    *out = (cs_prediction){ .instructions = b.ninsn };
    for (uint32_t i = 0; i < b.ninsn; i++) { out->uncosted += d[i].uncosted; out->slots += b.insn[i].joined ? 0 : b.insn[i].slots; }
    uint32_t copies = how->copies ? how->copies : ENOUGH_INSNS / (b.ninsn ? b.ninsn : 1);
    if (!how->copies) copies = copies < MIN_COPIES ? MIN_COPIES : copies > MAX_COPIES ? MAX_COPIES : copies;
    copies = (copies + 1) & ~1u;
    if (how->lift) predict_lift(win, &b, how->lift);
    if (seen) recorder_attach(seen);
    uint64_t half = 0; int64_t spent[CS_NCAUSES];
    for (uint32_t c = 0; c < copies; c++) {
        if (c == copies / 2) { half = win->now.retire; memcpy(spent, win->spent, sizeof spent); }
        struct accesses a = log_block(&s, d, b.ninsn, log);
        if (how->lift & CS_LIFT_FORWARDING) a.load_end = a.load;           /* a load without an address hits */
        bool unrolled = how->mode == CS_PREDICT_UNROLLED, cached = how->lift & CS_LIFT_UOP_CACHE;
        bool legacy = unrolled || (!cached && frontend_enter(win, &b, va, n, false, 0));
        if (seen) recorder_iteration(seen, c, &a);
        window_place(win, &b, 0, b.ninsn, va, a, legacy);
        if (unrolled && !(how->lift & CS_LIFT_PREDECODE)) va += n;
    }
    out->copies = copies / 2;
    out->cycles = win->now.retire - half;
    for (int i = 0; i < CS_NCAUSES; i++) out->slots_lost[i] = (uint64_t)(win->spent[i] - spent[i]);
    how->nuop = seen ? recorder_count(seen) : 0;
    free(win); free(log); free(d); recorder_free(seen); uops_free(&b);
    return 0;
}

int cs_predict(cs_world *w, int machine, const uint8_t *code, uint32_t n, int mode, uint64_t fill, cs_prediction *out)
{
    cs_predict_how how = { .mode = mode, .fill = fill };
    return cs_predict_full(w, machine, code, n, &how, out);
}
