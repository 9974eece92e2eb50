/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Symbols, and the accounts: block records rolled up by component and by symbol. Nothing is counted twice or estimated: the
 * cycles of a vCPU's accounts sum to its clock when no block is open (halted time is nobody's block: it is component idle, symbol `unknown + 1`). */
#include "follow.h"
#include <stdlib.h>
#include <string.h>

struct symbols { uint32_t n, unknown_symbol; uint16_t unknown_component; cs_symbol row[]; };

static struct machine *machine_of(cs_world *w, int machine)
{
    if (machine < 0 || machine >= w->nmachines) { world_fail(w, "There is no machine %d.", machine); return NULL; }
    return w->machine[machine];
}

static struct vcpu *vcpu_of(cs_world *w, int machine, int vcpu)
{
    struct machine *m = machine_of(w, machine);
    if (!m) return NULL;
    if (vcpu < 0 || vcpu >= m->ncpus) { world_fail(w, "Machine %d has no vCPU %d.", machine, vcpu); return NULL; }
    return m->vcpu[vcpu];
}

int cs_symbols(cs_world *w, int machine, int user, const cs_symbol *rows, int n, uint32_t unknown_symbol, uint16_t unknown_component)
{
    struct machine *m = machine_of(w, machine);
    if (!m) return -1;
    if (n < 0 || user < 0 || user > 1) return world_fail(w, "A symbol table is for the kernel (0) or for programs (1).");
    if (unknown_component >= CS_MAX_COMPONENTS) return world_fail(w, "There is no component %u.", unknown_component);
    for (int i = 0; i < n; i++) {
        if (rows[i].start >= rows[i].end || (i && rows[i].start < rows[i - 1].end))
            return world_fail(w, "Symbols must be sorted and disjoint, and symbol %u at %#llx is not.", rows[i].symbol, (unsigned long long)rows[i].start);
        if (rows[i].component >= CS_MAX_COMPONENTS) return world_fail(w, "Symbol %u has component %u, beyond the last.", rows[i].symbol, rows[i].component);
    }
    struct symbols *s = malloc(sizeof *s + (size_t)n * sizeof *s->row);
    if (!s) return world_fail(w, "There is no memory for %d symbols.", n);
    s->n = (uint32_t)n;
    s->unknown_symbol = unknown_symbol;
    s->unknown_component = unknown_component;
    if (n) memcpy(s->row, rows, (size_t)n * sizeof *s->row);
    free(m->symbols[user]);
    m->symbols[user] = s;
    block_tables_changed(m);
    return 0;
}

void symbols_free(struct machine *m)
{
    for (int i = 0; i < 2; i++) { free(m->symbols[i]); m->symbols[i] = NULL; }
}

void symbols_resolve(struct machine *m, struct block *b, bool user)
{
    const struct symbols *s = m->symbols[user];
    b->flags &= (uint32_t)~(BLK_SPIN | BLK_IDLE | BLK_POLL | BLK_ENTRY);
    b->component = s ? s->unknown_component : CS_C_UNKNOWN;
    b->symbol = s ? s->unknown_symbol : 0;
    if (!s) return;
    uint32_t low = 0, high = s->n;   /* the first row that ends beyond va */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->row[middle].end <= b->va) low = middle + 1;
        else high = middle;
    }
    if (low == s->n || s->row[low].start > b->va) return;
    const cs_symbol *row = &s->row[low];
    b->component = row->component;
    b->symbol = row->symbol;
    if (row->start == b->va) b->flags |= BLK_ENTRY;
    if (row->flags & CS_SYM_SPIN) b->flags |= BLK_SPIN;
    if (row->flags & CS_SYM_IDLE) b->flags |= BLK_IDLE;
    if (row->flags & CS_SYM_POLL) b->flags |= BLK_POLL;
}

static void add(cs_account *a, const struct block *b)
{
    int only = b->flags & BLK_SPIN ? CS_LOCK_SPIN : b->flags & BLK_IDLE ? CS_IDLE : -1;   /* waiting, whatever it costs */
    for (int i = 0; i < CS_NCAUSES; i++) a->cycles[only < 0 ? i : only] += b->cycles[i];
    a->instructions += b->instructions;
    a->blocks += b->runs;
}

int cs_ledger_components(cs_world *w, int machine, int vcpu, cs_account out[CS_MAX_COMPONENTS])
{
    struct vcpu *v = vcpu_of(w, machine, vcpu);
    if (!v) return -1;
    block_settle(v);
    memset(out, 0, sizeof *out * CS_MAX_COMPONENTS);
    for (uint32_t i = 0; v->table && i < 1u << v->table_bits; i++)
        for (const struct block *b = v->table[i]; b; b = b->next) add(&out[b->component], b);
    out[CS_C_IDLE].cycles[CS_IDLE] += v->follow->idle_cycles;
    return 0;
}

int cs_ledger_symbols(cs_world *w, int machine, int vcpu, cs_account *out, uint32_t nsymbols)
{
    struct vcpu *v = vcpu_of(w, machine, vcpu);
    if (!v) return -1;
    block_settle(v);
    memset(out, 0, sizeof *out * nsymbols);
    for (uint32_t i = 0; v->table && i < 1u << v->table_bits; i++)
        for (const struct block *b = v->table[i]; b; b = b->next) {
            if (b->symbol >= nsymbols) return world_fail(w, "Symbol %u is beyond the %u asked for.", b->symbol, nsymbols);
            add(&out[b->symbol], b);
        }
    const struct symbols *s = v->machine->symbols[0];
    uint32_t halted = s ? s->unknown_symbol + 1 : 0;
    if (halted >= nsymbols) return world_fail(w, "Symbol %u is beyond the %u asked for.", halted, nsymbols);
    out[halted].cycles[CS_IDLE] += v->follow->idle_cycles;
    return 0;
}
