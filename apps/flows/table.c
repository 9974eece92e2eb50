/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open addressing; a table that is three quarters full takes no more flows. */
#include "flows.h"

uint32_t flow_hash(uint64_t flow)
{
    return (uint32_t)(flow * 0x9E3779B97F4A7C15ull >> 32);
}

bool flow_table_init(struct flow_table *table, uint32_t flows)
{
    table->mask = flows - 1;
    table->used = 0;
    table->flows = mem_zalloc(flows * sizeof(*table->flows));
    return table->flows != NULL;
}

uint64_t flow_table_count(struct flow_table *table, uint64_t flow)
{
    uint32_t at = flow_hash(flow) & table->mask;

    while (table->flows[at].id != 0 && table->flows[at].id != flow)
        at = (at + 1) & table->mask;
    if (table->flows[at].id == 0) {
        if (table->used >= table->mask / 4 * 3)
            return 0;
        table->used++;
        table->flows[at].id = flow;
    }
    return ++table->flows[at].count;
}
