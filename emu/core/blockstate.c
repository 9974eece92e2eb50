/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block records: the ledger's counts, and what blocks cost. They keep their places in their chains, since fractions of cycles go from one record
 * to the next when accounts are read. Translations are gone: each finds its record when it is made again. */
#include "machine.h"
#include "state.h"
#include "uarch.h"
#include "follow.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_BITS = 28, LEAST_BYTES = 64, BLK_ALL = (BLK_STACK << 1) - 1, BLK_RESOLVED = BLK_PROBE | BLK_RETURN_SITE | BLK_SPIN | BLK_IDLE | BLK_POLL | BLK_ENTRY };

static void cycles_state(struct state *s, struct block *b)
{
    uint16_t some = 0;
    for (int i = 0; i < CS_NCAUSES; i++) some |= (uint16_t)((b->cycles[i] != 0) << i);
    STATE(s, some);
    for (int i = 0; i < CS_NCAUSES; i++) if (some >> i & 1) STATE(s, b->cycles[i]);
}

static void *array(struct state *s, void *at, uint64_t n, size_t each)       /* of a record being read: room for it */
{
    if (!s->loading || s->bad || !n) return at;
    if (!(at = malloc(n * each))) { s->bad = true; world_fail(s->world, "There is no memory for a block record."); }
    return at;
}

static void block_state(struct state *s, struct block *b)
{
    uint32_t flags = b->flags & ~(uint32_t)BLK_RESOLVED;
    STATE(s, b->va); STATE(s, b->size); STATE(s, flags); STATE(s, b->ninsn); STATE(s, b->code_gpa); STATE(s, b->code_line_stamp); STATE(s, b->code_hash);
    STATE(s, b->cost16); STATE(s, b->serial16); STATE(s, b->retire16); STATE(s, b->uncosted); state_bool(s, &b->port_io); STATE(s, b->rep_bytes); STATE(s, b->load_hidden);
    STATE(s, b->sum16); STATE(s, b->sum_serial16); STATE(s, b->sum_retire16); STATE(s, b->runs); STATE(s, b->instructions);
    cycles_state(s, b);
    state_is(s, b->size <= 2 * PAGE && b->ninsn <= b->size && !(flags & ~(uint32_t)(BLK_ALL & ~BLK_RESOLVED)), "a block record");
    if (s->loading) b->flags = flags;
    uint64_t marks = state_count(s, b->marks ? b->ninsn : 0, b->ninsn, sizeof *b->marks, "a block's marks");
    state_is(s, !marks || marks == b->ninsn, "a block's marks");
    b->marks = array(s, b->marks, marks, sizeof *b->marks);
    if (marks && !s->bad) state_bytes(s, b->marks, marks * sizeof *b->marks);
    for (uint64_t i = 0; s->loading && i < marks && !s->bad; i++)
        state_is(s, b->marks[i].offset < b->size && (!i || b->marks[i].offset > b->marks[i - 1].offset), "a block's marks");
    b->nrows = (uint16_t)state_count(s, b->nrows, b->ninsn, 3, "a block's rows");
    b->rows = array(s, b->rows, b->nrows, sizeof *b->rows);
    for (int i = 0; i < b->nrows && !s->bad; i++) {
        STATE(s, b->rows[i].insn); STATE(s, b->rows[i].row);
        state_is(s, b->rows[i].insn < b->ninsn && b->rows[i].row < EVENTS, "a block's rows");
    }
}

/* All that was ever charged is in a record, or was idle. */
static void check_sum(struct state *s, struct vcpu *v)
{
    uint64_t sum16 = v->sum_frac16;
    for (uint32_t i = 0; v->table && i < 1u << v->table_bits; i++)
        for (const struct block *b = v->table[i]; b; b = b->next) {
            sum16 += b->sum16;
            for (int c = 0; c < CS_NCAUSES; c++) sum16 += b->cycles[c] << 4;
        }
    state_is(s, sum16 == ((v->clock - v->follow->idle_cycles) << 4) + v->frac16, "a ledger that does not sum to its vCPU's clock");
}

static void read_blocks(struct state *s, struct vcpu *v, uint64_t n)
{
    if (!(v->table = calloc((size_t)1 << v->table_bits, sizeof *v->table))) { s->bad = true; world_fail(s->world, "There is no memory for block records."); return; }
    for (uint64_t i = 0; i < n && !s->bad; i++) {
        struct block *b = aligned_alloc(64, sizeof *b + (64 - sizeof *b % 64) % 64);
        if (!b) { s->bad = true; world_fail(s->world, "There is no memory for block records."); return; }
        memset(b, 0, sizeof *b);
        block_state(s, b);
        if (s->bad) { free(b->marks); free(b->rows); free(b); return; }
        block_adopt(v, b);
    }
}

void blocks_state(struct state *s, struct vcpu *v)
{
    state_begin(s, "BLKS");
    if (!s->loading) cells_each(v, cell_settle);      /* exact, whenever it is done */
    STATE(s, v->follow->idle_cycles);
    STATE(s, v->table_bits);
    uint64_t n = state_count(s, v->nblocks, UINT32_MAX, LEAST_BYTES, "the number of block records");
    state_is(s, v->table_bits <= MAX_BITS && n <= 1ull << v->table_bits && (v->table_bits >= 12 || !n), "the size of a table of block records");
    if (s->bad) return;
    if (s->loading && v->table_bits) read_blocks(s, v, n);
    for (uint32_t i = 0; !s->loading && v->table && i < 1u << v->table_bits; i++)
        for (struct block *b = v->table[i]; b; b = b->next) block_state(s, b);
    if (s->loading && !s->bad) check_sum(s, v);
}

uint32_t block_number(const struct vcpu *v, const struct block *which)
{
    uint32_t n = 0;
    for (uint32_t i = 0; which && v->table && i < 1u << v->table_bits; i++)
        for (const struct block *b = v->table[i]; b; b = b->next) { n++; if (b == which) return n; }
    return 0;
}

struct block *block_numbered(const struct vcpu *v, uint32_t number)
{
    uint32_t n = 0;
    for (uint32_t i = 0; number && v->table && i < 1u << v->table_bits; i++)
        for (struct block *b = v->table[i]; b; b = b->next) if (++n == number) return b;
    return NULL;
}
