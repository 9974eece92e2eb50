/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups of cells, one for each translation: a cell for each vCPU of the machine, side by side. */
#include "machine.h"
#include <stdlib.h>
#include <string.h>

enum { GROUPS = 1024 };

struct cells { struct cells *next; int used; struct cell cell[] __attribute__((aligned(64))); };

struct cell *cells_group(struct machine *m)
{
    struct engine *e = &m->engine;
    struct cells *c = e->cells;
    if (!c || c->used == GROUPS) {
        size_t bytes = sizeof *c + (size_t)(GROUPS * e->width) * sizeof *c->cell;
        c = aligned_alloc(64, bytes);
        if (!c) return NULL;
        memset(c, 0, bytes);
        c->next = e->cells;
        e->cells = c;
    }
    return &c->cell[c->used++ * e->width];
}

void cells_each(struct vcpu *v, void (*what)(struct vcpu *, struct cell *))
{
    for (struct cells *c = v->machine->engine.cells; c; c = c->next)
        for (int i = 0; i < c->used; i++) what(v, &c->cell[i * v->machine->engine.width + v->index]);
}

void cells_free(struct machine *m)
{
    for (struct cells *c = m->engine.cells, *next; c; c = next) { next = c->next; free(c); }
    m->engine.cells = NULL;
    m->engine.fresh = NULL;
}
