/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The window model for its referee: micro-ops go in, as given or as a block's code makes them, and cycles come out. */
#include "machine.h"
#include "window.h"
#include <stdlib.h>
#include <string.h>

enum { TEST_UOPS = 4096, TEST_WINDOWS = 256 };

int cs_test_uops(cs_world *w, int machine, const uint8_t *code, uint32_t n, uint64_t va, cs_test_uop *uop, uint32_t *nuop, cs_test_insn *insn, uint32_t *ninsn,
    uint8_t *window, uint32_t *nwindows)
{
    struct machine *m = world_machine(w, machine);
    struct uops b;
    if (!m) return -1;
    if (!n || n > PAGE) return world_fail(w, "A block of %u bytes is none; 1 to %d can be one.", n, PAGE);
    if (decode_uops(m, code, n, 0, va, &b, NULL)) return -1;
    bool fits = b.n <= *nuop && b.ninsn <= *ninsn && b.nwindows <= *nwindows;
    *nuop = b.n;
    *ninsn = b.ninsn;
    *nwindows = b.nwindows;
    for (uint32_t i = 0; fits && i < b.n; i++) {
        const struct uop *u = &b.at[i];
        uop[i] = (cs_test_uop){ .ports = u->ports, .cost = u->cost, .flags = u->flags, .hold = u->hold, .entries = u->entries };
        memcpy(uop[i].src, u->src, sizeof u->src);
        memcpy(uop[i].dst, u->dst, sizeof u->dst);
    }
    for (uint32_t i = 0; fits && i < b.ninsn; i++) {
        const struct uop_insn *x = &b.insn[i];
        insn[i] = (cs_test_insn){ x->end, x->length, x->slots, x->opcode, x->complex, x->microcoded, x->lcp, x->joined, x->fusible, x->branch, 0 };
    }
    if (fits) memcpy(window, b.window, b.nwindows);
    uops_free(&b);
    return fits ? 0 : world_fail(w, "The block has %u micro-ops of %u instructions, more than there is room for.", *nuop, *ninsn);
}

struct cs_window { struct window window; };

cs_window *cs_test_window_new(cs_world *w, int machine)
{
    struct machine *m = world_machine(w, machine);
    if (!m || !m->uarch || !m->uarch->have_rows) return NULL;
    cs_window *t = aligned_alloc(64, (sizeof *t + 63) & ~(size_t)63);
    if (t) window_init(&t->window, m->uarch);
    return t;
}

void cs_test_window_free(cs_window *t) { free(t); }

int cs_test_window_place(cs_world *world, cs_window *t, const cs_test_block *b, cs_test_placed *out)
{
    static struct uop uop[TEST_UOPS + 1];
    static struct uop_insn insn[TEST_UOPS];
    static struct access log[2][TEST_UOPS];
    uint8_t window[TEST_WINDOWS];
    struct window *w = &t->window;
    if (b->nuop > TEST_UOPS || b->ninsn > TEST_UOPS || b->nwindows > TEST_WINDOWS || b->nload > TEST_UOPS || b->nstore > TEST_UOPS || b->from > b->to || b->to > b->ninsn)
        return world_fail(world, "test window: too large a block, or no such instructions");
    uint32_t size = 0;
    for (uint32_t i = 0; i < b->nuop; i++) {
        const cs_test_uop *u = &b->uop[i];
        uop[i] = (struct uop){ .ports = u->ports, .cost = u->cost, .flags = u->flags, .hold = u->hold, .entries = u->entries };
        memcpy(uop[i].src, u->src, sizeof u->src);
        memcpy(uop[i].dst, u->dst, sizeof u->dst);
        for (int k = 0; k < UOP_SOURCES; k++) if (u->src[k] >= REG_COUNT || u->dst[k] >= REG_COUNT) return world_fail(world, "test window: micro-op %u has no such register", i);
    }
    for (uint32_t i = 0; i < b->ninsn; i++) {
        const cs_test_insn *x = &b->insn[i];
        if (x->end > b->nuop || (i && x->end < b->insn[i - 1].end)) return world_fail(world, "test window: instruction %u ends nowhere", i);
        insn[i] = (struct uop_insn){ .end = x->end, .length = x->length, .slots = x->slots, .opcode = x->opcode, .complex = x->complex, .microcoded = x->microcoded, .lcp = x->lcp,
            .joined = x->joined, .fusible = x->fusible, .branch = x->branch };
        size += x->length;
    }
    for (int k = 0; k < 2; k++) {
        const cs_test_log *from = k ? b->store : b->load;
        for (uint32_t i = 0; i < (k ? b->nstore : b->nload); i++)
            log[k][i] = (struct access){ .gpa = from[i].gpa, .latency = from[i].latency, .walk = from[i].walk, .size = from[i].size, .cause = from[i].cause };
    }
    memcpy(window, b->window, b->nwindows);
    struct uops u = { .n = b->nuop, .ninsn = b->ninsn, .at = uop, .insn = insn, .nwindows = b->nwindows, .window = window };
    uops_seal(&u);
    if (b->idle_until > w->now.retire) window_start(w, b->idle_until);
    if (!b->from) w->legacy = frontend_enter(w, &u, b->va, size, b->refetch, b->late);
    window_place(w, &u, b->from, b->to, b->va, (struct accesses){ log[0], log[0] + b->nload, log[1], log[1] + b->nstore }, w->legacy);
    out->retire = w->now.retire;
    memcpy(out->lost, w->spent, sizeof out->lost);
    out->touched = w->touched;
    out->legacy = w->legacy;
    return 0;
}
