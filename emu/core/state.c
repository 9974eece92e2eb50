/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader and writer of snapshots: see state.h. */
#include "state.h"
#include <stdlib.h>
#include <string.h>

void state_bytes(struct state *s, void *at, size_t n)
{
    if (s->loading) {
        if (!s->bad && (size_t)(s->end - s->from) < n) { s->bad = true; world_fail(s->world, "it ends too early"); }
        if (s->bad) { memset(at, 0, n); return; }
        memcpy(at, s->from, n);
        s->from += n;
        return;
    }
    if (s->room - s->n < n && !s->bad) {
        size_t room = 2 * s->room + n + (1 << 16);
        uint8_t *to = realloc(s->to, room);
        if (to) { s->to = to; s->room = room; }
        else { s->bad = true; world_fail(s->world, "There is no memory for a snapshot."); }
    }
    if (s->bad) return;
    memcpy(s->to + s->n, at, n);
    s->n += n;
}

bool state_is(struct state *s, bool ok, const char *what)
{
    if (s->loading && !ok && !s->bad) { s->bad = true; world_fail(s->world, "%s cannot be", what); }
    return !s->bad;
}

void state_bool(struct state *s, bool *b)
{
    uint8_t byte = *b;
    STATE(s, byte);
    state_is(s, byte <= 1, "a flag that is neither 0 nor 1");
    if (s->loading) *b = byte == 1;
}

uint64_t state_count(struct state *s, uint64_t n, uint64_t most, size_t each, const char *what)
{
    STATE(s, n);
    if (!state_is(s, n <= most && (!each || n <= (size_t)(s->end - s->from) / each), what)) return 0;
    return n;
}

void state_begin(struct state *s, const char mark[4])
{
    char is[4];
    memcpy(is, mark, sizeof is);
    STATE(s, is);
    state_is(s, !memcmp(is, mark, sizeof is), "a part that is not where it belongs");
}

bool state_below(struct state *s, const uint64_t *x, size_t n, uint64_t limit, const char *what)
{
    for (size_t i = 0; s->loading && i < n; i++) if (x[i] >= limit) return state_is(s, false, what);
    return !s->bad;
}
