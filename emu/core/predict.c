/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block's steady state, without a guest: the window model runs copies of it. Unrolled: one copy behind the other, by the decoders, as such
 * blocks are measured. Looped: from the micro-op cache, each copy behind a taken branch.
 *
 * Which load meets which store depends on addresses (values.c). A page not touched lately costs a load what an answer of the second-level TLB takes. To
 * walk into the next page costs as much, loads and stores, and nothing hides it: so BHive's blocks show on both processors, some fifty of them.
 */
#include "machine.h"
#include "recorder.h"
#include "uarch.h"
#include "values.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_COPIES = 32, MAX_COPIES = 400, ENOUGH_INSNS = 4000 };

static uint32_t add(struct access *log, uint32_t n, uint64_t address, uint32_t bytes, enum page page, uint16_t walk)
{
    if (page == PAGE_KNOWN) walk = 0;
    do {
        if (n < ACCESS_MAX) log[n++] = (struct access){ .gpa = address, .size = (uint8_t)(bytes < 8 ? bytes : 8), .cause = walk && page == PAGE_NEXT ? CS_TLB : CS_L1, .walk = walk };
        walk = 0;
        address += 8;
        bytes = bytes > 8 ? bytes - 8 : 0;
    } while (bytes);
    return n;
}

static struct accesses log_block(struct values *s, const struct dop *d, uint32_t n, uint16_t walk, struct access log[2][ACCESS_MAX])
{
    uint32_t loads = 0, stores = 0;
    for (uint32_t i = 0; i < n; i++) {
        enum page page = PAGE_KNOWN;
        uint64_t address = d[i].load || d[i].store ? values_address(s, &d[i], &page) : 0;
        if (d[i].load) loads = add(log[0], loads, address, d[i].bytes, page, walk);
        if (d[i].store) stores = add(log[1], stores, address, d[i].bytes, d[i].load ? PAGE_KNOWN : page, walk);
        values_step(s, &d[i]);
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
    struct values *s = malloc(sizeof *s);
    struct recorder *seen = how->nuop ? recorder_new(win, &b, how->uop, how->nuop) : NULL;
    d = malloc((b.ninsn ? b.ninsn : 1) * sizeof *d);
    if (!win || !log || !d || !s || (how->nuop && !seen)) { free(win); free(log); free(d); free(s); recorder_free(seen); uops_free(&b); return world_fail(w, "There is no memory for a prediction."); }
    memcpy(d, decoded, b.ninsn * sizeof *d);
    view(d, &b, how);
    window_init(win, m->uarch);
    win->front.cycle = win->front.decode = win->front.predecode = win->now.issue = win->now.retire = 16;
    values_init(s, how->fill);
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
        struct accesses a = log_block(s, d, b.ninsn, how->lift & CS_LIFT_PAGES ? 0 : (uint16_t)m->uarch->row[UA_stlb_latency], log);
        if (how->lift & CS_LIFT_FORWARDING) for (struct access *x = log[0]; x < a.load_end; x++) x->gpa |= 1ull << 62;      /* where no store is */
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
    free(win); free(log); free(d); free(s); recorder_free(seen); uops_free(&b);
    return 0;
}

int cs_predict(cs_world *w, int machine, const uint8_t *code, uint32_t n, int mode, uint64_t fill, cs_prediction *out)
{
    cs_predict_how how = { .mode = mode, .fill = fill };
    return cs_predict_full(w, machine, code, n, &how, out);
}
