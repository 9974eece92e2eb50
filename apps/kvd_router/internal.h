/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the core's sources share: route.c < table.c < members.c < scale.c. */
#ifndef KVD_ROUTER_INTERNAL_H
#define KVD_ROUTER_INTERNAL_H

#include "kvd_router.h"

enum { KVD_ROUTER_HEADER = 8 };

/* --- route.c --- */

/*
 * Takes an id for a request to that back end and writes it into the header. False: another worker writes in that place right now. Of a managed
 * router, whoever had the place before and was not answered counts as forgotten.
 */
bool kvd_router_note(struct kvd_router_backend *backend, bool managed, struct kvd_router_peer from, uint8_t *datagram);

/* --- table.c: rendezvous hashing (Thaler and Ravishankar, 1998) of places; a place changes hands only where one of the two comes or goes --- */
void kvd_router_enter(struct kvd_router *router, uint32_t backend);
void kvd_router_leave(struct kvd_router *router, uint32_t backend);

/* --- members.c --- */

/* Requests under way to it, by what is known. */
uint32_t kvd_router_under_way(const struct kvd_router_backend *backend);
void kvd_router_up(struct kvd_router *router, uint32_t backend, uint64_t now_ns);
/* It serves no keys any more; what is under way to it is refused. */
void kvd_router_lose(struct kvd_router *router, uint32_t backend, kvd_router_send send, void *ctx);
void kvd_router_look(struct kvd_router *router, uint32_t backend, uint64_t now_ns, kvd_router_send send, void *ctx);

/* --- provision.c: questions to the provisioner, and its answers --- */
void kvd_router_ask(struct kvd_router *router, uint32_t backend, uint64_t now_ns, kvd_router_send send, void *ctx);
void kvd_router_read_letters(struct kvd_router *router, uint64_t now_ns);
void kvd_router_post(struct kvd_router *router, const uint8_t *text, size_t length); /* by any worker */

/* --- scale.c --- */
void kvd_router_scale(struct kvd_router *router, uint64_t now_ns);

#endif
