/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many back ends there are: as many as keep the requests under way to each at the plan's target, a concurrency target as Knative's
 * autoscaler has it. Requests under way are what the router knows of its back ends' queues: by Little's law their rate times the time each takes.
 * More are asked for at once, at most as many as there are; fewer only when they were enough for a while, one at a time.
 */
#include "internal.h"

enum { STATUS_A_TICK = 8, SMOOTHING = 8 /* ticks */, REFUSED_NS = 10000000 /* the provisioner said no: not asked again so soon */ };

static void kvd_router_more(struct kvd_router *router, uint32_t count)
{
    for (uint32_t i = 0; i < KVD_ROUTER_BACKENDS && count > 0; i++) {
        struct kvd_router_backend *backend = &router->backend[i];
        if (i < router->backends && (backend->state != KVD_ROUTER_NONE || backend->peer.address != 0))
            continue;
        backend->state = KVD_ROUTER_ASKED;
        backend->tag = 0;
        if (i >= router->backends)
            __atomic_store_n(&router->backends, i + 1, __ATOMIC_RELEASE);
        count--;
    }
}

/* The one that came last is given back. */
static void kvd_router_fewer(struct kvd_router *router)
{
    uint32_t last = KVD_ROUTER_BACKENDS;
    for (uint32_t i = 0; i < router->backends; i++) {
        const struct kvd_router_backend *backend = &router->backend[i];
        if (backend->pooled && backend->state == KVD_ROUTER_UP && (last == KVD_ROUTER_BACKENDS || backend->since_ns >= router->backend[last].since_ns))
            last = i;
    }
    if (last == KVD_ROUTER_BACKENDS)
        return;
    router->backend[last].state = KVD_ROUTER_DRAINING;
    router->up--;
    kvd_router_leave(router, last);
}

void kvd_router_scale(struct kvd_router *router, uint64_t now_ns)
{
    const struct kvd_router_plan *plan = &router->plan;
    uint32_t under_way = 0, have = 0;
    for (uint32_t i = 0; i < router->backends; i++) {
        const struct kvd_router_backend *backend = &router->backend[i];
        if (backend->state == KVD_ROUTER_UP)
            under_way += kvd_router_under_way(backend);
        have += backend->state == KVD_ROUTER_UP || backend->state == KVD_ROUTER_STARTING || backend->state == KVD_ROUTER_ASKED;
    }
    router->load256 = (uint32_t)(((uint64_t)router->load256 * (SMOOTHING - 1) + (uint64_t)under_way * 256) / SMOOTHING);
    uint32_t per_one = plan->target * 256, wanted = (router->load256 + per_one - 1) / per_one;
    if (wanted > 2 * router->up)
        wanted = 2 * router->up;
    if (wanted > plan->most)
        wanted = plan->most;
    if (wanted < plan->least)
        wanted = plan->least;
    if (wanted >= have || router->up < have)
        router->calm_since_ns = now_ns;
    if (wanted > have) {
        if (router->refused_ns == 0 || now_ns - router->refused_ns >= REFUSED_NS)
            kvd_router_more(router, wanted - have);
    } else if (wanted < have && now_ns - router->calm_since_ns >= plan->calm_ns) {
        kvd_router_fewer(router);
        router->calm_since_ns = now_ns;
    }
}

void kvd_router_tick(struct kvd_router *router, uint64_t now_ns, kvd_router_send send, void *ctx)
{
    if (!router->plan.managed)
        return;
    if (!router->begun) {
        for (uint32_t i = 0; i < router->backends; i++)
            kvd_router_up(router, i, now_ns);
        router->begun = true;
    }
    router->ticks++;
    kvd_router_read_letters(router, now_ns);
    for (uint32_t i = 0; i < router->backends; i++)
        kvd_router_look(router, i, now_ns, send, ctx);
    if (router->plan.pool == NULL)
        return;
    kvd_router_scale(router, now_ns);
    uint32_t asked = 0, first = router->turn;
    for (uint32_t n = 0; n < router->backends; n++) { /* those that start take turns: none is asked about at the others' cost */
        uint32_t i = (first + n) % router->backends;
        if (router->backend[i].state == KVD_ROUTER_STARTING && !router->backend[i].ready && ++asked > STATUS_A_TICK)
            continue;
        if (asked == STATUS_A_TICK)
            router->turn = i + 1;
        kvd_router_ask(router, i, now_ns, send, ctx);
    }
}

bool kvd_router_serves(const struct kvd_router *router)
{
    return !router->plan.managed || (router->begun && router->up >= (router->plan.pool != NULL ? router->plan.least : 1));
}
