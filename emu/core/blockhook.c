/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The block and memory hooks: where a vCPU's time passes, and where it stops. Most blocks end in on_block, most accesses in access.c. */
#include "cache.h"
#include "detail.h"
#include "follow.h"
#include "hooks.h"
#include "profile.h"
#include <stddef.h>
#include <string.h>

void vcpu_attention(struct vcpu *v) { v->slice_end = 0; }

void stop_here(struct vcpu *v)
{
    v->stop_requested = true;
    unicorn.uc_emu_stop(v->uc);
}

/* The block hook's slow path. True: stop before this block. */
static bool must_stop(struct vcpu *v)
{
    if (!v->ran) return false;                        /* at least one block a slice, or nothing ever moves */
    if (v->clock >= v->slice_limit || world(v)->stopping || memory_stale(v->machine)) return true;
    enum lapic_pending pending = lapic_pending(v);
    if (pending == LAPIC_NMI || (pending == LAPIC_VECTOR && vcpu_takes_interrupts(v))) return true;
    v->slice_end = pending == LAPIC_NOTHING ? v->slice_limit : 0;
    return false;
}

static struct cell *no_record(struct vcpu *v)
{
    world_fail(world(v), "There is no memory for a translation's record.");
    world_stop(world(v), CS_FAULT, v, 0);
    stop_here(v);
    return NULL;
}

/* The first block hook of a translation: its group is its own from now on, the next one gets a fresh one; and somebody may write to its code before
 * it runs. */
static bool claim(struct vcpu *v, const struct cell *cell, uint64_t va, uint32_t size)
{
    struct engine *e = &v->machine->engine;
    if (cell - v->index != e->fresh) return true;
    memory_code(v, va, size);
    v->counters[CS_N_TRANSLATIONS]++;
    e->fresh = cells_group(v->machine);
    layout_set_user_data(e->block_hook, e->fresh);
    return e->fresh || no_record(v);
}

static struct cell *first_sight(struct vcpu *v, struct cell *cell, uint64_t va, uint32_t size)
{
    struct block *b = block_find(v, va, size, user_mode(v));
    if (!b) { stop_here(v); return NULL; }
    if (cell->block) {                                /* two translations with one group: should one ever not get as far as its hook */
        struct cell *group = b->own ? NULL : cells_group(v->machine);
        if (group) { b->own = group + v->index; b->own->block = b; cell_describe(v, b->own); }
        return b->own ? b->own : no_record(v);
    }
    cell->block = b;
    cell_describe(v, cell);
    return cell;
}

static __attribute__((noinline)) void start_block(struct vcpu *v, struct cell *cell, uint64_t va, uint32_t size)
{
    if (v->cur) block_close(v);
    if (UNLIKELY(v->iret_pending)) {
        v->iret_pending = false;
        follow_iret(v, user_mode(v));
    }
    v->slow = true;
    if (UNLIKELY(!cell->block) && !claim(v, cell, va, size)) return;
    if (UNLIKELY(v->clock >= v->slice_end) && must_stop(v)) { stop_here(v); return; }
    if (UNLIKELY(!cell->block || cell->va != va || cell->size != size)) {
        cell = first_sight(v, cell, va, size);
        if (!cell) return;
    }
    struct block *b = cell->block;
    v->cur = b;
    v->cell = cell;
    v->ran = true;
    *v->skip_sync = !b->port_io;
    if (UNLIKELY(v->shadow != NULL)) profile_block(v, b);
    if (UNLIKELY(b->flags & (BLK_PROBE | BLK_RETURN_SITE))) probe_fire(v, b);
    if (UNLIKELY(v->shadow != NULL)) profile_request(v, b);
    if (v->timed) cache_fetch(v, b);
    v->slow = b->port_io || world(v)->trace || v->shadow;
}

/* The block that ran, charged: whatever may come with it. */
static __attribute__((noinline)) void next_block(struct vcpu *v, struct cell *cell, uint64_t va, uint32_t size)
{
    struct cell *p = v->cell;
    uint64_t from = v->clock;
    uint32_t total16 = v->frac16 + p->cost16;
    v->clock += total16 >> 4;
    v->frac16 = total16 & 15;
    if (UNLIKELY(++p->quick == UINT32_MAX)) cell_settle(v, p);
    if (v->window) detail_block(v, p->block, 0, p->ninsn);
    if (v->stall_total | v->event_cycles) block_pay(v, p->block);
    struct follow *f = v->follow;
    if (f->current) {
        follow_worked(v, p->block, from, v->clock);
        if (LIKELY(f->owed_part == p->component && !(p->flags & CELL_WAITS))) f->owed_cycle = v->clock;
        else follow_charge(v, p->block, from, v->clock);
    }
    if (LIKELY(v->clock < v->slice_end && cell->va == va && cell->size == size && !((p->flags & CELL_EXIT) | (cell->flags & CELL_ENTRY)))) {
        v->cell = cell;
        v->cur = cell->block;
        if (v->timed) cache_fetch(v, cell->block);
        return;
    }
    v->cur = NULL;
    if (p->flags & CELL_EXIT) block_finish(v, p->block);
    start_block(v, cell, va, size);
}

/* Most blocks end here, having touched two cells: no call but the last, so nothing is saved. */
void on_block(uc_engine *uc, uint64_t va, uint32_t size, void *data)
{
    struct vcpu *v = executing;
    struct cell *cell = (struct cell *)data + v->index, *p;
    (void)uc;
    if (UNLIKELY(v->slow)) { start_block(v, cell, va, size); return; }
    p = v->cell;
    uint32_t total16 = v->frac16 + p->cost16;
    uint64_t clock = v->clock + (total16 >> 4);
    struct follow *f = v->follow;
    uint64_t pending;                                 /* stall_total, event_cycles */
    _Static_assert(offsetof(struct vcpu, event_cycles) == offsetof(struct vcpu, stall_total) + 4, "looked at together");
    memcpy(&pending, &v->stall_total, sizeof pending);
    bool plain = !pending && !v->window && clock < v->slice_end && cell->va == va && cell->size == size
        && !((p->flags & (CELL_EXIT | CELL_WAITS)) | (cell->flags & CELL_ENTRY)) && p->quick < UINT32_MAX - 1 && (!f->current || f->owed_part == p->component);
    if (UNLIKELY(!plain)) { next_block(v, cell, va, size); return; }
    p->quick++;
    if (f->current) f->owed_cycle = clock;
    v->clock = clock;
    v->frac16 = total16 & 15;
    v->cell = cell;
    v->cur = cell->block;
    if (v->timed) cache_fetch(v, cell->block);
}

void on_memory(uc_engine *uc, uc_mem_type type, uint64_t gpa, int size, int64_t value, void *data)
{
    (void)uc; (void)value; (void)data;
    struct vcpu *v = executing;
    uint64_t gva = (v->asked ^ gpa) & (PAGE - 1) ? NO_GVA : v->asked;       /* not all of Unicorn's own accesses come through access.c */
    if (type == UC_MEM_WRITE) {
        v->stored = gpa;
        cache_hit(v, gpa, gva, (uint32_t)size, true);
    }
    else cache_hit(v, gpa, gva, (uint32_t)size, false);
}
