/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where micro-ops come from: the micro-op cache, or predecode and the decoders. Times are those at which a micro-op could issue: the depth of the
 * pipe in front of issue is a constant that shows only when it is refilled (row mispredict).
 *
 * Legacy decode (Abel and Reineke, uiCA; Intel's optimisation manual): code is predecoded by aligned 16 bytes, up to predecode_width instructions a
 * cycle; an instruction counts where its last byte lies. A length-changing prefix stalls. Of the decoders only the first takes instructions of more
 * than one micro-op; more than four come from the microcode sequencer, alone. Up to Broadwell the last decoder leaves what might fuse with a branch to the
 * next cycle.
 */
#include "window.h"

static inline uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t predecode(struct window *w, const struct uop_insn *x, uint64_t address)
{
    struct frontend *f = &w->front;
    uint64_t last = ((address + x->length - 1) >> 4) + 1, opcode = ((address + x->opcode) >> 4) + 1;
    if (last != f->window) {
        bool crosses = opcode == f->window && f->predecoded == w->limit.predecode_width;
        f->predecode += 1 + crosses;
        f->predecoded = 0;
        f->window = last;
    } else if (f->predecoded == w->limit.predecode_width) {
        f->predecode++;
        f->predecoded = 0;
    }
    if (x->lcp) f->predecode += w->limit.lcp;
    f->predecoded++;
    f->predecode = later(f->predecode, f->iq[(f->ninsn - w->limit.iq) & (IQ_MAX - 1)]);
    return f->predecode;
}

void frontend_decode(struct window *w, const struct uop_insn *x, uint64_t address, uint64_t slot)
{
    struct frontend *f = &w->front;
    uint64_t t = predecode(w, x, address) + 1;
    if (x->joined) return;                             /* decoded with the one before */
    t = later(t, w->idq[(slot - w->limit.idq + x->slots) & (IDQ_MAX - 1)]);
    if (t > f->decode) { f->decode = t; f->decoded = f->decoded_slots = 0; }
    else if (f->decoded == w->limit.decoders - (x->fusible && w->limit.fusible_held) || (x->complex && f->decoded) || f->decoded_slots + x->slots > w->limit.decode_slots) {
        f->decode++;
        f->decoded = f->decoded_slots = 0;
    }
    f->decoded++;
    f->decoded_slots += x->slots;
    f->iq[f->ninsn++ & (IQ_MAX - 1)] = f->decode;
    f->cycle = f->decode;
    if (x->microcoded) {
        f->cycle += w->limit.ms_switch;
        f->left = f->rate = 4;
        f->decode = f->cycle + (x->slots + 3) / 4;
        f->decoded = w->limit.decoders;
    } else {
        f->left = f->rate = 64;
    }
}

/* ---- the micro-op cache: by 32-byte windows of code, each taking a way for every line of micro-ops ---- */

/* True: it was there. It is now, most recent, unless the cache cannot hold it. */
static bool cached(struct frontend *f, uint64_t window, uint32_t ways)
{
    struct dsb_line *set = f->dsb[window & (f->dsb_sets - 1)];
    uint64_t key = window + 1;
    if (UNLIKELY(!ways)) return false;
    if (LIKELY(set[0].key == key)) return true;
    uint32_t k = 1, used = set[0].ways;
    while (k < f->dsb_ways && set[k].key && set[k].key != key) used += set[k++].ways;
    bool hit = k < f->dsb_ways && set[k].key == key;
    struct dsb_line line = hit ? set[k] : (struct dsb_line){ key, ways };
    if (!hit) {
        while (used + ways > f->dsb_ways) used -= set[--k].ways;           /* the oldest leave */
        for (uint32_t i = k + 1; i < f->dsb_ways && set[i].key; i++) set[i] = (struct dsb_line){ 0, 0 };
    }
    for (; k; k--) set[k] = set[k - 1];
    set[0] = line;
    return hit;
}

bool frontend_enter(struct window *w, const struct uops *u, uint64_t va, uint32_t size, bool refetch, uint32_t late)
{
    struct frontend *f = &w->front;
    bool straight = va == f->next, legacy = false;
    f->next = va + size;
    if (UNLIKELY(refetch)) {
        f->cycle = later(f->cycle, w->branch_done + w->limit.refetch - 1);
        f->left = 0;
        f->cause = CS_BADSPEC;
    }
    f->cycle = later(f->cycle, w->idq[(w->now.slot - w->limit.idq) & (IDQ_MAX - 1)]) + late;     /* it ran ahead until the queue was full */
    uint64_t window = va >> 5;
    for (uint32_t i = 0; i < u->nwindows; i++) legacy |= !cached(f, window + i, u->window[i]);
    if (!straight || window != f->last_window) f->left = 0;
    f->last_window = (va + size - 1) >> 5;
    if (legacy) {
        if (!f->legacy || refetch || late) f->predecode = later(f->predecode, f->cycle), f->decode = later(f->decode, f->cycle);
        if (!straight) { f->window = 0; f->predecoded = 0; }
    } else {
        f->rate = w->limit.dsb_width;
        if (f->legacy) f->left = 0;
    }
    f->legacy = legacy;
    return legacy;
}
