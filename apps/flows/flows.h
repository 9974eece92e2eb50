/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An Ebb that counts what each flow has sent. Which kind of it an image has is decided where it is linked. */
#ifndef FLOWS_H
#define FLOWS_H

#include "libos.h"

/* A representative; what it has besides is its kind's business. */
struct flows {
    uint64_t (*count)(struct flows *flows, uint64_t flow);
};

/* Makes the Ebb, with room for `flows` flows (a power of two) in each of its tables. */
ebb_id flows_create(uint32_t flows);

/* How many datagrams the flow has sent, this one included; 0: there is no room for another flow. From any vCPU. */
static inline uint64_t flows_count(ebb_id id, uint64_t flow)
{
    struct flows *rep = ebb_rep(id);

    return rep->count(rep, flow);
}

/* ---- table.c: a table of flows, without locks ---- */

struct flow {
    uint64_t id;        /* 0: free */
    uint64_t count;
};

struct flow_table {
    uint32_t mask, used;
    struct flow *flows;
};

bool flow_table_init(struct flow_table *table, uint32_t flows);
uint64_t flow_table_count(struct flow_table *table, uint64_t flow);
uint32_t flow_hash(uint64_t flow);

#endif
