/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening the library; worlds and machines; errors, stopping, and what anybody may ask. */
#include "detail.h"
#include "machine.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUANTUM_FUNCTIONAL = 1000, QUANTUM_TIMED = 400 };
static const uint64_t min_ram = 64ull << 20, max_ram = 8ull << 30;

static char opening_error[512];
static bool is_open;

static const char *const unicorn_names[] = {
#define X(ret, name, args) #name,
    UNICORN_FUNCTIONS(X)
#undef X
    NULL };

int cs_abi_version(void) { return CS_ABI_VERSION; }

const char *cs_needed_symbol(int library, int index)
{
    const char *const *names = library == 0 ? unicorn_names : library == 1 ? decode_symbols : NULL;
    for (int i = 0; names && names[i]; i++) if (i == index) return names[i];
    return NULL;
}

int cs_open(void *const *addresses, void *const *capstone)
{
    if (is_open) return 0;
    for (int i = 0; unicorn_names[i]; i++)
        if (!addresses[i]) { snprintf(opening_error, sizeof opening_error, "libunicorn lacks %s.", unicorn_names[i]); return -1; }
    memcpy(&unicorn, addresses, sizeof unicorn);
    if (layout_prove(opening_error, sizeof opening_error)) return -1;
    if (decode_open(capstone)) { snprintf(opening_error, sizeof opening_error, "libcapstone does not open for x86-64."); return -1; }
    access_install();
    is_open = true;
    return 0;
}

const char *cs_error(cs_world *w) { return w ? w->error : opening_error; }

int world_fail(cs_world *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w ? w->error : opening_error, sizeof w->error, format, args);
    va_end(args);
    return -1;
}

void world_stop(cs_world *w, int stop, struct vcpu *v, uint64_t value)
{
    if (w->stopping) return;                          /* the first reason counts */
    w->stopping = true;
    w->stop = (cs_stop_info){ .stop = stop, .machine = v ? v->machine->index : -1, .vcpu = v ? v->index : -1, .value = value,
                              .rip = v ? env_of(v)->eip : 0, .time_ps = v ? vcpu_ps(v, v->clock) : 0 };
    if (w->running) vcpu_attention(w->running);
}

cs_world *cs_world_new(const cs_callbacks *callbacks)
{
    if (!is_open) { snprintf(opening_error, sizeof opening_error, "cs_open comes first."); return NULL; }
    cs_world *w = calloc(1, sizeof *w);
    if (!w) { snprintf(opening_error, sizeof opening_error, "There is no memory for a world."); return NULL; }
    if (callbacks) w->cb = *callbacks;
    w->quantum[CS_FUNCTIONAL] = QUANTUM_FUNCTIONAL;
    w->quantum[1] = QUANTUM_TIMED;
    return w;
}

static void machine_free(struct machine *m)
{
    if (!m) return;
    profile_free(m);
    caches_free(m);
    engine_free(m);
    uarch_free(m);
    symbols_free(m);
    probes_free(m);
    serial_free(m);
    memory_free(m);
    free(m);
}

void cs_world_free(cs_world *w)
{
    if (!w) return;
    requests_free(w);
    for (int i = 0; i < w->nmachines; i++) machine_free(w->machine[i]);
    trace_free(w);
    free(w);
}

static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

int cs_machine_add(cs_world *w, const cs_machine_config *c)
{
    w->error[0] = 0;
    if (c->ncpus < 1 || c->ncpus > CS_MAX_VCPUS) return world_fail(w, "A machine has 1 to %d vCPUs, not %u.", CS_MAX_VCPUS, c->ncpus);
    if (c->ram_bytes < min_ram || c->ram_bytes > max_ram || c->ram_bytes % (1 << 20))
        return world_fail(w, "A machine has 64 MiB to 8 GiB of RAM, in whole MiB, not %llu bytes.", (unsigned long long)c->ram_bytes);
    if (c->hz < 1000000 || c->hz > 10000000000ull) return world_fail(w, "A vCPU runs at 1 MHz to 10 GHz, not at %llu Hz.", (unsigned long long)c->hz);
    if (w->nmachines == (int)(sizeof w->machine / sizeof *w->machine)) return world_fail(w, "There are already %d machines.", w->nmachines);
    struct machine *m = calloc(1, sizeof *m);
    if (!m) return world_fail(w, "There is no memory for a machine.");
    m->world = w;
    m->index = w->nmachines;
    m->hz = c->hz;
    m->ram_bytes = c->ram_bytes;
    m->cycle_limit = c->cycle_limit;
    uint64_t g = gcd(1000000000000ull, c->hz);
    m->ps_num = 1000000000000ull / g;
    m->ps_den = c->hz / g;
    int before = w->nall, failed = memory_new(m) || serial_new(m) || engine_new(m, (int)c->ncpus);
    if (failed) {
        w->nall = before;
        machine_free(m);
        return -1;
    }
    w->machine[w->nmachines++] = m;
    return m->index;
}

struct machine *world_machine(cs_world *w, int machine)
{
    if (machine >= 0 && machine < w->nmachines) return w->machine[machine];
    world_fail(w, "There is no machine %d.", machine);
    return NULL;
}

struct vcpu *world_vcpu(cs_world *w, int machine, int vcpu)
{
    struct machine *m = world_machine(w, machine);
    if (m && vcpu >= 0 && vcpu < m->ncpus) return m->vcpu[vcpu];
    if (m) world_fail(w, "Machine %d has no vCPU %d.", machine, vcpu);
    return NULL;
}

int cs_quantum(cs_world *w, uint32_t functional, uint32_t timed)
{
    if (!functional || !timed) return world_fail(w, "A quantum is at least one cycle.");
    w->quantum[CS_FUNCTIONAL] = functional;
    w->quantum[1] = timed;
    return 0;
}

int cs_machine_off(cs_world *w, int machine)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    if (w->running) return world_fail(w, "A machine is switched off between runs only.");
    m->off = true;
    for (int i = 0; i < m->ncpus; i++) m->vcpu[i]->halted = true;   /* they idle from here on */
    return 0;
}

int cs_set_level(cs_world *w, int machine, int level)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    if (level < CS_FUNCTIONAL || level > CS_DETAILED) return world_fail(w, "There is no timing level %d.", level);
    if (w->running) return world_fail(w, "The timing level changes between runs only.");
    if (level != CS_FUNCTIONAL && !m->llc) return world_fail(w, "Machine %d has no processor table, which timing needs.", machine);
    if (engine_set_level(m, level)) return -1;
    m->level = level;
    return 0;
}

int cs_start_pvh(cs_world *w, int machine, uint32_t entry, uint32_t ebx, uint32_t eax)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    vcpu_start_pvh(m->vcpu[0], entry, ebx, eax);
    return 0;
}

void cs_interrupt(cs_world *w) { w->interrupted = 1; }

int64_t cs_now_ps(cs_world *w, int machine, int vcpu)
{
    struct vcpu *v = world_vcpu(w, machine, vcpu);
    return v ? vcpu_ps(v, v->clock) : -1;
}

uint64_t cs_cycles(cs_world *w, int machine, int vcpu)
{
    struct vcpu *v = world_vcpu(w, machine, vcpu);
    return v ? v->clock : 0;
}

int64_t cs_cycles_to_ps(cs_world *w, int machine, uint64_t cycles)
{
    struct machine *m = world_machine(w, machine);
    return m ? vcpu_ps(m->vcpu[0], cycles) : -1;
}

int cs_counters(cs_world *w, int machine, int vcpu, uint64_t out[CS_N_COUNTERS])
{
    struct vcpu *v = world_vcpu(w, machine, vcpu);
    if (!v) return -1;
    memcpy(out, v->counters, sizeof v->counters);
    return 0;
}

int cs_regs(cs_world *w, int machine, int vcpu, uint64_t out[24])
{
    struct vcpu *v = world_vcpu(w, machine, vcpu);
    if (!v) return -1;
    struct env *e = v->env;
    memcpy(out, e->regs, sizeof e->regs);
    uint64_t rest[8] = { e->eip, unicorn.helper_read_eflags_x86_64(e), e->cr[0], e->cr[2], e->cr[3], e->cr[4], (uint64_t)vcpu_cpl(v), v->halted || !v->started };
    memcpy(out + 16, rest, sizeof rest);
    return 0;
}
