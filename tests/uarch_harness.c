/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The timing files of the core by themselves: a World that is only the structures they look at. Loaded by uarch_harness.py. */
#include "../emu/core/cache.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char message[512];

int world_fail(cs_world *w, const char *format, ...) {
    va_list a;
    (void)w;
    va_start(a, format);
    vsnprintf(message, sizeof message, format, a);
    va_end(a);
    return -1;
}

CS_API const char *u_error(void) { return message; }
CS_API const char *u_symbol(int i) { return decode_symbols[i]; }
CS_API int u_open(void *const *addresses) { return decode_open(addresses); }

CS_API cs_world *u_world(int ncpus, uint64_t ram) {
    cs_world *w = calloc(1, sizeof *w);
    struct machine *m = calloc(1, sizeof *m);
    w->nmachines = 1; w->machine[0] = m;
    m->world = w; m->ncpus = ncpus; m->ram_bytes = ram; m->ps_num = 400; m->ps_den = 1;
    for (int i = 0; i < ncpus; i++) {
        m->vcpu[i] = calloc(1, sizeof **m->vcpu);
        m->vcpu[i]->machine = m; m->vcpu[i]->index = i; m->vcpu[i]->timed = true;
    }
    return w;
}

CS_API void u_free(cs_world *w) {
    struct machine *m = w->machine[0];
    caches_free(m); uarch_free(m);
    for (int i = 0; i < m->ncpus; i++) free(m->vcpu[i]);
    free(m); free(w);
}

CS_API uint64_t u_counter(cs_world *w, int vcpu, int i) { return w->machine[0]->vcpu[vcpu]->counters[i]; }
CS_API uint64_t u_clock(cs_world *w, int vcpu) { return w->machine[0]->vcpu[vcpu]->clock; }
CS_API uint64_t u_writebacks(cs_world *w) { return w->machine[0]->llc->writebacks; }
CS_API void u_flush(cs_world *w, int vcpu, bool all) { tlb_flush(w->machine[0]->vcpu[vcpu], all); }
CS_API void u_drop(cs_world *w, int vcpu, uint64_t gva) { tlb_drop(w->machine[0]->vcpu[vcpu], gva); }

/* The guest's page tables: 256 pages of RAM under many names. Bits 40 to 43 of an address say how it is mapped: by a 2 MiB page, by a 1 GiB
 * page, globally, by no table at all. tests/test_emu_core_cache.py has the same. */
bool vcpu_walk_entries(struct vcpu *v, uint64_t gva, struct walk *w) {
    uint64_t tables = 0x200000;
    (void)v;
    *w = (struct walk){ .writable = true, .four_levels = true, .global = gva >> 42 & 1, .shift = gva >> 41 & 1 ? 30 : gva >> 40 & 1 ? 21 : 12 };
    w->gpa = ((gva >> 12) * 7 & 255) << 12 | (gva & 4095);
    for (uint32_t shift = 39; !(gva >> 43 & 1) && shift >= w->shift; shift -= 9, tables += 0x100000) w->entry[w->n++] = tables + (gva >> shift & 0x1ffff) * 8;
    return true;
}

bool vcpu_walk(struct vcpu *v, uint64_t gva, uint64_t *gpa) {
    struct walk w;
    vcpu_walk_entries(v, gva, &w);
    *gpa = w.gpa;
    return true;
}

void vcpu_paging(const struct vcpu *v, uint64_t cr[3]) { (void)v; cr[0] = cr[1] = cr[2] = 0; }
bool vcpu_invlpg(struct vcpu *v, const struct block *b, uint64_t *gva) { (void)v; (void)b; (void)gva; return false; }

/* One block: marks as (offset, cost16) pairs; returns its number of instructions, or -1. */
CS_API int u_decode(cs_world *w, const uint8_t *code, uint32_t n, uint16_t flags, uint32_t out[7], uint16_t *marks, int max) {
    struct block b = { .flags = flags };
    if (decode_block(w->machine[0], code, n, &b)) return -1;
    uint32_t values[7] = { b.cost16, b.serial16, b.retire16, b.flags, b.uncosted, b.rep_bytes, b.load_hidden };
    for (int i = 0; i < 7; i++) out[i] = values[i];
    for (int i = 0; i < b.ninsn && i < max; i++) { marks[2 * i] = b.marks[i].offset; marks[2 * i + 1] = b.marks[i].cost16; }
    free(b.marks);
    free(b.rows);
    return b.ninsn;
}

/* Blocks (va, size, flags) run one after the other on vCPU 0; cycles charged by cause. Code lies where its address says. */
CS_API void u_run(cs_world *w, const uint64_t *va, const uint32_t *size, const uint32_t *flags, const uint8_t *rep_bytes, int n, uint32_t stall[CS_NCAUSES]) {
    struct vcpu *v = w->machine[0]->vcpu[0];
    struct block *b = calloc((size_t)n + 1, sizeof *b);
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < i && (b[k].va != va[i] || b[k].size != size[i])) k++;      /* a record a block, as in the engine */
        b[k].va = b[k].code_gpa = va[i]; b[k].size = size[i]; b[k].flags = flags[i]; b[k].rep_bytes = rep_bytes[i];
        cache_fetch(v, &b[k]);
    }
    cache_fetch(v, &b[n]);              /* an empty block, so that nothing remembers what is freed */
    for (int i = 0; i < CS_NCAUSES; i++) { stall[i] = v->stall[i]; v->stall[i] = 0; }
    v->stall_total = 0;
    caches_reset(w->machine[0]);
    free(b);
}
