/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One back end: whether it lives, what is under way to it, how it comes and goes. */
#include "internal.h"

enum { AGE = KVD_ROUTER_HISTORY / 2 }; /* ticks after which an unanswered request counts as lost */

uint32_t kvd_router_under_way(const struct kvd_router_backend *backend)
{
    uint32_t over = backend->lost + __atomic_load_n(&backend->answered, __ATOMIC_RELAXED) + __atomic_load_n(&backend->forgotten, __ATOMIC_RELAXED);
    uint32_t under_way = __atomic_load_n(&backend->next, __ATOMIC_RELAXED) - over;
    return (int32_t)under_way > 0 ? under_way : 0;
}

/* Takes a request's answer for given. False: it has had one, or its place has another request. */
static bool kvd_router_settle(struct kvd_router_backend *backend, uint32_t number, uint64_t *asked)
{
    struct kvd_router_slot *slot = &backend->slot[number % KVD_ROUTER_SLOTS];
    uint32_t valid = (uint16_t)number + 1u;
    *asked = __atomic_load_n(&slot->asked, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&slot->id, __ATOMIC_SEQ_CST) == valid && __atomic_exchange_n(&slot->done, valid, __ATOMIC_RELAXED) != valid;
}

/* The last request sent by then, of those that may be under way. */
static uint32_t kvd_router_oldest(const struct kvd_router *router, const struct kvd_router_backend *backend)
{
    uint32_t next = __atomic_load_n(&backend->next, __ATOMIC_RELAXED), oldest = backend->sent[(router->ticks - AGE) % KVD_ROUTER_HISTORY];
    return next - oldest > KVD_ROUTER_SLOTS ? next - KVD_ROUTER_SLOTS : oldest;
}

/* What was sent AGE ticks ago and is not answered by now is lost. */
static void kvd_router_age(struct kvd_router *router, struct kvd_router_backend *backend)
{
    uint64_t asked;
    uint32_t end = kvd_router_oldest(router, backend);
    backend->sent[router->ticks % KVD_ROUTER_HISTORY] = __atomic_load_n(&backend->next, __ATOMIC_RELAXED);
    for (; (int32_t)(end - backend->settled) > 0; backend->settled++)
        backend->lost += kvd_router_settle(backend, backend->settled, &asked);
}

void kvd_router_up(struct kvd_router *router, uint32_t index, uint64_t now_ns)
{
    struct kvd_router_backend *backend = &router->backend[index];
    backend->state = KVD_ROUTER_UP;
    backend->heard_ns = backend->since_ns = now_ns;
    backend->probed = 0;
    backend->tag = 0;
    router->up++;
    kvd_router_enter(router, index);
}

void kvd_router_lose(struct kvd_router *router, uint32_t index, kvd_router_send send, void *ctx)
{
    static const char text[] = "SERVER_ERROR back end lost\r\n";
    struct kvd_router_backend *backend = &router->backend[index];
    if (backend->state == KVD_ROUTER_UP) {
        backend->state = KVD_ROUTER_DOWN;
        router->up--;
        kvd_router_leave(router, index);
    }
    for (uint32_t next = __atomic_load_n(&backend->next, __ATOMIC_RELAXED); backend->settled != next; backend->settled++) {
        uint64_t asked;
        if (!kvd_router_settle(backend, backend->settled, &asked))
            continue;
        backend->lost++;
        if (asked == 0)
            continue;
        uint8_t refusal[KVD_ROUTER_HEADER + sizeof text - 1] = {(uint8_t)(asked >> 8), (uint8_t)asked, 0, 0, 0, 1, 0, 0};
        for (size_t i = 0; i < sizeof text - 1; i++)
            refusal[KVD_ROUTER_HEADER + i] = (uint8_t)text[i];
        send(ctx, (struct kvd_router_peer){(uint32_t)(asked >> 32), (uint16_t)(asked >> 16)}, refusal, sizeof refusal);
    }
}

/* `version` answers quickly, and changes nothing. */
static void kvd_router_probe(struct kvd_router_backend *backend, uint64_t now_ns, kvd_router_send send, void *ctx)
{
    uint8_t probe[] = "\0\0\0\0\0\1\0\0version\r\n";
    backend->probed = 1;
    backend->asked_ns = now_ns;
    if (kvd_router_note(backend, true, (struct kvd_router_peer){0, 0}, probe))
        send(ctx, backend->peer, probe, sizeof probe - 1);
}

void kvd_router_look(struct kvd_router *router, uint32_t index, uint64_t now_ns, kvd_router_send send, void *ctx)
{
    struct kvd_router_backend *backend = &router->backend[index];
    uint64_t health_ns = router->plan.health_ns;
    uint32_t answered = __atomic_load_n(&backend->answered, __ATOMIC_RELAXED);
    kvd_router_age(router, backend);
    bool heard = answered != backend->seen;
    backend->seen = answered;
    if (heard) {
        backend->heard_ns = now_ns;
        backend->probed = 0;
    }
    switch (backend->state) {
    case KVD_ROUTER_STARTING:
        if (heard)
            kvd_router_up(router, index, now_ns);
        else if (backend->ready && (!backend->probed || now_ns - backend->asked_ns >= health_ns))
            kvd_router_probe(backend, now_ns, send, ctx);
        return;
    case KVD_ROUTER_DOWN:
        if (heard)
            kvd_router_up(router, index, now_ns);
        else if (now_ns - backend->asked_ns >= health_ns)
            kvd_router_probe(backend, now_ns, send, ctx);
        return;
    case KVD_ROUTER_UP:
        if (now_ns - backend->heard_ns >= 3 * health_ns) {
            kvd_router_lose(router, index, send, ctx);
            if (backend->pooled)
                backend->state = KVD_ROUTER_LEAVING;
        } else if (now_ns - backend->heard_ns >= health_ns && (!backend->probed || now_ns - backend->asked_ns >= health_ns)) {
            kvd_router_probe(backend, now_ns, send, ctx);
        }
        return;
    case KVD_ROUTER_DRAINING:
        if (kvd_router_under_way(backend) == 0)
            backend->state = KVD_ROUTER_LEAVING;
        return;
    default:
        return;
    }
}
