/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who runs next, and for how long. All vCPUs of all machines are in one race: the one furthest behind runs until it is a quantum ahead of
 * the next one, or the horizon, or something of its own is due. A halted vCPU stands at the time of its next arrival. Ties go
 * to the lower machine and vCPU, so the order is a function of the inputs alone.
 *
 * A vCPU that runs ahead and modifies a line holds back all who use it up to its own time (cache.c), though they came first. So
 * a vCPU that exchanges lines with others runs ahead less, and the quantum of timed levels is a matter of speed alone.
 */
#include "machine.h"
#include "uarch.h"

enum { SHARING_QUANTUM = 100, SHARING_CYCLES = 20000 };

static int64_t ps_add(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

static bool can_wake(const struct vcpu *v)
{
    enum lapic_pending pending = lapic_pending(v);
    return pending == LAPIC_NMI || (pending == LAPIC_VECTOR && vcpu_takes_interrupts(v));
}

static void update_next(struct vcpu *v)
{
    if (v->machine->off) { v->next_ps = INT64_MAX; return; }
    if (v->started && (!v->halted || can_wake(v))) { v->next_ps = vcpu_ps(v, v->clock); return; }
    uint64_t next = lapic_next(v);
    v->next_ps = next == NEVER ? INT64_MAX : vcpu_ps(v, next > v->clock ? next : v->clock);
}

static bool shares(struct vcpu *v)
{
    uint64_t lines = v->counters[CS_N_TRANSFERS] + v->counters[CS_N_UPGRADES];
    if (lines != v->shared_lines) { v->shared_lines = lines; v->shared_clock = v->clock; }
    return lines && v->clock - v->shared_clock < SHARING_CYCLES;
}

static int64_t quantum_ps(struct vcpu *v)
{
    uint32_t cycles = v->machine->world->quantum[v->timed ? 1 : 0];
    if (v->timed && cycles > SHARING_QUANTUM && shares(v)) cycles = SHARING_QUANTUM;
    return vcpu_ps(v, cycles);
}

static void limit(struct vcpu *v, uint64_t clock)
{
    if (clock < v->slice_limit) v->slice_limit = clock;
    if (clock < v->slice_end) v->slice_end = clock;
}

void slice_pull(cs_world *w, int64_t ps)
{
    struct vcpu *v = w->running;
    if (v) limit(v, vcpu_cycles_at(v, ps_add(ps, quantum_ps(v))));
}

void cs_pull_horizon(cs_world *w, int64_t ps)
{
    if (ps < w->horizon_ps) w->horizon_ps = ps;
    if (w->running) limit(w->running, vcpu_cycles_at(w->running, ps));
}

static void take_interrupt(struct vcpu *v)
{
    enum lapic_pending pending = lapic_pending(v);
    uint64_t token = 0;
    if (pending == LAPIC_NOTHING || (pending == LAPIC_VECTOR && !vcpu_takes_interrupts(v))) return;
    bool wakes = v->halted && v->timed;
    if (wakes) event_count(v, UA_hlt_exit);
    if (wakes) vcpu_idle_to(v, v->clock + vcpu_wake_cycles(v));
    v->halted = false;
    if (pending == LAPIC_NMI) {
        lapic_take_nmi(v);
        vcpu_deliver(v, 2, true, 0);
    } else {
        int vector = lapic_take(v, &token);
        if (wakes && token) follow_raised(v, token, CS_MAX_COMPONENTS + CS_W_IDLE_EXIT, v->clock);
        vcpu_deliver(v, vector, false, token);
    }
}

static bool over_limit(const struct vcpu *v) { return v->machine->cycle_limit && v->clock >= v->machine->cycle_limit; }

static void run_slice(cs_world *w, struct vcpu *v, int64_t until_ps)
{
    w->running = v;
    vcpu_enter(v);
    v->counters[CS_N_SLICES]++;
    if (v->halted || !v->started) vcpu_idle_to(v, vcpu_cycles_at(v, v->next_ps));
    v->slice_limit = vcpu_cycles_at(v, until_ps);
    if (v->slice_limit - v->clock > SLICE_MAX_CYCLES && v->slice_limit > v->clock) v->slice_limit = v->clock + SLICE_MAX_CYCLES;   /* cs_interrupt is looked at */
    if (v->machine->cycle_limit && v->machine->cycle_limit < v->slice_limit) v->slice_limit = v->machine->cycle_limit;
    do {
        lapic_advance(v);
        take_interrupt(v);
        if (w->stopping || v->halted || !v->started) break;
        if (memory_stale(v->machine)) memory_refresh(v->machine);
        limit(v, lapic_next(v));
        v->slice_end = lapic_pending(v) == LAPIC_NOTHING ? v->slice_limit : 0;
        vcpu_execute(v);
    } while (!w->stopping && !v->halted && v->clock < v->slice_limit);
    if (!w->stopping && over_limit(v)) world_stop(w, CS_CYCLE_LIMIT, v, v->clock);
    update_next(v);
    w->running = NULL;
}

/* Everybody who idles has idled up to here. */
static void settle(cs_world *w, int64_t ps)
{
    for (int i = 0; i < w->nall; i++) {
        struct vcpu *v = w->all[i];
        if (v->halted || !v->started) {
            vcpu_idle_to(v, vcpu_cycles_at(v, ps));
            if (!w->stopping && over_limit(v)) world_stop(w, CS_CYCLE_LIMIT, v, v->clock);
        }
    }
}

static void finish(cs_world *w, cs_stop_info *info)
{
    for (int i = 0; i < w->nmachines; i++) {
        struct machine *m = w->machine[i];
        serial_flush(m, vcpu_ps(m->vcpu[0], m->vcpu[0]->clock));
    }
    if (info) *info = w->stop;
}

int cs_run(cs_world *w, int64_t until_ps, cs_stop_info *info)
{
    w->stopping = false;
    w->error[0] = 0;
    w->stop = (cs_stop_info){ .stop = CS_HORIZON, .time_ps = until_ps };
    w->horizon_ps = until_ps;
    for (int i = 0; i < w->nall; i++) update_next(w->all[i]);
    while (!w->stopping) {
        struct vcpu *first = NULL;
        int64_t second_ps = INT64_MAX;
        for (int i = 0; i < w->nall; i++) {
            struct vcpu *v = w->all[i];
            if (!first || v->next_ps < first->next_ps) {
                if (first && first->next_ps < second_ps) second_ps = first->next_ps;
                first = v;
            } else if (v->next_ps < second_ps) {
                second_ps = v->next_ps;
            }
        }
        if (w->interrupted) {
            w->interrupted = 0;
            world_stop(w, CS_INTERRUPTED, first, 0);
            break;
        }
        if (!first || first->next_ps >= w->horizon_ps) {
            if (!first || (first->next_ps == INT64_MAX && w->horizon_ps == INT64_MAX)) { world_stop(w, CS_NO_PROGRESS, first, 0); break; }
            settle(w, w->horizon_ps);
            w->stop.time_ps = w->horizon_ps;
            break;
        }
        int64_t until = ps_add(second_ps, quantum_ps(first));
        run_slice(w, first, until < w->horizon_ps ? until : w->horizon_ps);
    }
    finish(w, info);
    return 0;
}
