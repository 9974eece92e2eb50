/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's Unicorn, a processor of it for each vCPU: hooks, and what Unicorn leaves undone: exceptions, SYSCALL, CPUID, clock reads, HLT, reset.
 *
 * Rules that keep this honest: the running block is closed before anything looks at the clock or changes the flow; no Python
 * frame ever lies between a hook and Unicorn's longjmp (callbacks return first, then exceptions are delivered); RIP in env is right
 * at block starts, in INTR, SYSCALL and clock hooks, and in port hooks of blocks marked port_io; in MMIO callbacks it is restored.
 */
#include "cache.h"
#include "detail.h"
#include "follow.h"
#include "machine.h"
#include "uarch.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { TCG_BUFFER_BYTES = 128 << 20, PENDING_UD = 6 };
#define RFLAGS_SYSCALL_CLEAR (1u << 16)

struct vcpu *executing;

/* In place of Unicorn's own search of its memory map, on every hooked access: the answer hardly ever changes.
 *
 * A hooked store asks twice, before its hook and once more behind it, to learn whether the region may hold code and
 * translations must be looked for. Where nothing is translated, the second answer is a region that may not. Without hooks only stores that Unicorn's
 * software TLB marks come here, and the region's answer decides whether the mark stays. */
static void *find_region(uc_engine *uc, uint64_t gpa)
{
    struct vcpu *v = executing;
    if (LIKELY(v && v->uc == uc)) {
        if (v->stored == gpa) {
            v->stored = NEVER;
            if (!memory_has_code(v, gpa)) return v->machine->engine.data_region;
        }
        int high = gpa >= FOUR_GIB;
        if (LIKELY((high ? gpa - FOUR_GIB : gpa) < v->region_bytes[high])) {
            if (v->timed || LIKELY(!has_code(v, gpa))) return v->region[high];
            if (v->touched == gpa) memory_store_slow(v, gpa);         /* only a marked store asks twice */
            v->touched = v->touched == gpa ? NEVER : gpa;
            return v->machine->engine.code_region[high];
        }
    }
    return unicorn.find_memory_mapping_x86_64(uc, gpa);
}

static inline bool user_mode(const struct vcpu *v) { return (env_of(v)->hflags & HF_CPL) == 3; }
static inline cs_world *world(const struct vcpu *v) { return v->machine->world; }
static inline uint32_t event_row(const struct vcpu *v, int row) { return v->timed ? (uint32_t)uarch_row(v->machine->uarch, row) : 0; }

void vcpu_attention(struct vcpu *v) { v->slice_end = 0; }

static void stop_here(struct vcpu *v)
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
    if (UNLIKELY(b->flags & (BLK_PROBE | BLK_RETURN_SITE))) probe_fire(v, b);
    if (v->timed) cache_fetch(v, b);
    v->slow = b->port_io || world(v)->trace;
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
static void on_block(uc_engine *uc, uint64_t va, uint32_t size, void *data)
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

static void on_memory(uc_engine *uc, uc_mem_type type, uint64_t gpa, int size, int64_t value, void *data)
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

/* ---- exceptions: the hook runs exactly where the IDT should take over ---- */

/* Unicorn puts RIP behind INT, INT3, INTO before it calls us; but when the gate refuses, the #GP is the instruction's own. */
static void rewind_software_interrupt(struct vcpu *v, uint64_t rip)
{
    const struct block *b = v->cur;
    uint8_t code[16];
    if (!b || !b->marks || !b->ninsn || rip != b->va + b->size) return;
    uint32_t at = b->marks[b->ninsn - 1].offset, n = b->size - at, i = 0;
    if (n > sizeof code || !vcpu_read(v, b->va + at, code, n)) return;
    while (i < n && ((code[i] & 0xf0) == 0x40 || code[i] == 0x66 || code[i] == 0x67 || code[i] == 0xf2 || code[i] == 0xf3)) i++;
    if (i < n && ((code[i] >= 0xcc && code[i] <= 0xce) || code[i] == 0xf1)) env_of(v)->eip -= n;
}

static void deliver_exception(struct vcpu *v, int vector)
{
    uint64_t rip = env_rip(v);
    v->asked = NEVER;                                 /* the access that faults does not return */
    rewind_software_interrupt(v, rip);
    if (v->timed) cache_diverted(v, !v->cur || rip - v->cur->va >= v->cur->size, rip);
    block_close_before(v, rip);
    if (UNLIKELY(v->iret_pending)) {                  /* an IRET that did return, to a page whose fetch faults */
        v->iret_pending = false;
        follow_iret(v, user_mode(v));
    }
    v->delivering = vector;
    unicorn.x86_cpu_do_interrupt_x86_64(v->cpu);      /* a fault in here does not return: the hook is called again with it */
    v->delivering = -1;
    v->counters[vector == 14 ? CS_N_PAGE_FAULT : CS_N_EXCEPTION]++;
    if (v->window) detail_event(v);
    event_count(v, UA_exception_entry);
    v->event_cycles += event_row(v, UA_exception_entry);
    if (UNLIKELY(world(v)->trace != NULL)) {
        int64_t now = vcpu_ps(v, v->clock);
        trace_event(world(v), CS_T_EXCEPTION, v, (uint32_t)vector, now, now, rip, env_of(v)->cr[2]);
    }
    follow_exception(v);
}

static void on_exception(uc_engine *uc, uint32_t number, void *data) { (void)uc; (void)data; deliver_exception(executing, (int)number); }
static bool on_invalid(uc_engine *uc, void *data) { (void)uc; (void)data; deliver_exception(executing, PENDING_UD); return true; }

/* ---- SYSCALL: Unicorn only adds 2 to RIP ---- */

static void flat_segment(struct env *e, int i, uint32_t selector, uint32_t flags) { e->segs[i] = (struct segment){ selector, 0, 0xffffffff, flags }; }

static void on_syscall(uc_engine *uc, void *data)
{
    struct vcpu *v = executing;
    struct env *e = v->env;
    (void)uc; (void)data;
    if (!(e->hflags & HF_CS64) || !(env_u64(v, layout.efer) & EFER_SCE)) {
        world_fail(world(v), "SYSCALL at %#llx from outside 64-bit mode, or with EFER.SCE clear, is not modelled.", (unsigned long long)env_rip(v));
        world_stop(world(v), CS_NOT_MODELLED, v, 0);
        return;
    }
    v->counters[CS_N_SYSCALL]++;
    uint64_t star = env_u64(v, layout.star), fmask = env_u64(v, layout.fmask), flags = unicorn.helper_read_eflags_x86_64(e);
    uint32_t selector = (uint32_t)(star >> 32) & 0xfffc;
    e->regs[GPR_RCX] = e->eip + 2;
    e->regs[GPR_R11] = flags;
    flat_segment(e, SEG_CS, selector, 0x00af9b00);
    flat_segment(e, SEG_SS, selector + 8, 0x00cf9300);
    e->hflags = (e->hflags & ~(uint32_t)(HF_CPL | HF_ADDSEG)) | HF_CS64 | HF_CS32 | HF_SS32;
    unicorn.helper_write_eflags_x86_64(e, flags & ~fmask & ~(uint64_t)RFLAGS_SYSCALL_CLEAR, 0xffffffff);
    e->eip = env_u64(v, layout.lstar) - 2;
}

static void on_sysenter(uc_engine *uc, void *data)
{
    struct vcpu *v = executing;
    const struct block *b = v->cur;
    uint64_t rip = b && b->marks && b->ninsn ? b->va + b->marks[b->ninsn - 1].offset : env_rip(v);   /* it ends its block; RIP is stale here */
    (void)uc; (void)data;
    world_fail(world(v), "SYSENTER at %#llx is not modelled (CPUID does not offer it).", (unsigned long long)rip);
    world_stop(world(v), CS_NOT_MODELLED, v, 0);
}

/* ---- clocks and identity ---- */

static int on_rdtsc(uc_engine *uc, void *data)
{
    struct vcpu *v = executing;
    struct env *e = v->env;
    (void)uc; (void)data;
    block_close_at(v, env_rip(v));
    e->regs[GPR_RAX] = (uint32_t)v->clock;
    e->regs[GPR_RDX] = v->clock >> 32;
    return 1;
}

static int on_rdtscp(uc_engine *uc, void *data)
{
    struct vcpu *v = executing;
    on_rdtsc(uc, data);
    env_of(v)->regs[GPR_RCX] = (uint32_t)env_u64(v, layout.tsc_aux);
    return 1;
}

static int on_cpuid(uc_engine *uc, void *data)
{
    struct vcpu *v = executing;
    struct env *e = v->env;
    uint32_t r[4];
    (void)uc; (void)data;
    cpuid_answer(v, (uint32_t)e->regs[GPR_RAX], (uint32_t)e->regs[GPR_RCX], r);
    e->regs[GPR_RAX] = r[0];
    e->regs[GPR_RBX] = r[1];
    e->regs[GPR_RCX] = r[2];
    e->regs[GPR_RDX] = r[3];
    return 1;
}

/* ---- port I/O: close the block up to the instruction, then serial port, exit port, or Python ---- */

void device_access(struct vcpu *v, int counter, int row)
{
    v->slow = true;                                   /* the device may change who is followed */
    block_close_at(v, env_rip(v));
    v->counters[counter]++;
    event_count(v, row);
    uint32_t cycles = event_row(v, row);
    v->stall[CS_DEVICE] += cycles;
    v->stall_total += cycles;
}

/* Unicorn lets anybody use the ports: with less privilege than IOPL the TSS's bitmap decides. Does not return when it refuses (#GP). */
static void check_port(struct vcpu *v, uint32_t port, int size)
{
    const struct env *e = v->env;
    if (LIKELY((e->hflags & HF_CPL) <= (e->eflags >> 12 & 3))) return;
    (size == 1 ? unicorn.helper_check_iob_x86_64 : size == 2 ? unicorn.helper_check_iow_x86_64 : unicorn.helper_check_iol_x86_64)(v->env, port);
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *data)
{
    struct vcpu *v = executing;
    uint64_t value = ~0ull;
    (void)uc; (void)data;
    check_port(v, port, size);
    device_access(v, CS_N_PIO, UA_pio_read);
    if (serial_port(port)) return serial_read(v->machine, port);
    if (world(v)->cb.pio_read && world(v)->cb.pio_read(v->machine->index, v->index, port, (uint32_t)size, vcpu_ps(v, v->clock), &value))
        world_stop(world(v), CS_CALLBACK, v, 0);
    return (uint32_t)value;
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *data)
{
    struct vcpu *v = executing;
    (void)uc; (void)data;
    check_port(v, port, size);
    device_access(v, CS_N_PIO, UA_pio_write);
    if (size < 4) value &= (1u << (8 * size)) - 1;
    if (serial_port(port) && !serial_write(v->machine, v, port, value)) return;
    if (port == 0xf4) { world_stop(world(v), CS_EXIT, v, value); return; }
    if (world(v)->cb.pio_write && world(v)->cb.pio_write(v->machine->index, v->index, port, (uint32_t)size, vcpu_ps(v, v->clock), value))
        world_stop(world(v), CS_CALLBACK, v, 0);
}

/* ---- the vCPU's life ---- */

bool vcpu_takes_interrupts(const struct vcpu *v)
{
    const struct env *e = v->env;
    return (e->eflags & EFLAGS_IF) && !(e->hflags & HF_SHADOW);
}

/* The gate's code segment: in the GDT, present, code of ring 0, for 64-bit code where `wide`. */
static bool code_ready(struct vcpu *v, uint32_t selector, bool wide)
{
    struct env *e = v->env;
    uint64_t d;
    if (!(selector & ~3u) || (selector & 4) || (selector | 7u) > e->gdt.limit || !vcpu_read(v, e->gdt.base + (selector & ~7u), &d, 8)) return false;
    uint32_t flags = (uint32_t)(d >> 32);
    return (flags & 0xf800) == 0x9800 && (!wide || (flags & 0x600000) == 0x200000);     /* present, DPL 0, S, code; L and not D */
}

/* Delivery happens outside Unicorn's loop, where a fault has nowhere to go: so make sure first that gate, code segment and stack are there. */
static bool stack_ready(struct vcpu *v, int vector)
{
    struct env *e = v->env;
    uint64_t gate[2], rsp = e->regs[GPR_RSP], gpa;
    bool writable;
    if (!(e->hflags & HF_PE)) {
        uint64_t base = e->segs[SEG_SS].base + (rsp & 0xffff);
        return (uint32_t)vector * 4 + 3 <= e->idt.limit && (rsp & 0xffff) >= 6 && vcpu_walk_flags(v, base - 6, &gpa, &writable) && writable;
    }
    if (!(e->hflags & HF_LMA)) {
        if (user_mode(v) || (uint32_t)vector * 8 + 7 > e->idt.limit || !vcpu_read(v, e->idt.base + (uint64_t)vector * 8, gate, 8)) return false;
        uint32_t flags = (uint32_t)(gate[0] >> 40) & 0x9f;
        if ((flags != 0x8e && flags != 0x8f) || !code_ready(v, (uint32_t)(gate[0] >> 16) & 0xffff, false)) return false;
        uint64_t base = e->hflags & HF_SS32 ? rsp & 0xffffffff : rsp & 0xffff;
        return vcpu_walk_flags(v, e->segs[SEG_SS].base + base - 12, &gpa, &writable) && writable;
    }
    if (!vcpu_read(v, e->idt.base + (uint64_t)vector * 16, gate, sizeof gate)) return false;
    uint32_t ist = (uint32_t)(gate[0] >> 32) & 7, type = (uint32_t)(gate[0] >> 40) & 0x9f;
    if ((uint32_t)vector * 16 + 15 > e->idt.limit || (type != 0x8e && type != 0x8f)) return false;
    if (!code_ready(v, (uint32_t)(gate[0] >> 16) & 0xffff, true)) return false;
    if (ist || user_mode(v)) {
        if ((ist ? 36 + 8 * ist - 8 : 4) + 7 > e->tr.limit) return false;
        if (!vcpu_read(v, e->tr.base + (ist ? 36 + 8 * (uint64_t)ist - 8 : 4), &rsp, 8)) return false;
    }
    rsp &= ~15ull;
    return vcpu_walk_flags(v, rsp - 8, &gpa, &writable) && writable && vcpu_walk_flags(v, rsp - 40, &gpa, &writable) && writable;
}

bool vcpu_deliver(struct vcpu *v, int vector, bool nmi, uint64_t token)
{
    struct env *e = v->env;
    if (!stack_ready(v, vector)) {
        world_fail(world(v), "Interrupt %d on vCPU %d finds no gate or no writable stack, or no code segment (RIP %#llx, RSP %#llx), which is not modelled.", vector,
                   v->index, (unsigned long long)e->eip, (unsigned long long)e->regs[GPR_RSP]);
        world_stop(world(v), CS_NOT_MODELLED, v, 0);
        return false;
    }
    if (nmi) e->hflags2 |= HF2_NMI;
    if (v->timed) cache_diverted(v, true, env_rip(v));
    v->counters[CS_N_INTERRUPT]++;
    event_count(v, UA_interrupt_entry);
    v->event_cycles += event_row(v, UA_interrupt_entry);
    if (UNLIKELY(world(v)->trace != NULL)) {
        int64_t now = vcpu_ps(v, v->clock);
        trace_event(world(v), CS_T_INTERRUPT, v, (uint32_t)vector, now, now, env_rip(v), token);
    }
    unicorn.do_interrupt_x86_hardirq_x86_64(e, vector, 1);
    if (v->window) detail_event(v);
    follow_interrupt(v, token);
    return true;
}

/* Unicorn's software TLB grows only when it is flushed, and a guest that never flushes would miss for ever beyond 256 pages (14 times
 * slower). So flush now and then, by the vCPU's clock: a host clock would leak in. */
enum { REGROW_CYCLES = 1 << 22 };

void vcpu_enter(struct vcpu *v)
{
    executing = v;
    layout_use_cpu(v->uc, v->cpu);
    if (UNLIKELY(v->flushes != layout_flushes(v->uc))) {
        v->flushes = layout_flushes(v->uc);
        unicorn.tlb_flush_x86_64(v->cpu);             /* and the jump cache, which points to translations that are no more */
    }
}

/* A deleted hook stays in Unicorn's list until an uc_emu_start ends: so one is started and stopped at its first block. */
static void sweep_hooks(struct vcpu *v)
{
    uint64_t end = v->slice_end, limit = v->slice_limit;
    v->machine->engine.sweep = false;
    v->delivering = -1;
    v->ran = v->slow = true;                          /* must_stop() then stops before anything runs */
    v->slice_end = v->slice_limit = 0;
    unicorn.uc_emu_start(v->uc, env_of(v)->eip, 0, 0, 0);
    v->slice_end = end;
    v->slice_limit = limit;
    unicorn.uc_ctl(v->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0));
    v->flushes = layout_flushes(v->uc);
    unicorn.tlb_flush_x86_64(v->cpu);
}

void vcpu_execute(struct vcpu *v)
{
    if (UNLIKELY(v->clock >= v->regrow_at)) {
        v->regrow_at = v->clock + REGROW_CYCLES;
        unicorn.tlb_flush_x86_64(v->cpu);
    }
    if (UNLIKELY(v->machine->engine.sweep)) sweep_hooks(v);
    v->stop_requested = v->ran = false;
    v->slow = true;
    v->delivering = -1;
    timing = v->timed ? v : NULL;
    quick = v->timed && !v->window ? (struct quick){ v, v->caches } : (struct quick){ NULL, NULL };
    uc_err err = unicorn.uc_emu_start(v->uc, env_of(v)->eip, 0, 0, 0);
    timing = NULL;
    quick = (struct quick){ NULL, NULL };
    if (LIKELY(v->stop_requested)) return;
    uint64_t rip = env_rip(v);
    if (err) {
        block_close_before(v, rip);
        world_fail(world(v), "Unicorn stopped vCPU %d at %#llx: %s. The guest touched physical memory that is neither RAM nor a device.", v->index,
                   (unsigned long long)rip, unicorn.uc_strerror(err));
        world_stop(world(v), CS_NOT_MODELLED, v, 0);
        return;
    }
    if (v->delivering == 8) {                         /* a fault on the way to the double-fault handler */
        world_stop(world(v), CS_TRIPLE_FAULT, v, 0);
        return;
    }
    block_close(v);                                   /* HLT */
    v->counters[CS_N_HLT]++;
    v->halted = true;
}

uint64_t vcpu_cycles_at(const struct vcpu *v, int64_t ps)
{
    if (ps == INT64_MAX) return NEVER;
    if (ps <= 0) return 0;
    const struct machine *m = v->machine;
    uint64_t product;
    if (LIKELY(!__builtin_mul_overflow((uint64_t)ps, m->ps_den, &product) && product + m->ps_num > product)) return (product + m->ps_num - 1) / m->ps_num;
    return (uint64_t)(((unsigned __int128)ps * m->ps_den + m->ps_num - 1) / m->ps_num);
}

void vcpu_idle_to(struct vcpu *v, uint64_t clock)
{
    if (clock <= v->clock) return;
    uint64_t from = v->clock;
    v->clock = clock;
    follow_idle(v, from, clock);
}

static void load_segment(struct env *e, int i, uint32_t selector, uint64_t base, uint32_t limit, uint32_t flags) { e->segs[i] = (struct segment){ selector, base, limit, flags }; }

void vcpu_reset(struct vcpu *v)
{
    struct env *e = v->env;
    *(uint64_t *)at(e, layout.efer) = 0;
    unicorn.cpu_x86_update_cr0_x86_64(e, 0x60000010);
    unicorn.cpu_x86_update_cr4_x86_64(e, 0);
    e->cr[2] = e->cr[3] = 0;
    memset(e->regs, 0, sizeof e->regs);
    e->regs[GPR_RDX] = 0x50654;                       /* family, model, stepping */
    unicorn.helper_write_eflags_x86_64(e, 2, 0xffffffff);
    e->hflags = HF_ADDSEG;
    e->hflags2 = HF2_GIF;
    for (int i = 0; i < 6; i++) load_segment(e, i, 0, 0, 0xffff, 0x9300);
    load_segment(e, SEG_CS, 0xf000, 0xffff0000, 0xffff, 0x9b00);
    e->eip = 0xfff0;
    e->gdt = e->idt = (struct segment){ 0, 0, 0xffff, 0 };
    e->ldt = (struct segment){ 0, 0, 0xffff, 0x8200 };
    e->tr = (struct segment){ 0, 0, 0xffff, 0x8b00 };
    void *others = layout_cpu(v->uc);                 /* it may be another vCPU that resets this one */
    layout_use_cpu(v->uc, v->cpu);
    uint16_t fcw = 0x40;
    uint32_t mxcsr = 0x1f80;
    unicorn.uc_reg_write(v->uc, UC_X86_REG_FPCW, &fcw);
    unicorn.uc_reg_write(v->uc, UC_X86_REG_MXCSR, &mxcsr);
    layout_use_cpu(v->uc, others);
    unicorn.tlb_flush_x86_64(v->cpu);
    v->halted = false;
    v->started = false;
    v->iret_pending = false;
    v->diverted = true;
}

void vcpu_start_pvh(struct vcpu *v, uint32_t entry, uint32_t ebx, uint32_t eax)
{
    struct env *e = v->env;
    vcpu_reset(v);
    unicorn.cpu_x86_update_cr0_x86_64(e, 0x11);
    for (int i = 0; i < 6; i++) load_segment(e, i, 0x10, 0, 0xffffffff, 0x00cf9300);
    load_segment(e, SEG_CS, 8, 0, 0xffffffff, 0x00cf9b00);
    e->tr = (struct segment){ 0, 0, 0x67, 0x8b00 };
    e->hflags = HF_PE | HF_CS32 | HF_SS32;
    e->regs[GPR_RDX] = 0;
    e->regs[GPR_RBX] = ebx;
    e->regs[GPR_RAX] = eax;
    e->eip = entry;
    v->started = true;
}

void vcpu_start_sipi(struct vcpu *v, uint32_t vector)
{
    struct env *e = v->env;
    load_segment(e, SEG_CS, vector << 8, (uint64_t)vector << 12, 0xffff, 0x9b00);
    e->eip = 0;
    v->halted = false;
    v->started = true;
}

/* Hook flags are baked into translations: memory hooks come and go with a flush. */
static int set_memory_hooks(struct machine *m, bool on)
{
    struct engine *e = &m->engine;
    uint64_t low = memory_low(m), high = m->ram_bytes - low;
    if (on && !e->mem_hooked) {
        if (unicorn.uc_hook_add(e->uc, &e->mem_hook[0], UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, on_memory, NULL, 0, low - 1)
            || (high && unicorn.uc_hook_add(e->uc, &e->mem_hook[1], UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, on_memory, NULL, FOUR_GIB, FOUR_GIB + high - 1))) return -1;
    } else if (!on && e->mem_hooked) {
        unicorn.uc_hook_del(e->uc, e->mem_hook[0]);
        if (high) unicorn.uc_hook_del(e->uc, e->mem_hook[1]);
        e->sweep = true;
    }
    e->mem_hooked = on;
    return unicorn.uc_ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0)) ? -1 : 0;     /* the others' TLBs and jump caches go at their next slice */
}

int engine_set_level(struct machine *m, int level)
{
    for (int i = 0; i < m->ncpus; i++) block_settle(m->vcpu[i]);     /* counts so far are of the old level; the flush gives every translation a new group */
    if (set_memory_hooks(m, level != CS_FUNCTIONAL)) return world_fail(m->world, "Unicorn refuses memory hooks.");
    for (int i = 0; i < m->ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        if (!v->timed && level != CS_FUNCTIONAL) tlb_resume(v);
        v->timed = level != CS_FUNCTIONAL;
        v->stored = NEVER;
        v->diverted = true;                           /* whatever ran last at a timed level, something else comes next */
        if (detail_set(v, level == CS_DETAILED)) return -1;
    }
    return 0;
}

static int engine_open(struct machine *m)
{
    struct engine *e = &m->engine;
    cs_world *w = m->world;
    uc_err err = unicorn.uc_open(UC_ARCH_X86, UC_MODE_64, &e->uc);
    if (!err) err = unicorn.uc_ctl(e->uc, UC_CTL_WRITE(UC_CTL_CPU_MODEL, 1), UC_CPU_X86_SKYLAKE_SERVER);
    if (!err) err = unicorn.uc_ctl(e->uc, UC_CTL_WRITE(UC_CTL_TCG_BUFFER_SIZE, 1), TCG_BUFFER_BYTES);
    if (!err) err = unicorn.uc_ctl(e->uc, UC_CTL_WRITE(UC_CTL_UC_USE_EXITS, 1), 1);   /* or every stop page-walks the `until` address */
    uint64_t start;
    if (!err) err = unicorn.uc_reg_read(e->uc, UC_X86_REG_RIP, &start);      /* the first use makes the CPU */
    if (err) return world_fail(w, "Unicorn cannot make an engine: %s.", unicorn.uc_strerror(err));
    if (!(e->nowhere = aligned_alloc(PAGE, PAGE))) return world_fail(w, "There is no memory for a machine.");
    return 0;
}

static int engine_regions(struct machine *m)
{
    struct engine *e = &m->engine;
    if (memory_attach(m)) return -1;
    layout_stop_at_blocks(e->uc);
    e->data_region = unicorn.find_memory_mapping_x86_64(e->uc, DATA_GPA);
    for (int i = 0; i < 2; i++) {
        const void *region = unicorn.find_memory_mapping_x86_64(e->uc, i ? FOUR_GIB : 0);
        if (i && m->ram_bytes == memory_low(m)) break;
        if (!(e->code_region[i] = malloc(LAYOUT_REGION_BYTES))) return world_fail(m->world, "There is no memory for a machine.");
        layout_code_region(region, e->code_region[i]);
    }
    layout_set_mapping(e->uc, find_region);
    return 0;
}

/* At each translation Unicorn looks through its whole software TLB for the page, unless a memory hook lies over the code's virtual address. We have
 * marked the page (memory_code): so a hook that nothing reaches, physical addresses being smaller, lies over the upper half. */
#define UPPER_HALF (1ull << 62)
static bool never_called(uc_engine *uc, uc_mem_type type, uint64_t gpa, int size, int64_t value, void *data) { (void)uc; (void)type; (void)gpa; (void)size; (void)value; (void)data; return false; }

static int engine_hooks(struct machine *m)
{
    struct engine *e = &m->engine;
    uc_hook unused;
    if (!(e->fresh = cells_group(m))) return world_fail(m->world, "There is no memory for a machine.");
    return unicorn.uc_hook_add(e->uc, &e->block_hook, UC_HOOK_BLOCK, on_block, e->fresh, 1, 0)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_MEM_FETCH_PROT, never_called, NULL, UPPER_HALF, UINT64_MAX)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INTR, on_exception, NULL, 1, 0)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN_INVALID, on_invalid, NULL, 1, 0)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_syscall, NULL, 1, 0, UC_X86_INS_SYSCALL)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_sysenter, NULL, 1, 0, UC_X86_INS_SYSENTER)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_rdtsc, NULL, 1, 0, UC_X86_INS_RDTSC)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_rdtscp, NULL, 1, 0, UC_X86_INS_RDTSCP)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_cpuid, NULL, 1, 0, UC_X86_INS_CPUID)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_in, NULL, 1, 0, UC_X86_INS_IN)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_out, NULL, 1, 0, UC_X86_INS_OUT)
        ? world_fail(m->world, "Unicorn refuses a hook.") : 0;
}

static int vcpu_new(struct machine *m, int index)
{
    struct vcpu *v = calloc(1, sizeof *v);
    cs_world *w = m->world;
    if (!v) return world_fail(w, "There is no memory for vCPU %d.", index);
    m->vcpu[index] = v;
    m->ncpus = index + 1;
    w->all[w->nall++] = v;
    v->machine = m;
    v->index = index;
    v->apic_id = (uint32_t)index;
    v->delivering = -1;
    v->next_ps = INT64_MAX;
    v->uc = m->engine.uc;
    v->cpu = index ? layout_new_cpu(v->uc) : layout_cpu(v->uc);
    if (!v->cpu) return world_fail(w, "Unicorn cannot make a processor for vCPU %d.", index);
    v->env = layout_env_of(v->cpu);
    v->skip_sync = at(v->uc, layout.skip_sync_in_uc);
    v->flushes = layout_flushes(v->uc);
    v->region_bytes[0] = memory_low(m);
    v->region_bytes[1] = m->ram_bytes - memory_low(m);
    v->code_pages = memory_code_pages(m);
    v->stored = v->touched = v->asked = NEVER;
    ((uint64_t *)at(v->env, layout.features))[1] &= ~(1ull << 30);      /* RDRAND, */
    ((uint64_t *)at(v->env, layout.features))[2] &= ~(1ull << 18);      /* RDSEED: host randomness */
    return lapic_new(v) || follow_new(v) ? w->error[0] ? -1 : world_fail(w, "vCPU %d cannot be made.", index) : 0;
}

int engine_new(struct machine *m, int ncpus)
{
    m->engine.width = ncpus;
    if (engine_open(m)) return -1;
    for (int i = 0; i < ncpus; i++) if (vcpu_new(m, i)) return -1;       /* before anything is mapped, or translated */
    if (engine_regions(m) || engine_hooks(m)) return -1;
    for (int i = 0; i < ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        v->region[0] = unicorn.find_memory_mapping_x86_64(v->uc, 0);
        v->region[1] = v->region_bytes[1] ? unicorn.find_memory_mapping_x86_64(v->uc, FOUR_GIB) : NULL;
        vcpu_reset(v);
    }
    return 0;
}

static void vcpu_free(struct vcpu *v)
{
    if (executing == v) executing = NULL;
    block_tables_free(v);
    detail_free(v);
    lapic_free(v);
    if (v->follow) follow_free(v);
    free(v);
}

void engine_free(struct machine *m)
{
    struct engine *e = &m->engine;
    if (e->uc) {
        if (m->ncpus && m->vcpu[0]->cpu) layout_use_cpu(e->uc, m->vcpu[0]->cpu);
        unicorn.uc_close(e->uc);
        for (int i = 1; i < m->ncpus; i++) if (m->vcpu[i]->cpu) layout_free_cpu(m->vcpu[i]->cpu);
    }
    for (int i = 0; i < m->ncpus; i++) vcpu_free(m->vcpu[i]);
    for (struct high *h = e->high, *next; h; h = next) { next = h->next; free(h); }
    cells_free(m);
    free(e->code_region[0]);
    free(e->code_region[1]);
    free(e->nowhere);
}

uint32_t vcpu_wake_cycles(const struct vcpu *v) { return event_row(v, UA_hlt_exit); }
uint64_t vcpu_reg(const struct vcpu *v, int n) { return env_of(v)->regs[n & 15]; }
int vcpu_cpl(const struct vcpu *v) { return (int)(env_of(v)->hflags & HF_CPL); }
