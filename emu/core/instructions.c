/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Unicorn leaves undone: exceptions through the IDT, SYSCALL, clock reads, CPUID, port I/O. */
#include "detail.h"
#include "hooks.h"
#include "profile.h"
#include "uarch.h"

enum { PENDING_UD = 6 };
#define RFLAGS_SYSCALL_CLEAR (1u << 16)

/* ---- exceptions: the hook runs exactly where the IDT should take over ---- */

enum { EXCEPTIONS_MOST = 1 << 12 };

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

/* A handler whose first instruction faults, on a stack of its own, takes exceptions for ever, and no time passes in which somebody could mend it. */
static void exception_after_none(struct vcpu *v, int vector, uint64_t rip)
{
    bool moved = v->clock != v->excepted_at || v->frac16 != v->excepted_frac16;
    v->excepted = moved ? 0 : v->excepted + 1;
    v->excepted_at = v->clock;
    v->excepted_frac16 = v->frac16;
    if (LIKELY(v->excepted < EXCEPTIONS_MOST)) return;
    world_fail(world(v), "vCPU %d takes exception %d at %#llx again and again, and no instruction of its handlers executes.", v->index, vector & 0xff, (unsigned long long)rip);
    world_stop(world(v), CS_NOT_MODELLED, v, 0);
    stop_here(v);
}

static void deliver_exception(struct vcpu *v, int vector)
{
    uint64_t rip = env_rip(v);
    v->asked = NEVER;                                 /* the access that faults does not return */
    rewind_software_interrupt(v, rip);
    if (v->timed) cache_diverted(v, !v->cur || rip - v->cur->va >= v->cur->size, rip);
    profile_event(v, EVENT_EXCEPTION, !v->cur || rip - v->cur->va >= v->cur->size);
    block_close_before(v, rip);
    exception_after_none(v, vector, rip);
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

void on_exception(uc_engine *uc, uint32_t number, void *data) { (void)uc; (void)data; deliver_exception(executing, (int)number); }
bool on_invalid(uc_engine *uc, void *data) { (void)uc; (void)data; deliver_exception(executing, PENDING_UD); return true; }

/* ---- SYSCALL: Unicorn only adds 2 to RIP ---- */

static void flat_segment(struct env *e, int i, uint32_t selector, uint32_t flags) { e->segs[i] = (struct segment){ selector, 0, 0xffffffff, flags }; }

void on_syscall(uc_engine *uc, void *data)
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

void on_sysenter(uc_engine *uc, void *data)
{
    struct vcpu *v = executing;
    const struct block *b = v->cur;
    uint64_t rip = b && b->marks && b->ninsn ? b->va + b->marks[b->ninsn - 1].offset : env_rip(v);   /* it ends its block; RIP is stale here */
    (void)uc; (void)data;
    world_fail(world(v), "SYSENTER at %#llx is not modelled (CPUID does not offer it).", (unsigned long long)rip);
    world_stop(world(v), CS_NOT_MODELLED, v, 0);
}

/* ---- clocks and identity ---- */

int on_rdtsc(uc_engine *uc, void *data)
{
    struct vcpu *v = executing;
    struct env *e = v->env;
    (void)uc; (void)data;
    block_close_at(v, env_rip(v));
    e->regs[GPR_RAX] = (uint32_t)v->clock;
    e->regs[GPR_RDX] = v->clock >> 32;
    return 1;
}

int on_rdtscp(uc_engine *uc, void *data)
{
    struct vcpu *v = executing;
    on_rdtsc(uc, data);
    env_of(v)->regs[GPR_RCX] = (uint32_t)env_u64(v, layout.tsc_aux);
    return 1;
}

int on_cpuid(uc_engine *uc, void *data)
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

uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *data)
{
    struct vcpu *v = executing;
    uint64_t value = ~0ull;
    (void)uc; (void)data;
    check_port(v, port, size);
    device_access(v, CS_N_PIO, UA_pio_read);
    bool taken = false;
    uint32_t serial = serial_port(port) ? serial_read(v->machine, port, &taken) : 0;
    if (serial_port(port) && !taken) return serial;
    if (world(v)->cb.pio_read && world(v)->cb.pio_read(v->machine->index, v->index, port, (uint32_t)size, vcpu_ps(v, v->clock), &value))
        world_stop(world(v), CS_CALLBACK, v, 0);
    return taken ? serial : (uint32_t)value;
}

void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *data)
{
    struct vcpu *v = executing;
    (void)uc; (void)data;
    check_port(v, port, size);
    device_access(v, CS_N_PIO, UA_pio_write);
    if (size < 4) value &= (1u << (8 * size)) - 1;
    if (serial_port(port) && !(port = serial_write(v->machine, v, port, value))) return;
    if (port == 0xf4) { world_stop(world(v), CS_EXIT, v, value); return; }
    if (world(v)->cb.pio_write && world(v)->cb.pio_write(v->machine->index, v->index, port, (uint32_t)size, vcpu_ps(v, v->clock), value))
        world_stop(world(v), CS_CALLBACK, v, 0);
}
