/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines that come before they are asked for, as Intel's optimisation manual describes its prefetchers, but for the one that goes by instruction
 * addresses. A prefetched line has an arrival time: who asks for it earlier waits until then. No more are under way than row `prefetches`.
 */
#include "cache.h"

enum { PAGE_LINES = 64, TRAINED = 2, EACH_TIME = 2 };

/* The L2's streamer: two steps in one direction within a page, and it runs ahead, up to two lines at a time, `stream_ahead` at most. */
void prefetch_train(struct vcpu *v, uint32_t key, uint64_t now) {
    struct caches *c = v->caches;
    uint32_t page = (key - 1) / PAGE_LINES + 1, line = (key - 1) % PAGE_LINES;
    struct stream *s = &c->stream[page % (uint32_t)c->streams];
    if (s->page != page) { *s = (struct stream){ page, (uint8_t)line, (uint8_t)line, 0, 0 }; return; }
    if (line == s->line) return;
    int way = line > s->line ? 1 : -1;
    s->line = (uint8_t)line;
    if (way != s->way) { s->way = (int8_t)way; s->run = 1; s->ahead = (uint8_t)line; return; }
    if (s->run < TRAINED) s->run++;
    if (s->run < TRAINED) return;
    for (int i = 0; i < EACH_TIME; i++) {
        int from = way > 0 ? (s->ahead > line ? s->ahead : (int)line) : (s->ahead < line ? s->ahead : (int)line), next = from + way;
        if (next < 0 || next >= PAGE_LINES || (next - (int)line) * way > c->stream_ahead) return;
        if (!line_prefetch(v, (page - 1) * PAGE_LINES + (uint32_t)next + 1, now)) return;
        s->ahead = (uint8_t)next;
    }
}

void prefetch_pair(struct vcpu *v, uint32_t key, uint64_t now) { line_prefetch(v, ((key - 1) ^ 1) + 1, now); }

/* The L1D's: a load goes on to the line behind the last one brought in, so the next will be wanted. */
void prefetch_next(struct vcpu *v, uint32_t key, uint64_t now) {
    struct caches *c = v->caches;
    bool ascending = c->missed + 1 == key;
    c->missed = key;
    if (ascending && key % PAGE_LINES) line_ahead(v, key + 1, now);
}
