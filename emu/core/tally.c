/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each request's functions: what ran while it was current, by symbol. A hash table that grows to a bound; what finds no room then is not begun, and
 * the lowest such token is told: requests from there on are not whole. */
#include "profile.h"
#include "machine.h"
#include <stdlib.h>

enum { FIRST_BITS = 14, MOST_BITS = 22 };

static cs_request_cost *slot_of(const struct tally *t, uint64_t token, uint32_t symbol)
{
    uint32_t mask = (1u << t->bits) - 1, i = (uint32_t)follow_mix(token * 0x9e3779b97f4a7c15ull ^ symbol) & mask;
    while (t->row[i].token && (t->row[i].token != token || t->row[i].symbol != symbol)) i = (i + 1) & mask;
    return &t->row[i];
}

static bool grow(struct tally *t)
{
    struct tally wider = *t;
    if (t->row && t->bits == MOST_BITS) return false;
    wider.bits = t->row ? t->bits + 1 : FIRST_BITS;
    if (!(wider.row = calloc((size_t)1 << wider.bits, sizeof *wider.row))) return false;
    for (uint32_t i = 0; t->row && i < 1u << t->bits; i++)
        if (t->row[i].token) *slot_of(&wider, t->row[i].token, t->row[i].symbol) = t->row[i];
    free(t->row);
    *t = wider;
    return true;
}

void tally_free(struct tally *t)
{
    free(t->row);
    *t = (struct tally){ .first_lost = UINT64_MAX };
}

void tally_add(struct tally *t, uint64_t token, uint32_t symbol, uint64_t cycles16, uint64_t instructions)
{
    cs_request_cost *row = slot_of(t, token, symbol);
    if (UNLIKELY(!row->token)) {
        if (t->n >= 1u << (t->bits - 1)) {
            if (!grow(t)) { if (token < t->first_lost) t->first_lost = token; return; }
            row = slot_of(t, token, symbol);
        }
        t->n++;
        row->token = token;
        row->symbol = symbol;
    }
    row->cycles16 += cycles16;
    row->instructions += (uint32_t)instructions;
}

int cs_profile_requests(cs_world *w, int machine)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    if (!m->profile) return world_fail(w, "Machine %d has no profile.", machine);
    profile_settle(m);
    tally_free(&m->profile->tally);
    return grow(&m->profile->tally) ? 0 : world_fail(w, "There is no memory for requests' functions.");
}

int cs_profile_requests_read(cs_world *w, int machine, cs_request_cost *out, uint32_t max, uint64_t *first_lost)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    if (!m->profile || !m->profile->tally.row) return world_fail(w, "Machine %d does not tell requests' functions apart.", machine);
    profile_settle(m);
    const struct tally *t = &m->profile->tally;
    uint32_t n = 0;
    for (uint32_t i = 0; i < 1u << t->bits; i++)
        if (t->row[i].token && n++ < max) out[n - 1] = t->row[i];
    *first_lost = t->first_lost;
    return (int)n;
}
