/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has which keys: the table's places, given to the back end that scores highest there. Workers read it while it changes. */
#include "internal.h"

/* MurmurHash3's finalizer (Appleby, public domain) of a place and an address. */
static uint32_t kvd_router_score(uint32_t place, uint32_t address)
{
    uint32_t h = address + place * 0x9e3779b9u;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

static bool kvd_router_beats(const struct kvd_router *router, uint32_t place, uint32_t one, uint32_t other)
{
    uint32_t a = kvd_router_score(place, router->backend[one].peer.address), b = kvd_router_score(place, router->backend[other].peer.address);
    return a != b ? a > b : one < other;
}

void kvd_router_enter(struct kvd_router *router, uint32_t backend)
{
    for (uint32_t place = 0; place < KVD_ROUTER_PLACES; place++) {
        uint8_t owner = router->table[place];
        if (owner == 0 || kvd_router_beats(router, place, backend, owner - 1u))
            __atomic_store_n(&router->table[place], (uint8_t)(backend + 1), __ATOMIC_RELEASE);
    }
}

void kvd_router_leave(struct kvd_router *router, uint32_t backend)
{
    for (uint32_t place = 0; place < KVD_ROUTER_PLACES; place++) {
        if (router->table[place] != backend + 1)
            continue;
        uint32_t best = KVD_ROUTER_BACKENDS;
        for (uint32_t i = 0; i < router->backends; i++)
            if (i != backend && router->backend[i].state == KVD_ROUTER_UP && (best == KVD_ROUTER_BACKENDS || kvd_router_beats(router, place, i, best)))
                best = i;
        __atomic_store_n(&router->table[place], (uint8_t)(best == KVD_ROUTER_BACKENDS ? 0 : best + 1), __ATOMIC_RELEASE);
    }
}
