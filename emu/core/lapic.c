/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC in xAPIC mode (Intel SDM vol. 3, chapter 11): MMIO registers, priorities, IPIs, INIT/SIPI, the timer.
 *
 * The timer counts a crystal of LAPIC_CRYSTAL_HZ (what CPUID leaf 0x15 reports), divided as programmed, and is a function of the vCPU's
 * clock alone. Everything sent to a vCPU is an arrival with a time: it is accepted when the vCPU's clock gets there. Every vector
 * remembers the token of the request that raised it. Not modelled: TSC-deadline mode, ExtINT, SMI, x2APIC.
 */
#include "machine.h"
#include "state.h"
#include "uarch.h"
#include <stdlib.h>
#include <string.h>

enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_NMI = 4, MODE_INIT, MODE_SIPI, MODE_EXTINT };
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVTS, LVT_MASKED = 1 << 16, LVT_PERIODIC = 1 << 17, LVT_MODES = 3 << 17 };
enum { SVR_ENABLED = 1 << 8, VERSION = 0x50014, ESR_SEND_ILLEGAL = 1 << 5, ESR_RECEIVE_ILLEGAL = 1 << 6, MAX_ARRIVALS = 4096 };

struct arrival { uint64_t at, token; uint8_t mode, vector, level; };
struct lapic {
    uint32_t tpr, ldr, dfr, svr, esr, esr_latched, icr_low, icr_high, lvt[LVTS], initial, divide;
    uint32_t isr[8], tmr[8], irr[8];
    uint64_t token[256];
    bool nmi;
    uint64_t timer_start, timer_next;                /* clocks; NEVER: not running */
    struct arrival *arrivals; int narrivals, room;   /* by time, then in the order sent */
};

static inline bool bit(const uint32_t *map, uint32_t n) { return map[n >> 5] >> (n & 31) & 1; }
static inline void set_bit(uint32_t *map, uint32_t n) { map[n >> 5] |= 1u << (n & 31); }
static inline void clear_bit(uint32_t *map, uint32_t n) { map[n >> 5] &= ~(1u << (n & 31)); }

static int highest(const uint32_t *map)
{
    for (int i = 7; i >= 0; i--) if (map[i]) return i * 32 + 31 - __builtin_clz(map[i]);
    return -1;
}

static uint32_t priority(const struct lapic *l)
{
    int served = highest(l->isr);
    uint32_t isr = served < 0 ? 0 : (uint32_t)served & 0xf0;
    return (l->tpr & 0xf0) >= isr ? l->tpr : isr;
}

/* ---- the timer ---- */

static uint32_t divisor(const struct lapic *l)
{
    uint32_t code = (l->divide & 3) | (l->divide >> 1 & 4);
    return code == 7 ? 1 : 2u << code;
}

static uint64_t ticks_since_start(const struct vcpu *v)   /* undivided */
{
    return (uint64_t)((unsigned __int128)(v->clock - v->lapic->timer_start) * LAPIC_CRYSTAL_HZ / v->machine->hz);
}

static uint64_t clock_of_tick(const struct vcpu *v, unsigned __int128 tick)
{
    return v->lapic->timer_start + (uint64_t)((tick * v->machine->hz + LAPIC_CRYSTAL_HZ - 1) / LAPIC_CRYSTAL_HZ);
}

static void timer_schedule(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    uint64_t period = (uint64_t)l->initial * divisor(l), elapsed = ticks_since_start(v);
    bool periodic = (l->lvt[LVT_TIMER] & LVT_MODES) == LVT_PERIODIC;
    if (!l->initial || (l->lvt[LVT_TIMER] & LVT_MODES) > LVT_PERIODIC || (!periodic && elapsed >= period)) { l->timer_next = NEVER; return; }
    l->timer_next = clock_of_tick(v, periodic ? (unsigned __int128)(elapsed / period + 1) * period : period);
}

static uint32_t timer_count(const struct vcpu *v)
{
    const struct lapic *l = v->lapic;
    if (!l->initial) return 0;
    uint64_t elapsed = ticks_since_start(v) / divisor(l);
    if ((l->lvt[LVT_TIMER] & LVT_MODES) == LVT_PERIODIC) return l->initial - (uint32_t)(elapsed % l->initial);
    return elapsed >= l->initial ? 0 : l->initial - (uint32_t)elapsed;
}

/* ---- arrivals ---- */

static void accept_vector(struct lapic *l, uint32_t vector, bool level, uint64_t token)
{
    if (!(l->svr & SVR_ENABLED)) return;
    if (vector < 16) { l->esr |= ESR_RECEIVE_ILLEGAL; return; }
    if (!bit(l->irr, vector) || token) l->token[vector] = token;
    set_bit(l->irr, vector);
    if (level) set_bit(l->tmr, vector);
    else clear_bit(l->tmr, vector);
}

static void arrive(struct vcpu *v, const struct arrival *a)
{
    struct lapic *l = v->lapic;
    switch (a->mode) {
    case MODE_FIXED: case MODE_LOWEST:
        if (a->token) follow_raised(v, a->token, CS_C_IRQ_DELIVERY, a->at);
        accept_vector(l, a->vector, a->level, a->token);
        break;
    case MODE_NMI: l->nmi = true; break;
    case MODE_INIT: vcpu_reset(v); lapic_reset(v); break;
    case MODE_SIPI: if (!v->started) vcpu_start_sipi(v, a->vector); break;
    default: break;
    }
}

void lapic_advance(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    int n = 0;
    if (v->clock >= l->timer_next) {
        if (!(l->lvt[LVT_TIMER] & LVT_MASKED)) accept_vector(l, l->lvt[LVT_TIMER] & 0xff, false, 0);
        timer_schedule(v);
    }
    while (n < l->narrivals && l->arrivals[n].at <= v->clock) n++;
    if (!n) return;
    struct arrival now[16];
    for (int done = 0; done < n;) {                   /* an INIT among them empties nothing: later ones still come */
        int part = n - done < 16 ? n - done : 16;
        memcpy(now, &l->arrivals[done], (size_t)part * sizeof *now);
        for (int i = 0; i < part; i++) arrive(v, &now[i]);
        done += part;
    }
    l->narrivals -= n;
    memmove(l->arrivals, &l->arrivals[n], (size_t)l->narrivals * sizeof *l->arrivals);
}

uint64_t lapic_next(const struct vcpu *v)
{
    const struct lapic *l = v->lapic;
    uint64_t next = l->lvt[LVT_TIMER] & LVT_MASKED || !v->started ? NEVER : l->timer_next;
    if (l->narrivals && l->arrivals[0].at < next) next = l->arrivals[0].at;
    return next;
}

/* Something comes to v at a time of its own clock, after the delay of that row (-1: none). Whoever runs now must not run far beyond it. */
static int send(struct vcpu *v, int row, uint64_t at, uint32_t mode, uint32_t vector, bool level, uint64_t token)
{
    struct lapic *l = v->lapic;
    cs_world *w = v->machine->world;
    if (v->machine->off) return 0;
    if (l->narrivals == MAX_ARRIVALS) return world_fail(w, "%d interrupts are on their way to vCPU %d, and it takes none.", MAX_ARRIVALS, v->index);
    if (l->narrivals == l->room) {
        int room = l->room ? 2 * l->room : 16;
        struct arrival *more = realloc(l->arrivals, (size_t)room * sizeof *more);
        if (!more) return world_fail(w, "There is no memory for an interrupt.");
        l->arrivals = more;
        l->room = room;
    }
    int i = l->narrivals++;
    for (; i > 0 && l->arrivals[i - 1].at > at; i--) l->arrivals[i] = l->arrivals[i - 1];
    if (row >= 0) event_count(v, row);
    l->arrivals[i] = (struct arrival){ at, token, (uint8_t)mode, (uint8_t)vector, level };
    if (v == w->running) {
        if (at < v->slice_limit) v->slice_limit = at;
        vcpu_attention(v);
    } else {
        int64_t ps = vcpu_ps(v, at > v->clock ? at : v->clock);
        if (!v->started || v->halted) { if (ps < v->next_ps) v->next_ps = ps; }
        slice_pull(w, ps);
    }
    return 0;
}

/* ---- destinations ---- */

static bool matches(const struct vcpu *v, uint32_t dest, bool logical)
{
    const struct lapic *l = v->lapic;
    if (dest == 0xff) return true;
    if (!logical) return dest == v->apic_id;
    uint32_t id = l->ldr >> 24;
    if (l->dfr >> 28 == 0xf) return id & dest;
    return id >> 4 == dest >> 4 && (id & dest & 0xf);
}

static int send_all(struct machine *m, int row, uint32_t dest, bool logical, uint32_t mode, uint32_t vector, bool level, int64_t ps, uint64_t token)
{
    struct vcpu *chosen = NULL;
    int r = 0;
    for (int i = 0; i < m->ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        if (!matches(v, dest, logical)) continue;
        if (mode != MODE_LOWEST) r |= send(v, row, vcpu_cycles_at(v, ps), mode, vector, level, token);
        else if (!chosen || priority(v->lapic) < priority(chosen->lapic)) chosen = v;
    }
    if (chosen) r = send(chosen, row, vcpu_cycles_at(chosen, ps), mode, vector, level, token);
    return r ? -1 : 0;
}

/* from the chip set to the LAPIC */
static int64_t delivery_ps(const struct machine *m)
{
    return m->level == CS_FUNCTIONAL ? 0 : vcpu_ps(m->vcpu[0], (uint64_t)uarch_row(m->uarch, UA_interrupt_delivery));
}

int cs_lapic_post(cs_world *w, int machine, uint32_t dest, uint32_t logical, uint32_t mode, uint32_t vector, uint32_t level, int64_t time_ps, uint64_t token)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    if (mode != MODE_FIXED && mode != MODE_LOWEST && mode != MODE_NMI) return world_fail(w, "Interrupt delivery mode %u is not modelled.", mode);
    if (vector > 255) return world_fail(w, "There is no vector %u.", vector);
    return send_all(m, UA_interrupt_delivery, dest & 0xff, logical, mode, vector, level, time_ps + delivery_ps(m), token);
}

int cs_msi(cs_world *w, int machine, uint64_t address, uint32_t data, int64_t time_ps, uint64_t token)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    uint32_t mode = data >> 8 & 7;
    if ((address & ~0xfffffull) != LAPIC_BASE) return 0;                           /* a message to nobody, as on a PC */
    if (mode != MODE_FIXED && mode != MODE_LOWEST && mode != MODE_NMI) return 0;
    return send_all(m, UA_interrupt_delivery, address >> 12 & 0xff, address & 4, mode, data & 0xff, false, time_ps + delivery_ps(m), token);
}

static void icr_write(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    struct machine *m = v->machine;
    uint32_t icr = l->icr_low, mode = icr >> 8 & 7, vector = icr & 0xff, shorthand = icr >> 18 & 3, dest = l->icr_high >> 24;
    bool level = icr & 1 << 15, assert = icr & 1 << 14;
    v->counters[CS_N_IPI]++;
    if ((mode == MODE_FIXED || mode == MODE_LOWEST) && vector < 16) { l->esr |= ESR_SEND_ILLEGAL; return; }
    if (mode == MODE_INIT && level && !assert) return;                             /* INIT level de-assert: nothing on this family */
    if (mode == MODE_SMI || mode == MODE_EXTINT) return;
    uint64_t wait = v->timed ? (uint64_t)uarch_row(m->uarch, UA_ipi_delivery) : IPI_FUNCTIONAL_CYCLES;
    int64_t then = vcpu_ps(v, v->clock + wait);
    int r = 0;
    if (shorthand == 0) r = send_all(m, UA_ipi_delivery, dest, icr & 1 << 11, mode, vector, false, then, 0);
    if (shorthand == 1) r = send(v, -1, v->clock, mode, vector, false, 0);
    for (int i = 0; shorthand >= 2 && i < m->ncpus; i++)
        if (shorthand == 2 || m->vcpu[i] != v) r |= send(m->vcpu[i], UA_ipi_delivery, vcpu_cycles_at(m->vcpu[i], then), mode, vector, false, 0);
    if (r) world_stop(m->world, CS_FAULT, v, 0);
}

/* ---- delivery ---- */

enum lapic_pending lapic_pending(const struct vcpu *v)
{
    const struct lapic *l = v->lapic;
    if (!v->started) return LAPIC_NOTHING;
    if (l->nmi && !(env_of(v)->hflags2 & HF2_NMI)) return LAPIC_NMI;
    int vector = highest(l->irr);
    return vector >= 0 && ((uint32_t)vector & 0xf0) > (priority(l) & 0xf0) ? LAPIC_VECTOR : LAPIC_NOTHING;
}

int lapic_take(struct vcpu *v, uint64_t *token)
{
    struct lapic *l = v->lapic;
    int vector = highest(l->irr);
    clear_bit(l->irr, (uint32_t)vector);
    set_bit(l->isr, (uint32_t)vector);
    *token = l->token[vector];
    l->token[vector] = 0;
    return vector;
}

void lapic_take_nmi(struct vcpu *v) { v->lapic->nmi = false; }

static void eoi(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    cs_world *w = v->machine->world;
    int vector = highest(l->isr);
    if (vector < 0) return;
    clear_bit(l->isr, (uint32_t)vector);
    if (bit(l->tmr, (uint32_t)vector) && w->cb.eoi && w->cb.eoi(v->machine->index, v->index, (uint32_t)vector, vcpu_ps(v, v->clock)))
        world_stop(w, CS_CALLBACK, v, 0);
}

/* ---- registers ---- */

static int lvt_at(uint32_t offset) { return offset >= 0x320 && offset <= 0x370 ? (int)(offset - 0x320) >> 4 : -1; }

uint32_t lapic_read(struct vcpu *v, uint32_t offset)
{
    const struct lapic *l = v->lapic;
    if (offset & 0xf) return 0;
    if (offset >= 0x100 && offset < 0x180) return l->isr[(offset - 0x100) >> 4];
    if (offset >= 0x180 && offset < 0x200) return l->tmr[(offset - 0x180) >> 4];
    if (offset >= 0x200 && offset < 0x280) { lapic_advance(v); return l->irr[(offset - 0x200) >> 4]; }
    if (lvt_at(offset) >= 0) return l->lvt[lvt_at(offset)];
    switch (offset) {
    case 0x20: return v->apic_id << 24;
    case 0x30: return VERSION;
    case 0x80: return l->tpr;
    case 0xa0: return priority(l);
    case 0xd0: return l->ldr;
    case 0xe0: return l->dfr;
    case 0xf0: return l->svr;
    case 0x280: return l->esr_latched;
    case 0x300: return l->icr_low;
    case 0x310: return l->icr_high;
    case 0x380: return l->initial;
    case 0x390: return timer_count(v);
    case 0x3e0: return l->divide;
    default: return 0;
    }
}

void lapic_write(struct vcpu *v, uint32_t offset, uint32_t value)
{
    struct lapic *l = v->lapic;
    int lvt = lvt_at(offset);
    if (offset & 0xf) return;
    if (lvt >= 0) {
        static const uint32_t writable[LVTS] = { 0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff };
        l->lvt[lvt] = value & writable[lvt];
        if (!(l->svr & SVR_ENABLED)) l->lvt[lvt] |= LVT_MASKED;
        if (lvt == LVT_TIMER) timer_schedule(v);
    } else switch (offset) {
        case 0x80: l->tpr = value & 0xff; break;
        case 0xb0: eoi(v); break;
        case 0xd0: l->ldr = value & 0xff000000; break;
        case 0xe0: l->dfr = value | 0x0fffffff; break;
        case 0xf0:
            l->svr = value & 0x1ff;
            for (int i = 0; i < LVTS && !(l->svr & SVR_ENABLED); i++) l->lvt[i] |= LVT_MASKED;
            break;
        case 0x280: l->esr_latched = l->esr; l->esr = 0; break;
        case 0x300: l->icr_low = value & 0xccfff; icr_write(v); break;
        case 0x310: l->icr_high = value & 0xff000000; break;
        case 0x380: l->initial = value; l->timer_start = v->clock; timer_schedule(v); break;
        case 0x3e0: l->divide = value & 0xb; timer_schedule(v); break;
        default: break;
    }
    uint64_t next = lapic_next(v);
    if (next < v->slice_limit) v->slice_limit = next;
    vcpu_attention(v);                                /* a pending vector may have become deliverable, or a deadline nearer */
}

void lapic_reset(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    struct arrival *arrivals = l->arrivals;
    int n = l->narrivals, room = l->room;
    memset(l, 0, sizeof *l);
    l->arrivals = arrivals;
    l->narrivals = n;
    l->room = room;
    l->dfr = 0xffffffff;
    l->svr = 0xff;
    for (int i = 0; i < LVTS; i++) l->lvt[i] = LVT_MASKED;
    l->timer_next = NEVER;
}

int lapic_new(struct vcpu *v)
{
    v->lapic = calloc(1, sizeof *v->lapic);
    if (!v->lapic) return world_fail(v->machine->world, "There is no memory for a local APIC.");
    lapic_reset(v);
    return 0;
}

void lapic_state(struct state *s, struct vcpu *v)
{
    struct lapic *l = v->lapic;
    state_begin(s, "LAPC");
    STATE(s, l->tpr); STATE(s, l->ldr); STATE(s, l->dfr); STATE(s, l->svr); STATE(s, l->esr); STATE(s, l->esr_latched); STATE(s, l->icr_low); STATE(s, l->icr_high);
    STATE(s, l->lvt); STATE(s, l->initial); STATE(s, l->divide); STATE(s, l->isr); STATE(s, l->tmr); STATE(s, l->irr); STATE(s, l->token); state_bool(s, &l->nmi);
    STATE(s, l->timer_start); STATE(s, l->timer_next);
    state_is(s, l->timer_start <= v->clock && (l->timer_next == NEVER || l->timer_next < CLOCK_LIMIT), "the time of a local APIC's timer");
    int n = (int)state_count(s, (uint64_t)l->narrivals, MAX_ARRIVALS, 19, "the number of interrupts on their way");
    if (s->loading) {
        l->arrivals = calloc((size_t)n + 1, sizeof *l->arrivals);
        l->room = l->arrivals ? n : 0;
        if (!l->arrivals) { s->bad = true; world_fail(s->world, "There is no memory for interrupts."); return; }
    }
    for (int i = 0; i < n && !s->bad; i++) {
        struct arrival *a = &l->arrivals[i];
        STATE(s, a->at); STATE(s, a->token); STATE(s, a->mode); STATE(s, a->vector); STATE(s, a->level);
        state_is(s, a->at < CLOCK_LIMIT && (!i || a->at >= a[-1].at) && a->mode <= MODE_SIPI && a->level <= 1, "an interrupt on its way");
    }
    if (s->loading) l->narrivals = s->bad ? 0 : n;
}

void lapic_free(struct vcpu *v)
{
    if (v->lapic) free(v->lapic->arrivals);
    free(v->lapic);
    v->lapic = NULL;
}
