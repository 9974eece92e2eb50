/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory system's sizes: checked against what the model can do, and laid out. */
#include "cache.h"
#include "uarch.h"
#include <stdlib.h>
#include <sys/mman.h>

static bool power_of_two(int64_t n) { return n > 0 && !(n & (n - 1)); }

static int64_t sets_of(int64_t kib, int64_t ways) { return ways > 0 && kib > 0 && kib * 1024 % (LINE * ways) == 0 ? kib * 1024 / LINE / ways : 0; }

/* Sets, a power of two, of a TLB; 0: no. */
static int64_t tlb_sets(int64_t entries, int64_t ways) { return ways > 0 && entries % ways == 0 && power_of_two(entries / ways) ? entries / ways : 0; }

static int check(cs_world *w, const struct uarch *u) {
    const int64_t *r = u->row;
    int64_t d = sets_of(r[UA_l1d_kib], r[UA_l1d_ways]), i = sets_of(r[UA_l1i_kib], r[UA_l1i_ways]);
    if (!power_of_two(d) || !power_of_two(i) || d > L1_MAX_SETS || i > L1_MAX_SETS || r[UA_l1d_ways] > WAYS_MAX || r[UA_l1i_ways] > WAYS_MAX)
        return world_fail(w, "processor table: the first-level caches must have up to %d ways of 4 KiB or less, and a power of two of sets", WAYS_MAX);
    if (!power_of_two(sets_of(r[UA_l2_kib], r[UA_l2_ways])) || r[UA_l2_ways] < 2 || r[UA_l2_ways] > WAYS_MAX)
        return world_fail(w, "processor table: the L2 must have 2 to %d ways and a power of two of sets", WAYS_MAX);
    if (!sets_of(r[UA_llc_kib_per_vcpu], r[UA_llc_ways]) || r[UA_llc_ways] < 2 || r[UA_llc_ways] > WAYS_MAX || !r[UA_ddio_ways] || r[UA_ddio_ways] > r[UA_llc_ways])
        return world_fail(w, "processor table: the LLC must have 2 to %d ways that divide its size, and 1 or more of them for DDIO", WAYS_MAX);
    if (r[UA_llc_inclusive] && r[UA_llc_kib_per_vcpu] < r[UA_l2_kib])
        return world_fail(w, "processor table: an inclusive LLC must be no smaller than the L2");
    if (!r[UA_fill_buffers]) return world_fail(w, "processor table: there must be a fill buffer");
    if (r[UA_streams] > STREAMS_MAX || r[UA_prefetches] > FLIGHTS_MAX || r[UA_stream_ahead] > 63)
        return world_fail(w, "processor table: at most %d streams, %d prefetches under way and 63 lines ahead can be modelled", STREAMS_MAX, FLIGHTS_MAX);
    if (!power_of_two(tlb_sets(r[UA_dtlb_entries], r[UA_dtlb_ways])) || !power_of_two(tlb_sets(r[UA_dtlb_2m_entries], r[UA_dtlb_2m_ways])) || !r[UA_dtlb_1g_entries]
        || !power_of_two(tlb_sets(r[UA_itlb_entries], r[UA_itlb_ways])) || !power_of_two(tlb_sets(r[UA_itlb_2m_entries], r[UA_itlb_2m_ways])))
        return world_fail(w, "processor table: the first-level TLBs must have a power of two of sets, for 4 KiB and for 2 MiB pages, and the data side an entry for 1 GiB pages");
    if (tlb_sets(r[UA_stlb_entries], r[UA_stlb_ways]) < 128 || r[UA_stlb_ways] > WAYS_MAX || (r[UA_stlb_1g_entries] && !tlb_sets(r[UA_stlb_1g_entries], r[UA_stlb_1g_ways])))
        return world_fail(w, "processor table: the second-level TLB must have a power of two of sets, 128 or more, and up to %d ways", WAYS_MAX);
    if (!r[UA_dram_channels] || !power_of_two(r[UA_dram_banks]) || r[UA_dram_row_bytes] < LINE || r[UA_dram_row_bytes] % LINE || !r[UA_dram_line16]
        || r[UA_dram_latency] <= r[UA_dram_precharge] + r[UA_dram_activate])
        return world_fail(w, "processor table: memory needs a channel, a power of two of banks, rows of whole lines, and a latency above that of closing and opening a row");
    return branch_geometry(w, u);
}

static bool ways_new(struct ways *c, int64_t kib, int64_t ways, int64_t slices) {
    c->ways = (uint32_t)ways; c->sets = (uint32_t)sets_of(kib, ways);
    c->at = aligned_alloc(64, ((size_t)c->sets * c->ways * (size_t)slices * sizeof *c->at + 63) / 64 * 64);
    if (c->at) for (size_t i = 0; i < (size_t)c->sets * c->ways * (size_t)slices; i++) c->at[i] = 0;
    return !c->at;
}

static bool vcpu_caches_new(struct vcpu *v) {
    const int64_t *r = v->machine->uarch->row;
    struct caches *c = v->caches = calloc(1, sizeof *c);
    if (!c) return true;
    bool bad = ways_new(&c->l1d, r[UA_l1d_kib], r[UA_l1d_ways], 1) | ways_new(&c->l1i, r[UA_l1i_kib], r[UA_l1i_ways], 1) | ways_new(&c->l2, r[UA_l2_kib], r[UA_l2_ways], 1);
    c->l1_mask = c->l1d.sets - 1;
    c->wtime = calloc((size_t)c->l1d.sets * c->l1d.ways, sizeof *c->wtime);
    c->branch = branch_new(v->machine->uarch);
    c->epoch = 1;
#define ROW(name) c->name = (int32_t)r[UA_##name];
    ROW(load_latency) ROW(load_hidden) ROW(chased_hidden) ROW(fill_buffers) ROW(store_hidden) ROW(fetch_hidden) ROW(l2_latency) ROW(llc_latency) ROW(transfer_latency) ROW(upgrade_latency)
    ROW(stlb_latency) ROW(walk_start) ROW(l1_next_line) ROW(l2_adjacent) ROW(streams) ROW(stream_ahead) ROW(prefetches) ROW(mispredict) ROW(resteer) ROW(rep_startup) ROW(rep_line16)
#undef ROW
    return bad || !c->wtime || !c->branch || tlb_new(v);
}

int caches_new(struct machine *m) {
    struct uarch *u = m->uarch;
    if (!u || !u->have_rows) return world_fail(m->world, "caches: machine %d has no processor table", m->index);
    if (check(m->world, u)) return -1;
    struct llc *l = m->llc = calloc(1, sizeof *l);
    if (!l) return world_fail(m->world, "out of memory for caches");
    l->ddio_ways = (uint32_t)u->row[UA_ddio_ways]; l->slices = (uint32_t)m->ncpus; l->inclusive = u->row[UA_llc_inclusive];
    bool bad = ways_new(&l->tags, u->row[UA_llc_kib_per_vcpu], u->row[UA_llc_ways], m->ncpus);
    l->dir_lines = (m->ram_bytes + ((uint64_t)1 << 30)) >> LINE_BITS;      /* the hole below 4 GiB is 1 GiB */
    l->dir = mmap(NULL, l->dir_lines * sizeof *l->dir, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (l->dir == MAP_FAILED) { l->dir = NULL; bad = true; }
    bad = bad || dram_new(m);
    for (int i = 0; i < m->ncpus && !bad; i++) bad = vcpu_caches_new(m->vcpu[i]);
    if (!bad) return 0;
    caches_free(m);
    return world_fail(m->world, "out of memory for the caches of machine %d", m->index);
}

void caches_free(struct machine *m) {
    for (int i = 0; i < m->ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        if (!v) continue;
        tlb_free(v);
        struct caches *c = v->caches;
        if (c) { branch_free(c->branch); free(c->l1d.at); free(c->l1i.at); free(c->l2.at); free(c->wtime); }
        free(c);
        v->caches = NULL;
    }
    if (!m->llc) return;
    if (m->llc->dir) munmap(m->llc->dir, m->llc->dir_lines * sizeof *m->llc->dir);
    dram_free(&m->llc->dram);
    free(m->llc->tags.at); free(m->llc);
    m->llc = NULL;
}

void caches_reset(struct machine *m) {       /* all empty, as after power-on; the table must have been accepted before */
    if (!m->llc) return;
    caches_free(m);
    caches_new(m);
}

/* ---- testing ---- */
int cs_test_access(cs_world *w, int machine, int vcpu, uint64_t gpa, uint64_t gva, uint32_t size, uint32_t flags, uint32_t advance, uint32_t stall[CS_NCAUSES]) {
    if (!w || machine < 0 || machine >= w->nmachines || vcpu < 0 || vcpu >= w->machine[machine]->ncpus || !w->machine[machine]->llc)
        return world_fail(w, "test access: no such vCPU, or no processor table");
    struct vcpu *v = w->machine[machine]->vcpu[vcpu];
    static struct block block;
    static struct access_log log;
    struct access_log *before = v->log;
    block.flags = flags & CS_TEST_LOCKED ? BLK_LOCKED : 0;
    block.load_hidden = (uint8_t)uarch_row(v->machine->uarch, UA_load_hidden);
    block.va = gva; block.code_gpa = gpa; block.size = size; block.code_line_stamp = 0;
    struct block *running = v->cur;
    v->cur = &block;
    v->clock += advance;
    log.n[0] = log.n[1] = 0;
    v->log = flags & CS_TEST_DETAILED ? &log : NULL;
    if (flags & (CS_TEST_DMA | CS_TEST_DMA_READ)) cache_dma(v->machine, gpa, size, flags & CS_TEST_DMA, vcpu_ps(v, v->clock));
    else if (flags & CS_TEST_FETCH) { v->caches->prev = NULL; cache_fetch(v, &block); }
    else {
        if (!(flags & CS_TEST_SAME_BLOCK)) v->caches->filled = 0;
        v->caches->later = 0;                                  /* the clock has moved by what the access before waited */
        cache_hit(v, gpa, flags & CS_TEST_NO_GVA ? NO_GVA : gva, size, flags & CS_TEST_WRITE);
    }
    if (log.n[0] + log.n[1] && v->log) { v->stall[log.last->cause] += log.last->latency; v->stall[CS_TLB] += log.last->walk; v->stall_total += log.last->latency + log.last->walk; }
    if (v->log) { v->stall[CS_FRONTEND] += v->fetch_wait; v->stall_total += v->fetch_wait; v->fetch_wait = 0; }
    v->cur = running; v->caches->prev = NULL; v->log = before;
    for (int i = 0; i < CS_NCAUSES; i++) { stall[i] = v->stall[i]; v->stall[i] = 0; }
    v->clock += v->stall_total;
    v->stall_total = 0;
    return 0;
}
