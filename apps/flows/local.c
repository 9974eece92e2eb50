/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kind for one NIC that steers flows: a representative, and a table, for each vCPU, without a lock. Right as long as all datagrams
 * of a flow arrive at one vCPU.
 */
#include "flows.h"

struct flows_local {
    struct flows flows;
    struct flow_table table;
} __attribute__((aligned(64)));

static uint64_t flows_local_count(struct flows *flows, uint64_t flow)
{
    return flow_table_count(&((struct flows_local *)flows)->table, flow);
}

static void *flows_local_miss(ebb_id id, void *root)
{
    struct flows_local *local = mem_zalloc(sizeof(*local));

    (void)id;
    if (local == NULL || !flow_table_init(&local->table, (uint32_t)(uint64_t)root))
        panic("flows: no memory on vCPU %u", cpu_id());
    local->flows.count = flows_local_count;
    return local;
}

ebb_id flows_create(uint32_t flows)
{
    return ebb_create(flows_local_miss, (void *)(uint64_t)flows);
}
