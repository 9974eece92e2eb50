/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"
#include "client.h"
#include "node.h"

void client_begin(struct ninep *session, struct future *begun)
{
    struct future joined = { 0 };

    node_speaks(NODE_EBB_NINEP, "files", 1, 1, true);
    console_printf("client: ready\n");
    CHECK(node_start("client", &joined), "no word gpos=");
    CHECK(future_wait(&joined) == 0, "%s", node_refusal());
    ninep_begin(session, NODE_GPOS, begun);
}
