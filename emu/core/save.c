/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saving and restoring a World: see state.h. Saving changes nothing of the run. Restoring needs a World made alike, whose vCPUs have not run; when it
 * refuses, that World is of no use any more. */
#include "machine.h"
#include "state.h"
#include <stdlib.h>
#include <string.h>

static void machine_state(struct state *s, struct machine *m)
{
    int32_t level = m->level, ncpus = m->ncpus;
    uint64_t shape[3] = { m->hz, m->ram_bytes, m->cycle_limit };
    const uint64_t mine[3] = { m->hz, m->ram_bytes, m->cycle_limit };
    state_begin(s, "MACH");
    STATE(s, shape); STATE(s, ncpus); STATE(s, level); state_bool(s, &m->off);
    state_is(s, !memcmp(shape, mine, sizeof mine) && ncpus == m->ncpus, "another machine's shape");
    if (s->loading && !s->bad && cs_set_level(s->world, m->index, level)) s->bad = true;
    memory_state(s, m);
    serial_state(s, m);
    probes_state(s, m);
    for (int i = 0; i < m->ncpus && !s->bad; i++) {
        vcpu_state(s, m->vcpu[i]);
        lapic_state(s, m->vcpu[i]);
        blocks_state(s, m->vcpu[i]);
        detail_state(s, m->vcpu[i]);
    }
    if (!s->bad) caches_state(s, m);
}

static void world_state(struct state *s)
{
    cs_world *w = s->world;
    int32_t machines = w->nmachines;
    uint32_t quantum[2] = { w->quantum[0], w->quantum[1] };
    state_begin(s, "WRLD");
    STATE(s, machines); STATE(s, quantum);
    state_is(s, machines == w->nmachines && !memcmp(quantum, w->quantum, sizeof quantum), "a World of another shape");
    for (int i = 0; i < w->nmachines && !s->bad; i++) machine_state(s, w->machine[i]);
    if (!s->bad) requests_state(s);
}

int cs_state_save(cs_world *w, uint8_t **data, uint64_t *n)
{
    struct state s = { .world = w };
    w->error[0] = 0;
    *data = NULL;
    if (w->running) return world_fail(w, "A snapshot is taken between runs only.");
    for (int i = 0; i < w->nall; i++)
        if (w->all[i]->cur) return world_fail(w, "vCPU %d stopped within a block, where no snapshot can be taken: run on first.", w->all[i]->index);
    world_state(&s);
    if (s.bad) { free(s.to); return -1; }
    *data = s.to;
    *n = s.n;
    return 0;
}

void cs_state_free(uint8_t *data) { free(data); }

int cs_state_restore(cs_world *w, const uint8_t *data, uint64_t n)
{
    struct state s = { .world = w, .loading = true, .from = data, .end = data + n };
    w->error[0] = 0;
    for (int i = 0; i < w->nall; i++)
        if (w->all[i]->clock || w->all[i]->table) return world_fail(w, "this World has run already");
    world_state(&s);
    state_is(&s, s.from == s.end, "what comes behind its end");
    return s.bad ? -1 : 0;
}

/* RAM: which bytes of it, from `offset` on, the guest or a device ever touched; the rest is zero. */
int cs_ram_used(cs_world *w, int machine, uint64_t offset, uint64_t *start, uint64_t *end)
{
    struct machine *m = world_machine(w, machine);
    return m ? memory_used(m, offset, start, end) : -1;
}
