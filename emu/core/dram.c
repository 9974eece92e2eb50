/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory: channels of 256-byte chunks, banks with one open row each, and a bus a channel that moves a line at a time.
 *
 * The published latency is that of a lone random load on idle memory, that is, one that finds another row open; an open row and an empty
 * bank save what need not be done. vCPUs' clocks drift apart by a quantum, so a queue kept in absolute time would make the one behind wait
 * for the one ahead: a channel's backlog is kept instead, and drains as the foremost clock advances.
 */
#include "cache.h"
#include "uarch.h"
#include <stdlib.h>

enum { CHUNK_LINES = 4 };

static struct channel *channel_of(struct dram *d, uint32_t line, uint32_t *row) {
    uint32_t chunk = line / CHUNK_LINES, channel = chunk % d->channels, within = chunk / d->channels * CHUNK_LINES + line % CHUNK_LINES;
    *row = within / d->row_lines;
    return &d->channel[channel];
}

static uint32_t backlog(struct dram *d, struct channel *c, uint64_t now) {      /* cycles until the bus is free; a line more from now on */
    if (now > c->at) {
        uint64_t drained16 = (now - c->at) * 16;
        c->backlog16 = c->backlog16 > drained16 ? c->backlog16 - drained16 : 0;
        c->at = now;
    }
    uint64_t wait = c->backlog16 / 16;
    c->backlog16 += d->line16;
    return wait < UINT32_MAX / 4 ? (uint32_t)wait : UINT32_MAX / 4;
}

uint32_t dram_read(struct machine *m, uint32_t line, uint64_t now) {
    struct dram *d = &m->llc->dram;
    uint32_t row, wait = backlog(d, channel_of(d, line, &row), now);
    /* neighbouring rows lie in different banks; the fold keeps power-of-two strides from all meeting in one */
    uint32_t bank = line / CHUNK_LINES % d->channels * d->banks + (row ^ row / d->banks ^ row / d->banks / d->banks) % d->banks;
    uint32_t latency = d->row[bank] == row + 1 ? d->hit : d->row[bank] ? d->latency : d->empty;
    d->row[bank] = row + 1;
    return wait + latency;
}

void dram_write(struct machine *m, uint32_t line, uint64_t now) {       /* buffered, and written in batches between the reads: rows stay as they are */
    uint32_t row;
    backlog(&m->llc->dram, channel_of(&m->llc->dram, line, &row), now);
}

int dram_new(struct machine *m) {
    struct dram *d = &m->llc->dram;
    const int64_t *r = m->uarch->row;
    d->channels = (uint32_t)r[UA_dram_channels]; d->banks = (uint32_t)r[UA_dram_banks]; d->row_lines = (uint32_t)(r[UA_dram_row_bytes] / LINE);
    d->latency = (uint32_t)r[UA_dram_latency]; d->empty = d->latency - (uint32_t)r[UA_dram_precharge]; d->hit = d->empty - (uint32_t)r[UA_dram_activate];
    d->line16 = (uint32_t)r[UA_dram_line16];
    d->channel = calloc(d->channels, sizeof *d->channel);
    d->row = calloc((size_t)d->channels * d->banks, sizeof *d->row);
    return d->channel && d->row ? 0 : -1;
}

void dram_free(struct dram *d) { free(d->channel); free(d->row); }
