/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block records and their charging. Every cycle of a vCPU's clock passes through here or through vcpu_idle_to.
 *
 * A block is charged when it ends (the next one starts), or part-way when the guest looks at a clock or a device. Costs are in
 * sixteenths of a cycle; the fraction is carried in the vCPU, so that the clock and the accounts agree to the cycle.
 */
#include "branch.h"
#include "detail.h"
#include "follow.h"
#include "machine.h"
#include "profile.h"
#include "state.h"
#include "uarch.h"
#include "uop.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_BITS = 12, MAX_CODE = 2 * PAGE };

/* static cost; the detailed level has none */
static inline uint32_t cost_of(const struct vcpu *v, const struct block *b) { return v->window ? 0 : v->timed ? b->cost16 : (uint32_t)b->ninsn << 4; }

static inline void advance(struct vcpu *v, uint32_t cost16)
{
    uint32_t total16 = v->frac16 + cost16;
    v->clock += total16 >> 4;
    v->frac16 = total16 & 15;
}

void block_pay(struct vcpu *v, struct block *b)
{
    struct request *mine = follow_worker(v, b);
    if (UNLIKELY(mine != NULL)) {
        bool spins = b->flags & BLK_SPIN;
        for (int i = 0; i < CS_NCAUSES; i++) mine->cycles[spins ? CS_LOCK_SPIN : i] += v->stall[i];
        mine->cycles[spins ? CS_LOCK_SPIN : CS_EVENT] += v->event_cycles;
    }
    for (int i = 0; i < CS_NCAUSES; i += 2) {         /* most are zero: look at two at a time */
        uint64_t two;
        memcpy(&two, &v->stall[i], sizeof two);
        if (!two) continue;
        b->cycles[i] += v->stall[i];
        b->cycles[i + 1] += v->stall[i + 1];
        v->stall[i] = v->stall[i + 1] = 0;
    }
    b->cycles[CS_EVENT] += v->event_cycles;
    v->clock += v->stall_total + v->event_cycles;
    v->stall_total = v->event_cycles = 0;
}

/* of serial16, what its first n instructions hold */
static uint32_t serial_to(const struct vcpu *v, const struct block *b, uint32_t n)
{
    if (n >= b->ninsn) return b->serial16;
    uint32_t sum16 = 0;
    for (int i = 0; i < b->nrows && b->rows[i].insn < n; i++) sum16 += 16 * (uint32_t)uarch_row(v->machine->uarch, EVENT_FIRST + b->rows[i].row);
    return sum16;
}

/* a part of a block; the costs that are pending go with it */
static void charge(struct vcpu *v, struct block *b, uint32_t part16, uint32_t insns)
{
    uint64_t from = v->clock;
    uint32_t total16 = cost_of(v, b);
    advance(v, part16);
    b->sum16 += part16;
    if (v->timed && total16) {
        uint32_t serial16 = serial_to(v, b, v->cur_insns + insns) - serial_to(v, b, v->cur_insns);
        b->sum_serial16 += serial16 < part16 ? serial16 : part16;
        b->sum_retire16 += (uint64_t)b->retire16 * part16 / total16;
    } else {
        b->sum_retire16 += part16;
    }
    b->instructions += insns;
    if (v->window) detail_block(v, b, v->cur_insns, v->cur_insns + insns);
    if (v->stall_total | v->event_cycles) block_pay(v, b);
    follow_block(v, b, from, v->clock);
}

void cell_settle(struct vcpu *v, struct cell *c)
{
    struct block *b = c->block;
    uint64_t runs = c->quick;
    if (!b || !runs) return;
    c->quick = 0;
    b->runs += runs;
    b->instructions += runs * b->ninsn;
    b->sum16 += runs * c->cost16;
    b->sum_serial16 += v->timed && !v->window ? runs * b->serial16 : 0;
    b->sum_retire16 += runs * (v->timed && !v->window ? b->retire16 : c->cost16);
}

/* Sixteenths become whole cycles; what is left over goes to the next record, so that nothing is lost: the sum is the clock. */
static void settle(struct vcpu *v, struct block *b)
{
    uint64_t all = b->sum16 + v->sum_frac16, serial = b->sum_serial16 + v->serial_frac16, core = b->sum16 - b->sum_serial16 - b->sum_retire16 + v->core_frac16;
    uint64_t whole = all >> 4, s = serial >> 4, c = core >> 4;
    if (s > whole) s = whole;
    if (c > whole - s) c = whole - s;
    b->cycles[CS_SERIALISING] += s;
    b->cycles[CS_CORE_BOUND] += c;
    b->cycles[CS_RETIRING] += whole - s - c;
    v->sum_frac16 = all & 15;
    v->serial_frac16 = (uint32_t)(serial - (s << 4));
    v->core_frac16 = (uint32_t)(core - (c << 4));
    b->sum16 = b->sum_serial16 = b->sum_retire16 = 0;
}

void block_settle(struct vcpu *v)
{
    cells_each(v, cell_settle);
    for (uint32_t i = 0; v->table && i < 1u << v->table_bits; i++)
        for (struct block *b = v->table[i]; b; b = b->next) if (b->sum16) settle(v, b);
}

void block_finish(struct vcpu *v, const struct block *b)
{
    if (b->flags & BLK_IRET) v->iret_pending = true;
    if (b->flags & BLK_CR3) v->counters[CS_N_CR3_WRITE]++;   /* cache_fetch flushes the TLBs */
}

void block_close(struct vcpu *v)
{
    struct block *b = v->cur;
    v->cur = NULL;
    v->slow = true;
    if (!b) return;
    if (LIKELY(v->cur_insns == 0)) {
        uint64_t from = v->clock;
        if (UNLIKELY(++v->cell->quick == UINT32_MAX)) cell_settle(v, v->cell);
        advance(v, v->cell->cost16);
        if (v->window) detail_block(v, b, 0, b->ninsn);
        if (v->stall_total | v->event_cycles) block_pay(v, b);
        follow_block(v, b, from, v->clock);
    } else {
        b->runs++;
        charge(v, b, cost_of(v, b) - v->cur_done16, b->ninsn - v->cur_insns);
        v->cur_insns = v->cur_done16 = 0;
    }
    if (UNLIKELY(b->flags & (BLK_IRET | BLK_CR3))) block_finish(v, b);
}

/* charge the first n instructions of the running block, or nothing if they are charged already */
static void charge_to(struct vcpu *v, struct block *b, uint32_t n)
{
    if (n > b->ninsn) n = b->ninsn;
    if (n <= v->cur_insns) return;
    v->slow = true;
    uint32_t total = cost_of(v, b), done = v->timed && b->marks ? b->marks[n - 1].cost16 : n << 4;
    if (done > total) done = total;
    uint32_t part = done > v->cur_done16 ? done - v->cur_done16 : 0;
    charge(v, b, part, n - v->cur_insns);
    v->cur_insns = n;
    v->cur_done16 += part;
}

static uint32_t instructions_before(const struct block *b, uint64_t rip)
{
    if (rip < b->va || rip - b->va >= b->size || !b->marks) return b->ninsn;
    uint32_t n = 0;
    while (n < b->ninsn && b->marks[n].offset < rip - b->va) n++;
    return n;
}

void block_close_at(struct vcpu *v, uint64_t rip)
{
    struct block *b = v->cur;
    if (b) charge_to(v, b, instructions_before(b, rip) + 1);
}

void block_close_before(struct vcpu *v, uint64_t rip)
{
    struct block *b = v->cur;
    if (!b) return;
    v->slow = true;
    uint32_t n = instructions_before(b, rip);
    if (n >= b->ninsn) { block_close(v); return; }
    charge_to(v, b, n);
    b->runs++;
    event_block_cut(v, b, n);
    if (v->shadow) v->shadow->instructions -= b->ninsn - n;
    v->cur = NULL;
    v->cur_insns = v->cur_done16 = 0;
}

static uint64_t hash_bytes(const uint8_t *p, uint32_t n)
{
    uint64_t h = 0xcbf29ce484222325ull;
    while (n--) h = (h ^ *p++) * 0x100000001b3ull;
    return h;
}

static uint32_t slot(const struct vcpu *v, uint64_t va) { return (uint32_t)((va * 0x9e3779b97f4a7c15ull) >> (64 - v->table_bits)); }

static int grow(struct vcpu *v)
{
    uint32_t bits = v->table ? v->table_bits + 1 : FIRST_BITS;
    struct block **old = v->table, **table = calloc((size_t)1 << bits, sizeof *table);
    if (!table) return -1;
    uint32_t n = old ? 1u << v->table_bits : 0;
    v->table = table;
    v->table_bits = bits;
    for (uint32_t i = 0; i < n; i++)
        for (struct block *b = old[i], *next; b; b = next) {
            next = b->next;
            uint32_t s = slot(v, b->va);
            b->next = table[s];
            table[s] = b;
        }
    free(old);
    return 0;
}

static bool has_port_io(const uint8_t *code, const struct block *b)
{
    for (uint32_t i = 0; b->marks && i < b->ninsn; i++) {
        uint32_t at = b->marks[i].offset;
        while (at < b->size && (code[at] == 0x66 || code[at] == 0x67 || code[at] == 0xf2 || code[at] == 0xf3 || (code[at] & 0xf0) == 0x40)) at++;
        if (at >= b->size) continue;
        uint8_t op = code[at];
        if ((op >= 0xe4 && op <= 0xe7) || (op >= 0xec && op <= 0xef) || (op >= 0x6c && op <= 0x6f)) return true;
    }
    return false;
}

static void resolve(struct machine *m, struct block *b)
{
    bool user = b->flags & BLK_USER;
    symbols_resolve(m, b, user);
    probes_resolve(m, b, user);
}

static bool with_uops(struct vcpu *v, struct block *b, const uint8_t *code)
{
    if (!v->window || b->uops || (b->uops = uop_table_find(v->machine, code, b->size, b->flags, b->va, b->code_hash))) return true;
    world_stop(v->machine->world, CS_FAULT, v, 0);
    return false;
}

struct block *block_find(struct vcpu *v, uint64_t va, uint32_t size, bool user)
{
    uint8_t code[MAX_CODE];
    struct env *e = env_of(v);
    uint64_t gpa = 0;
    uint16_t mode = e->hflags & HF_CS64 ? 0 : e->hflags & HF_CS32 ? BLK_CODE32 : BLK_CODE16;
    if (size > MAX_CODE || !vcpu_walk(v, va, &gpa) || !vcpu_read(v, va, code, size)) {
        world_fail(v->machine->world, "The code at %#llx that vCPU %d runs cannot be read.", (unsigned long long)va, v->index);
        world_stop(v->machine->world, CS_FAULT, v, 0);
        return NULL;
    }
    uint64_t hash = hash_bytes(code, size);
    if (v->table)
        for (struct block *b = v->table[slot(v, va)]; b; b = b->next)
            if (b->va == va && b->size == size && b->code_hash == hash && !(b->flags & BLK_USER) == !user && (b->flags & (BLK_CODE16 | BLK_CODE32)) == mode) {
                b->code_gpa = gpa;
                return with_uops(v, b, code) ? b : NULL;
            }
    struct block *b = aligned_alloc(64, sizeof *b + (64 - sizeof *b % 64) % 64);
    if (b) memset(b, 0, sizeof *b);
    if (!b || (v->nblocks >= (v->table ? 1u << v->table_bits : 0) && grow(v))) {
        free(b);
        world_fail(v->machine->world, "There is no memory for another block record.");
        world_stop(v->machine->world, CS_FAULT, v, 0);
        return NULL;
    }
    b->va = va;
    b->size = size;
    b->code_hash = hash;
    b->code_gpa = gpa;
    b->flags = (uint32_t)(mode | (user ? BLK_USER : 0));
    if (decode_block(v->machine, code, size, b)) {
        free(b);
        world_stop(v->machine->world, CS_FAULT, v, 0);
        return NULL;
    }
    b->site = branch_site(va + size);
    b->port_io = has_port_io(code, b);
    v->counters[CS_N_UNCOSTED] += b->uncosted;
    resolve(v->machine, b);
    b->next = v->table[slot(v, va)];
    v->table[slot(v, va)] = b;
    v->nblocks++;
    return with_uops(v, b, code) ? b : NULL;
}

void block_adopt(struct vcpu *v, struct block *b)
{
    struct block **last = &v->table[slot(v, b->va)];
    while (*last) last = &(*last)->next;
    *last = b;
    b->site = branch_site(b->va + b->size);
    v->nblocks++;
    resolve(v->machine, b);
}

void cell_describe(struct vcpu *v, struct cell *c)
{
    const struct block *b = c->block;
    if (!b) return;
    c->va = b->va;
    c->size = (uint16_t)b->size;
    c->ninsn = b->ninsn;
    c->component = b->component;
    c->cost16 = cost_of(v, b);
    c->flags = (uint16_t)((b->flags & (BLK_PROBE | BLK_RETURN_SITE) || b->port_io ? CELL_ENTRY : 0) | (b->flags & (BLK_IRET | BLK_CR3) ? CELL_EXIT : 0)
                          | (b->flags & (BLK_SPIN | BLK_IDLE) ? CELL_WAITS : 0));
}

void block_tables_changed(struct machine *m)
{
    for (int i = 0; i < m->ncpus; i++)
        for (uint32_t j = 0; m->vcpu[i]->table && j < 1u << m->vcpu[i]->table_bits; j++)
            for (struct block *b = m->vcpu[i]->table[j]; b; b = b->next) resolve(m, b);
    for (int i = 0; i < m->ncpus; i++) cells_each(m->vcpu[i], cell_describe);
}

void block_tables_free(struct vcpu *v)
{
    for (uint32_t i = 0; v->table && i < 1u << v->table_bits; i++)
        for (struct block *b = v->table[i], *next; b; b = next) {
            next = b->next;
            free(b->marks);
            free(b->rows);
            free(b);
        }
    free(v->table);
    v->table = NULL;
}
