/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often everything that has a row of its own happened: instructions that serialise, by how often their blocks ran (no cost while they run), and
 * what happens outside blocks, where it happens. Counts times rows is what the ledger holds of them. */
#include "machine.h"
#include "uarch.h"

void event_block_cut(struct vcpu *v, const struct block *b, uint32_t ran)
{
    for (int i = 0; i < b->nrows; i++) if (b->rows[i].insn >= ran) v->events[b->rows[i].row]--;
}

const char *cs_event_row(int index) { return index >= 0 && index < EVENTS ? uarch_row_name(EVENT_FIRST + index) : NULL; }

int cs_events(cs_world *w, int machine, int vcpu, uint64_t *out, int n)
{
    struct vcpu *v = world_vcpu(w, machine, vcpu);
    if (!v) return -1;
    if (n != EVENTS) return world_fail(w, "There are %d events, not %d.", EVENTS, n);
    block_settle(v);
    for (int i = 0; i < n; i++) out[i] = v->events[i];
    for (uint32_t j = 0; v->table && j < 1u << v->table_bits; j++)
        for (const struct block *b = v->table[j]; b; b = b->next)
            for (int i = 0; i < b->nrows; i++) out[b->rows[i].row] += b->runs;
    for (int i = 0; v->cur && i < v->cur->nrows; i++) if (v->cur->rows[i].insn < v->cur_insns) out[v->cur->rows[i].row]++;   /* the run ended within it */
    return 0;
}
