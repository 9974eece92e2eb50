/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where nodes come from: a list, and then machines of a pool, which gpos has powered on; and when they have no tiles any more, off. */
#include "front.h"
#include "words.h"

static uint16_t listed[MESSENGER_NODES];
static unsigned listed_count, listed_given;
static const char *pool_kind;

bool front_provision_list(const char *list)
{
    while (*list) {
        struct matrix_end at = { .node = listed_count + 1, .port = MESSENGER_PORT };

        if (!matrix_end_at(list, &at, &list) || at.node == 0 || at.node == messenger_own() || front_nodes[at.node].ip)
            return false;
        front_nodes[at.node].ip = at.ip;
        front_nodes[at.node].port = (uint16_t)at.port;
        listed[listed_count++] = (uint16_t)at.node;
        if (*list == ',' && list[1])
            list++;
        else if (*list)
            return false;
    }
    return true;
}

void front_provision_pool(const char *kind)
{
    pool_kind = kind;
}

/* That all machines of a pool are on is no failure, whatever else a refusal says is: the provisioner's are "all N ..." then (docs/elasticity.md). */
static void pool_given(void *arg)
{
    struct front_grant *grant = arg;
    const struct future *given = &grant->machine.given;

    if (given->state == FUTURE_FULFILLED) {
        grant->number = grant->machine.number;
        grant->ip = grant->machine.ip;
        grant->port = MESSENGER_PORT;
        grant->pooled = true;
        if (!messenger_knows(grant->number))
            messenger_peer(grant->number, grant->ip, grant->port);
    } else if (given->error != NODE_REFUSED) {
        front_fail("gpos does not answer, which has machines powered on");
    } else if (strncmp(grant->machine.why, "all ", 4) != 0) {
        front_fail("no node for another tile: %s", grant->machine.why);
    }
    future_fulfil(&grant->given, grant);
}

void front_provision(struct front_grant *grant)
{
    grant->number = MATRIX_NOWHERE;
    if (listed_given == listed_count && pool_kind) {
        node_allocate(pool_kind, &grant->machine);
        future_then(&grant->machine.given, &grant->machine_wait, pool_given, grant);
        return;
    }
    if (listed_given < listed_count) {
        grant->number = listed[listed_given++];
        grant->ip = front_nodes[grant->number].ip;
        grant->port = front_nodes[grant->number].port;
        if (!messenger_knows(grant->number))
            messenger_peer(grant->number, grant->ip, grant->port);
    }
    future_fulfil(&grant->given, grant);
}

/* ---- giving back ---- */

struct giving {
    struct future done;
    struct future_wait wait;
};

static void pool_freed(void *arg)
{
    struct giving *giving = arg;

    if (giving->done.state == FUTURE_FULFILLED)
        front.figures.freed++;
    mem_free(giving);                   /* one that cannot be given back is not used again, either */
    front_step();
}

void front_give_back(void)
{
    for (uint16_t node = 0; node < MESSENGER_NODES; node++) {
        struct front_node *at = &front_nodes[node];
        struct giving *giving = at->pooled && at->known && at->tiles == 0 ? mem_zalloc(sizeof(*giving)) : NULL;

        if (giving == NULL)
            continue;
        at->known = at->lost = false;
        front_wait();
        future_then(&giving->done, &giving->wait, pool_freed, giving);
        node_free(node, &giving->done);
    }
}
