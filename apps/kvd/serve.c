/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's making, and the datagram's way through the core. */
#include "internal.h"

#define KVD_LEAST_BUDGET ((size_t)256 << 10)  /* of a stripe: a value that fills a datagram, and some more, must fit */
#define KVD_GOOD_BUDGET ((size_t)1 << 20)     /* of a stripe, when the number of stripes is ours to choose */
#define KVD_MOST_BUDGET ((size_t)16 << 30)    /* of a stripe: the heap counts units of 8 bytes in 31 bits */
#define KVD_BYTES_PER_BUCKET 512              /* budget over buckets: about one item a bucket when full */
#define KVD_LINE 64

static unsigned kvd_stripes(const struct kvd_config *config)
{
    if (config->stripes != 0)
        return config->stripes;
    unsigned stripes = 1;
    while (stripes < KVD_MAX_STRIPES && config->budget / (stripes * 2) >= KVD_GOOD_BUDGET)
        stripes *= 2;
    return stripes;
}

static size_t kvd_buckets(size_t stripe_budget)
{
    size_t buckets = 64;
    while (buckets < stripe_budget / KVD_BYTES_PER_BUCKET)
        buckets *= 2;
    return buckets;
}

static size_t kvd_lines(size_t bytes)
{
    return (bytes + KVD_LINE - 1) / KVD_LINE * KVD_LINE;
}

static size_t kvd_stripe_budget(const struct kvd_config *config)
{
    return config->budget / kvd_stripes(config) / KVD_LINE * KVD_LINE;
}

size_t kvd_size(const struct kvd_config *config)
{
    unsigned stripes = kvd_stripes(config);
    if (config->workers < 1 || config->workers > KVD_MAX_WORKERS || stripes > KVD_MAX_STRIPES || (stripes & (stripes - 1)) != 0)
        return 0;
    size_t budget = kvd_stripe_budget(config);
    if (budget < KVD_LEAST_BUDGET || budget >= KVD_MOST_BUDGET)
        return 0;
    size_t stripe = sizeof(struct kvd_stripe) + kvd_lines(kvd_buckets(budget) * sizeof(struct kvd_item *)) + budget;
    return sizeof(struct kvd) + config->workers * sizeof(struct kvd_worker) + stripes * stripe;
}

/* The next `bytes` of the arena, zeroed if asked. */
static void *kvd_carve(uint8_t **arena, size_t bytes, bool zeroed)
{
    uint8_t *piece = *arena;
    *arena += kvd_lines(bytes);
    for (size_t i = 0; zeroed && i < bytes; i += sizeof(uint64_t))
        *(volatile uint64_t *)(void *)(piece + i) = 0;
    return piece;
}

struct kvd *kvd_create(void *arena, size_t bytes, const struct kvd_config *config)
{
    size_t size = kvd_size(config), budget;
    uint8_t *at = arena;
    if (size == 0 || bytes < size || (uintptr_t)arena % KVD_LINE != 0)
        return NULL;
    struct kvd *kvd = kvd_carve(&at, sizeof *kvd, true);
    kvd->config = *config;
    kvd->config.stripes = kvd_stripes(config);
    kvd->stripe_mask = kvd->config.stripes - 1;
    kvd->stripe = kvd_carve(&at, kvd->config.stripes * sizeof *kvd->stripe, true);
    kvd->worker = kvd_carve(&at, config->workers * sizeof *kvd->worker, true);
    for (unsigned i = 0; i < config->workers; i++)
        kvd->worker[i].kvd = kvd;
    budget = kvd_stripe_budget(config);
    for (unsigned i = 0; i < kvd->config.stripes; i++) {
        struct kvd_stripe *stripe = &kvd->stripe[i];
        size_t buckets = kvd_buckets(budget);
        stripe->bucket_mask = (uint32_t)(buckets - 1);
        stripe->buckets = kvd_carve(&at, buckets * sizeof *stripe->buckets, true);
        kvd_heap_init(&stripe->heap, kvd_carve(&at, budget, false), budget);
    }
    return kvd;
}

void kvd_serve(struct kvd *kvd, unsigned worker_number, const uint8_t *datagram, size_t length, const struct kvd_sink *sink)
{
    if (worker_number >= kvd->config.workers || length <= KVD_UDP_HEADER)
        return;
    if (datagram[4] != 0 || datagram[5] != 1)
        return; /* requests of several datagrams are dropped, as memcached drops them */
    struct kvd_worker *worker = &kvd->worker[worker_number];
    worker->now_known = false;
    kvd_commands(worker, (struct kvd_span){datagram + KVD_UDP_HEADER, length - KVD_UDP_HEADER});
    kvd_reply_send(worker, datagram, sink);
}
