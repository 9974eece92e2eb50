/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU's life: reset and start, interrupts taken, a run until the block hook stops it, HLT. */
#include "detail.h"
#include "hooks.h"
#include "profile.h"
#include "follow.h"
#include "uarch.h"
#include <string.h>

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
    profile_event(v, EVENT_INTERRUPT, true);
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
    uint64_t busy = v->clock - v->follow->idle_cycles;
    if (UNLIKELY(busy >= v->regrow_at)) {
        v->regrow_at = busy + REGROW_CYCLES;
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

uint32_t vcpu_wake_cycles(const struct vcpu *v) { return event_row(v, UA_hlt_exit); }
uint64_t vcpu_reg(const struct vcpu *v, int n) { return env_of(v)->regs[n & 15]; }
int vcpu_cpl(const struct vcpu *v) { return (int)(env_of(v)->hflags & HF_CPL); }
