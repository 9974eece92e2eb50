/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's last-level cache, and the directory beside it: an entry per line of RAM, never full, that says who holds the line, who owns it (E
 * or M), when and by whom it was last modified, and whether the LLC has it.
 *
 * Non-inclusive (Skylake-SP): holds what L2s gave up and what devices wrote; a line that one vCPU alone takes back leaves it. Inclusive
 * (Haswell): holds whatever any L2 holds; what it gives up, they lose too.
 */
#include "cache.h"

uint32_t llc_index(const struct llc *l, uint32_t key) {
    uint32_t line = key - 1, hash = line * 2654435761u;
    uint32_t slice = (uint32_t)((uint64_t)hash * l->slices >> 32);
    return slice * l->tags.sets + line % l->tags.sets;
}

static uint32_t *set_of(const struct llc *l, uint32_t key) { return l->tags.at + (size_t)llc_index(l, key) * l->tags.ways; }

static uint32_t way_of(const uint32_t *set, uint32_t key) {          /* it is there */
    uint32_t k = 0;
    while (ENTRY_KEY(set[k]) != key) k++;
    return k;
}

uint8_t llc_remove(struct llc *l, uint32_t key) {
    uint32_t *set = set_of(l, key), k = way_of(set, key);
    uint8_t flags = set[k] & ST_MASK;
    lru_drop(set, l->tags.ways, k);
    l->dir[key - 1].in_llc = 0;
    return flags;
}

void llc_touch(struct llc *l, uint32_t key, uint8_t flags) {
    uint32_t *set = set_of(l, key), k = way_of(set, key);
    lru_front(set, k, set[k] | flags);
}

void llc_invalidate(struct machine *m, uint32_t key, int keep) {
    struct dir_line *d = &m->llc->dir[key - 1];
    for (int i = 0; i < m->ncpus; i++) if (i != keep && d->sharers & 1u << i) line_snoop(m, i, key, false);
    d->sharers &= keep >= 0 ? (uint16_t)(1u << keep) : 0;
    if (d->owner != keep + 1) d->owner = 0;
}

static void evict(struct machine *m, uint32_t entry, uint64_t now) {
    struct llc *l = m->llc;
    struct dir_line *d = &l->dir[ENTRY_KEY(entry) - 1];
    bool dirty = entry & LLC_DIRTY;
    if (l->inclusive && d->sharers) {
        for (int i = 0; i < m->ncpus; i++) if (d->sharers & 1u << i && line_snoop(m, i, ENTRY_KEY(entry), false) == ST_M) dirty = true;
        d->sharers = 0; d->owner = 0;
    }
    d->in_llc = 0;
    if (!dirty) return;
    l->writebacks++;
    dram_write(m, ENTRY_KEY(entry) - 1, now);
}

void llc_insert(struct machine *m, uint32_t key, uint8_t flags, uint64_t now) {
    struct llc *l = m->llc;
    if (l->dir[key - 1].in_llc) { llc_touch(l, key, flags & LLC_DIRTY); return; }
    uint32_t *set = set_of(l, key), last = l->tags.ways - 1, k = last;
    if (flags & LLC_DDIO) {               /* devices may fill ddio_ways of a set: then they evict their own oldest */
        uint32_t oldest = last, mine = 0;
        for (uint32_t i = 0; i <= last; i++) if (set[i] & LLC_DDIO) { mine++; oldest = i; }
        if (mine >= l->ddio_ways) k = oldest;
    }
    if (set[k]) evict(m, set[k], now);
    lru_front(set, k, key << 2 | flags);
    l->dir[key - 1].in_llc = 1;
}

/* ---- devices: a write removes the vCPUs' copies and allocates; a read leaves lines where they are ---- */
void cache_dma(struct machine *m, uint64_t gpa, uint64_t n, bool write, int64_t time_ps) {
    struct llc *l = m->llc;
    if (!l || !n) return;
    uint64_t now = time_ps > 0 ? (uint64_t)((unsigned __int128)time_ps * m->ps_den / m->ps_num) : 0;
    for (uint64_t line = gpa >> LINE_BITS; line <= (gpa + n - 1) >> LINE_BITS && line < l->dir_lines; line++) {
        struct dir_line *d = &l->dir[line];
        if (!write) {
            if (!d->sharers && !d->in_llc) dram_read(m, (uint32_t)line, now);
            continue;
        }
        llc_invalidate(m, KEY(line), -1);
        d->writer = 0;                    /* devices act at the horizon: no vCPU's clock is behind it by more than the block it is in */
        llc_insert(m, KEY(line), LLC_DIRTY | LLC_DDIO, now);
    }
}
