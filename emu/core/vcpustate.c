/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU between two blocks: its registers, by Unicorn's interface where that is enough, and what our own record of it holds. Unicorn's translations and
 * its software TLB are not state: both come again as they are needed. */
#include "machine.h"
#include "state.h"
#include "uarch.h"
#include <string.h>

#define CR0_KNOWN 0xe005003full
#define CR4_KNOWN 0x7fffffull
#define EFER_KNOWN 0x4d01ull
#define EFLAGS_KNOWN 0x3f7fd7ull
enum { HF_MP = 1 << 9, HF_EM = 1 << 10, HF_TS = 1 << 11, HF_SMAP = 1 << 23, HF_OWN = HF_CPL | HF_SHADOW | HF_CS32 | HF_SS32 | HF_ADDSEG | HF_CS64,
       HF_DERIVED = HF_PE | HF_MP | HF_EM | HF_TS | HF_LMA | HF_OSFXSR | HF_SMAP };

static uint32_t derived_hflags(const struct env *e, uint64_t efer)     /* what control registers say, as Unicorn keeps it */
{
    uint32_t cr0 = (uint32_t)e->cr[0], cr4 = (uint32_t)e->cr[4];
    return (cr0 & 1 ? HF_PE : 0) | (cr0 & 14) << 8 | (efer & EFER_LMA ? HF_LMA : 0) | (cr4 & 1 << 9 ? HF_OSFXSR : 0) | (cr4 & 1 << 21 ? HF_SMAP : 0);
}

static void segment_state(struct state *s, struct segment *g) { STATE(s, g->selector); STATE(s, g->base); STATE(s, g->limit); STATE(s, g->flags); }

static void control_state(struct state *s, struct vcpu *v)
{
    struct env *e = v->env;
    uint64_t *efer = at(e, layout.efer), flags = unicorn.helper_read_eflags_x86_64(e);
    STATE(s, e->regs); STATE(s, e->eip); STATE(s, flags);
    for (int i = 0; i < 6; i++) segment_state(s, &e->segs[i]);
    segment_state(s, &e->ldt); segment_state(s, &e->tr); segment_state(s, &e->gdt); segment_state(s, &e->idt);
    STATE(s, e->cr[0]); STATE(s, e->cr[2]); STATE(s, e->cr[3]); STATE(s, e->cr[4]);
    STATE(s, *efer); STATE(s, e->hflags); STATE(s, e->hflags2);
    state_is(s, !(e->cr[0] & ~CR0_KNOWN) && !(e->cr[4] & ~CR4_KNOWN) && !(*efer & ~EFER_KNOWN) && !(flags & ~EFLAGS_KNOWN), "a bit of a control register that we do not have");
    state_is(s, (e->hflags & HF_DERIVED) == derived_hflags(e, *efer) && !(e->hflags & ~(uint32_t)(HF_OWN | HF_DERIVED)) && !(e->hflags2 & ~(uint32_t)(HF2_GIF | HF2_NMI)),
             "a processor mode that control registers do not say");
    state_is(s, !(e->hflags & HF_CS64) || e->hflags & HF_LMA, "64-bit code outside long mode");
    state_is(s, !(e->cr[0] & CR0_PG) || e->cr[0] & CR0_PE, "paging without protection");
    if (s->loading && !s->bad) unicorn.helper_write_eflags_x86_64(e, flags, 0xffffffff);
    if (!s->loading && ((e->hflags & HF_DERIVED) != derived_hflags(e, *efer) || e->hflags & ~(uint32_t)(HF_OWN | HF_DERIVED) || e->hflags2 & ~(uint32_t)(HF2_GIF | HF2_NMI))) {
        world_fail(s->world, "vCPU %d is in a processor mode that no snapshot can hold (hflags %#x, CR0 %#llx, CR4 %#llx).", v->index, e->hflags,
                   (unsigned long long)e->cr[0], (unsigned long long)e->cr[4]);
        s->bad = true;
    }
}

/* What RDMSR and WRMSR reach that Unicorn keeps; RDMSR of any other gives 0. */
static const uint32_t msrs[] = { 0x174, 0x175, 0x176 /* SYSENTER */, 0x1a0, 0x277 /* PAT */, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103,
    0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207, 0x208, 0x209, 0x20a, 0x20b, 0x20c, 0x20d, 0x20e, 0x20f,
    0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f, 0x2ff /* MTRRs */ };
/* x87 and SSE. The status word, with the stack's top, comes before the tags, which are by register. */
static const struct { int id; uint8_t bytes; } fpu[] = {
    { UC_X86_REG_FPCW, 2 }, { UC_X86_REG_FPSW, 2 }, { UC_X86_REG_FPTAG, 2 }, { UC_X86_REG_MXCSR, 4 },
    { UC_X86_REG_FIP, 8 }, { UC_X86_REG_FCS, 2 }, { UC_X86_REG_FDP, 8 }, { UC_X86_REG_FDS, 2 }, { UC_X86_REG_FOP, 2 },
    { UC_X86_REG_FP0, 10 }, { UC_X86_REG_FP1, 10 }, { UC_X86_REG_FP2, 10 }, { UC_X86_REG_FP3, 10 },
    { UC_X86_REG_FP4, 10 }, { UC_X86_REG_FP5, 10 }, { UC_X86_REG_FP6, 10 }, { UC_X86_REG_FP7, 10 } };

static void public_state(struct state *s, struct vcpu *v)
{
    for (size_t i = 0; i < sizeof msrs / sizeof *msrs; i++) {
        uc_x86_msr m = { msrs[i], 0 };
        if (!s->loading) unicorn.uc_reg_read(v->uc, UC_X86_REG_MSR, &m);
        STATE(s, m.value);
        if (s->loading && !s->bad) unicorn.uc_reg_write(v->uc, UC_X86_REG_MSR, &m);
    }
    for (size_t i = 0; i < sizeof fpu / sizeof *fpu; i++) {
        uint8_t value[16] = { 0 };
        if (!s->loading) unicorn.uc_reg_read(v->uc, fpu[i].id, value);
        state_bytes(s, value, fpu[i].bytes);
        if (s->loading && !s->bad) unicorn.uc_reg_write(v->uc, fpu[i].id, value);
    }
    for (int i = 0; i < 16; i++) {
        uint64_t value[2] = { 0, 0 };
        if (!s->loading) unicorn.uc_reg_read(v->uc, UC_X86_REG_XMM0 + i, value);
        STATE(s, value);
        if (s->loading && !s->bad) unicorn.uc_reg_write(v->uc, UC_X86_REG_XMM0 + i, value);
    }
    for (int i = 0; i < 8; i++) {                     /* debug registers */
        uint64_t value = 0;
        if (i == 4 || i == 5) continue;
        if (!s->loading) unicorn.uc_reg_read(v->uc, UC_X86_REG_DR0 + i, &value);
        STATE(s, value);
        state_is(s, i != 7 || !(value & 0xff), "a hardware breakpoint that is on");
        if (!s->loading && i == 7 && value & 0xff) {
            world_fail(s->world, "vCPU %d has a hardware breakpoint on, which no snapshot can hold.", v->index);
            s->bad = true;
        }
        if (s->loading && !s->bad) unicorn.uc_reg_write(v->uc, UC_X86_REG_DR0 + i, &value);
    }
}

static void own_state(struct state *s, struct vcpu *v)
{
    STATE(s, v->clock); STATE(s, v->frac16); STATE(s, v->regrow_at);
    STATE(s, v->stall); STATE(s, v->stall_total); STATE(s, v->event_cycles);
    state_bool(s, &v->halted); state_bool(s, &v->started); state_bool(s, &v->iret_pending); state_bool(s, &v->diverted);
    STATE(s, v->sum_frac16); STATE(s, v->serial_frac16); STATE(s, v->core_frac16);
    STATE(s, v->counters); STATE(s, v->events); STATE(s, v->shared_lines); STATE(s, v->shared_clock); STATE(s, v->stored); STATE(s, v->touched);
    uint64_t sum = 0;
    for (int i = 0; i < CS_NCAUSES; i++) sum += v->stall[i];
    state_is(s, sum == v->stall_total, "a stall that is no sum of its causes");
    state_is(s, v->clock < CLOCK_LIMIT && v->regrow_at < CLOCK_LIMIT && v->frac16 < 16 && v->sum_frac16 < 16 && v->serial_frac16 < 1u << 24 && v->core_frac16 < 1u << 24, "a vCPU's clock");
}

void vcpu_state(struct state *s, struct vcpu *v)
{
    state_begin(s, "VCPU");
    void *others = layout_cpu(v->uc);
    layout_use_cpu(v->uc, v->cpu);
    public_state(s, v);
    layout_use_cpu(v->uc, others);
    control_state(s, v);                              /* behind what might change it */
    own_state(s, v);
    if (s->loading) unicorn.tlb_flush_x86_64(v->cpu);
}
