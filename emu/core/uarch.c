/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processor table: named rows and instruction forms, checked on the way in and read-only afterwards. */
#include "uop.h"
#include "uarch.h"
#include <stdlib.h>
#include <string.h>

static const char *const row_names[UA_NROWS] = {
#define R(name) #name,
    UARCH_ROWS(R)
#undef R
};

const char *uarch_row_name(int row) { return row_names[row]; }
int64_t uarch_row(const struct uarch *u, int row) { return u && row >= 0 && row < UA_NROWS ? u->row[row] : 0; }

static void forms_free(struct uarch *u) {
    for (uint32_t i = 0; i < u->nforms; i++) free(u->forms[i].name);
    free(u->forms); free(u->hash);
    u->forms = NULL; u->hash = NULL; u->nforms = 0;
}

void uarch_free(struct machine *m) {
    struct uarch *u = m->uarch;
    m->uarch = NULL;
    if (!u || --u->users) return;
    uop_table_free(u->uops);
    forms_free(u);
    free(u);
}

/* ---- one copy for all machines whose tables say the same ---- */

static bool same_form(const struct form *a, const struct form *b) {
    bool same = !strcmp(a->name, b->name) && a->uops16 == b->uops16 && a->latency == b->latency && a->recip16 == b->recip16 && a->flags == b->flags && a->nsets == b->nsets;
    for (int i = 0; same && i < a->nsets; i++) same = a->set[i].ports == b->set[i].ports && a->set[i].n16 == b->set[i].n16;
    return same;
}

static bool same_table(const struct uarch *a, const struct uarch *b) {
    if (!a->have_rows || !b->have_rows || a->nforms != b->nforms || memcmp(a->row, b->row, sizeof a->row)) return false;
    for (uint32_t i = 0; i < a->nforms; i++) if (!same_form(&a->forms[i], &b->forms[i])) return false;
    return true;
}

/* Loaded: the machine takes that of another one, if there is one like it. */
static void uarch_share(struct machine *m) {
    for (int i = 0; i < m->world->nmachines; i++) {
        struct machine *other = m->world->machine[i];
        if (!other->uarch || other->uarch == m->uarch || !same_table(other->uarch, m->uarch)) continue;
        uarch_free(m);
        m->uarch = other->uarch;
        m->uarch->users++;
        return;
    }
}

static int forms_copy(struct uarch *to, const struct uarch *from) {
    size_t hashed = from->hash ? ((size_t)1 << from->hash_bits) * sizeof *from->hash : 0;
    to->forms = calloc(from->nforms ? from->nforms : 1, sizeof *to->forms);
    to->hash = malloc(hashed ? hashed : 1);
    if (!to->forms || !to->hash) return -1;
    if (hashed) memcpy(to->hash, from->hash, hashed);
    to->hash_bits = from->hash_bits;
    for (; to->nforms < from->nforms; to->nforms++) {
        struct form *f = &to->forms[to->nforms];
        *f = from->forms[to->nforms];
        if (!(f->name = strdup(f->name))) return -1;
    }
    return 0;
}

/* To write to: its own. NULL: no memory. */
static struct uarch *uarch_own(struct machine *m) {
    struct uarch *shared = m->uarch;
    if (shared && shared->users == 1) return shared;
    struct uarch *own = calloc(1, sizeof *own);
    if (!own) return NULL;
    own->users = 1;
    if (shared) {
        memcpy(own->row, shared->row, sizeof own->row);
        own->have_rows = shared->have_rows;
        if (forms_copy(own, shared)) { forms_free(own); free(own); return NULL; }
        shared->users--;
    }
    return m->uarch = own;
}

static struct machine *machine_at(cs_world *w, int machine) {
    if (!w || machine < 0 || machine >= w->nmachines) return NULL;
    return w->machine[machine];
}

static bool has_run(const struct machine *m) {
    for (int i = 0; i < m->ncpus; i++) if (m->vcpu[i] && m->vcpu[i]->nblocks) return true;
    return false;
}

int cs_uarch(cs_world *w, int machine, const cs_row *rows, int n) {
    struct machine *m = machine_at(w, machine);
    if (!m) return world_fail(w, "processor table: there is no machine %d", machine);
    if (has_run(m)) return world_fail(w, "processor table: machine %d has run already; load the table before the first run", machine);
    int64_t value[UA_NROWS]; bool seen[UA_NROWS] = { false };
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < UA_NROWS && strcmp(row_names[k], rows[i].name)) k++;
        if (k == UA_NROWS) return world_fail(w, "processor table: no row is called %s", rows[i].name);
        if (seen[k]) return world_fail(w, "processor table: row %s is given twice", rows[i].name);
        if (rows[i].value < 0 || rows[i].value > INT32_MAX) return world_fail(w, "processor table: row %s is out of range", rows[i].name);
        seen[k] = true; value[k] = rows[i].value;
    }
    for (int k = 0; k < UA_NROWS; k++) if (!seen[k]) return world_fail(w, "processor table: row %s is missing", row_names[k]);
    if (window_rows(w, value)) return -1;
    struct uarch *u = uarch_own(m);
    if (!u) return world_fail(w, "out of memory for a processor table");
    memcpy(u->row, value, sizeof value);
    u->have_rows = true;
    uarch_share(m);
    caches_free(m);
    return caches_new(m);
}

static uint32_t hash_name(const char *s) {
    uint32_t h = 2166136261u;
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
    return h ^ h >> 15;
}

const struct form *uarch_form(const struct uarch *u, const char *name) {
    if (!u->nforms) return NULL;
    uint32_t mask = (1u << u->hash_bits) - 1;
    for (uint32_t i = hash_name(name) & mask; u->hash[i]; i = (i + 1) & mask)
        if (!strcmp(u->forms[u->hash[i] - 1].name, name)) return &u->forms[u->hash[i] - 1];
    return NULL;
}

static int forms_index(cs_world *w, struct uarch *u) {
    u->hash_bits = 4;
    while (1u << u->hash_bits < 2 * u->nforms) u->hash_bits++;
    u->hash = calloc((size_t)1 << u->hash_bits, sizeof *u->hash);
    if (!u->hash) return world_fail(w, "out of memory for %u instruction forms", u->nforms);
    uint32_t mask = (1u << u->hash_bits) - 1;
    for (uint32_t k = 0; k < u->nforms; k++) {
        uint32_t i = hash_name(u->forms[k].name) & mask;
        for (; u->hash[i]; i = (i + 1) & mask)
            if (!strcmp(u->forms[u->hash[i] - 1].name, u->forms[k].name))
                return world_fail(w, "instruction table: %s is given twice", u->forms[k].name);
        u->hash[i] = k + 1;
    }
    return 0;
}

int cs_insn_table(cs_world *w, int machine, const cs_insn_cost *rows, int n) {
    struct machine *m = machine_at(w, machine);
    if (!m) return world_fail(w, "instruction table: there is no machine %d", machine);
    if (has_run(m)) return world_fail(w, "instruction table: machine %d has run already; load the table before the first run", machine);
    struct uarch *u = uarch_own(m);
    if (!u) return world_fail(w, "out of memory for a processor table");
    forms_free(u);
    u->forms = calloc((size_t)(n > 0 ? n : 1), sizeof *u->forms);
    if (!u->forms) return world_fail(w, "out of memory for %d instruction forms", n);
    for (int i = 0; i < n; i++) {
        const cs_insn_cost *r = &rows[i];
        if (r->flags & FORM_MORE) {
            struct form *f = u->nforms ? &u->forms[u->nforms - 1] : NULL;
            if (!f || f->nsets == FORM_MAX_SETS || !r->ports || r->ports > 0xffff)
                return world_fail(w, "instruction table: row %d is a port set that belongs to nothing, is one too many, or names no port of 0 to 15", i);
            f->set[f->nsets].ports = (uint16_t)r->ports;
            f->set[f->nsets++].n16 = r->uops16;
            continue;
        }
        if (!r->mnemonic || !*r->mnemonic) return world_fail(w, "instruction table: row %d has no name", i);
        struct form *f = &u->forms[u->nforms];
        f->name = strdup(r->mnemonic);
        if (!f->name) return world_fail(w, "out of memory for %d instruction forms", n);
        u->nforms++;
        f->uops16 = r->uops16; f->latency = r->latency; f->recip16 = r->recip16; f->flags = r->flags;
    }
    if (forms_index(w, u)) return -1;
    uarch_share(m);
    return 0;
}
