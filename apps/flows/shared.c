/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The general kind: one representative, of all vCPUs, in parts with a lock each. Right wherever a flow's datagrams arrive. */
#include "flows.h"

#define PARTS 16u       /* by the hash's highest bits; tables use the lowest */

struct flows_part {
    struct spinlock lock;
    struct flow_table table;
} __attribute__((aligned(64)));

struct flows_shared {
    struct flows flows;
    struct flows_part parts[PARTS];
};

static uint64_t flows_shared_count(struct flows *flows, uint64_t flow)
{
    struct flows_shared *shared = (struct flows_shared *)flows;
    struct flows_part *part = &shared->parts[flow_hash(flow) >> 28];

    spin_lock(&part->lock);

    uint64_t count = flow_table_count(&part->table, flow);

    spin_unlock(&part->lock);
    return count;
}

ebb_id flows_create(uint32_t flows)
{
    struct flows_shared *shared = mem_zalloc(sizeof(*shared));

    if (shared == NULL)
        panic("flows: no memory");
    shared->flows.count = flows_shared_count;
    for (unsigned i = 0; i < PARTS; i++)
        if (!flow_table_init(&shared->parts[i].table, flows))
            panic("flows: no memory for %u flows", flows);
    return ebb_create_shared(shared);
}
