/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Micro-ops of a block, once a processor table: vCPUs run the same code, and so do machines. */
#include "uop.h"
#include "state.h"
#include <stdlib.h>
#include <string.h>

enum { SHARED_BITS = 12, LINE_BYTES = 64 };
struct shared { struct shared *next; struct uops *uops; uint64_t hash; uint32_t size, mode, offset; uint8_t code[]; };
struct uop_table { struct shared *slot[1 << SHARED_BITS]; };

/* All of a block's micro-ops side by side: they are out of the host's nearer caches more often than not, and so it can fetch them ahead (detail_expect). */
static struct uops *packed(struct uops *loose)
{
    size_t head = (sizeof *loose + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1), uops = (loose->n + 1) * sizeof *loose->at, insns = loose->ninsn * sizeof *loose->insn;
    size_t all = (head + uops + insns + loose->nwindows + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
    struct uops *u = aligned_alloc(LINE_BYTES, all);
    if (u) {
        char *at = (char *)u + head;
        *u = *loose;
        u->at = memcpy(at, loose->at, uops);
        u->insn = memcpy(at + uops, loose->insn, insns);
        u->window = memcpy(at + uops + insns, loose->window, loose->nwindows);
    }
    uops_free(loose);
    return u;
}

const struct uops *uop_table_find(struct machine *m, const uint8_t *code, uint32_t size, uint32_t flags, uint64_t va, uint64_t hash)
{
    uint32_t mode = flags & (BLK_CODE16 | BLK_CODE32), offset = (uint32_t)va & 31;
    struct uops loose;
    struct uarch *t = m->uarch;
    if (!t->uops && !(t->uops = calloc(1, sizeof *t->uops))) { world_fail(m->world, "There is no memory for micro-ops."); return NULL; }
    struct shared **at = &t->uops->slot[(hash ^ hash >> 20 ^ offset) & ((1 << SHARED_BITS) - 1)];
    for (struct shared *s = *at; s; s = s->next)
        if (s->hash == hash && s->size == size && s->mode == mode && s->offset == offset && !memcmp(s->code, code, size)) return s->uops;
    if (decode_uops(m, code, size, mode, va, &loose, NULL)) return NULL;
    struct shared *s = malloc(sizeof *s + size);
    struct uops *u = packed(&loose);
    if (!s || !u) { free(s); free(u); world_fail(m->world, "There is no memory for micro-ops."); return NULL; }
    *s = (struct shared){ *at, u, hash, size, mode, offset };
    memcpy(s->code, code, size);
    *at = s;
    return u;
}

void uop_table_free(struct uop_table *t)
{
    for (int i = 0; t && i < 1 << SHARED_BITS; i++)
        for (struct shared *s = t->slot[i], *next; s; s = next) { next = s->next; free(s->uops); free(s); }
    free(t);
}
