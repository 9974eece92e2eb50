/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvd on libos: no threads and no sockets. Each vCPU is a worker: its handler runs when a datagram arrives there, reads
 * the request where the device wrote it, and the answer is written into the buffer that the device sends.
 */
#include "kvd.h"
#include "node.h"

#define KVD_PORT 11211
#define KVD_MEGABYTES 64

struct kvd_options {
    uint64_t port;
    uint64_t megabytes;
    unsigned stripes;
};

/* One request being served. */
struct kvd_exchange {
    const struct udp_peer *client;
    struct iobuf *answer;
};

static struct kvd *kvd_store;
static uint16_t kvd_port;

_Static_assert(sizeof(struct spinlock) <= sizeof(((struct kvd_lock *)0)->word), "the lock must fit");
_Static_assert(KVD_UDP_PAYLOAD <= UDP_MAX_PAYLOAD, "an answer must fit a frame");

void kvd_lock_acquire(struct kvd_lock *lock)
{
    spin_lock((struct spinlock *)lock->word);
}

void kvd_lock_release(struct kvd_lock *lock)
{
    spin_unlock((struct spinlock *)lock->word);
}

uint64_t kvd_port_seconds(void)
{
    return clock_ns() / 1000000000u;
}

static uint8_t *kvd_port_begin(void *ctx, size_t *cap)
{
    struct kvd_exchange *exchange = ctx;

    exchange->answer = iobuf_alloc_tx();
    if (exchange->answer == NULL)
        return NULL;
    *cap = KVD_UDP_PAYLOAD;
    return exchange->answer->data;
}

static void kvd_port_end(void *ctx, uint8_t *buffer, size_t length)
{
    struct kvd_exchange *exchange = ctx;

    (void)buffer;
    exchange->answer->len = (uint32_t)length;
    udp_send(kvd_port, exchange->client, exchange->answer);
}

static void kvd_port_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    struct kvd_exchange exchange = { from, NULL };
    struct kvd_sink sink = { kvd_port_begin, kvd_port_end, &exchange };

    kvd_serve(ctx, cpu_id(), rx->data, rx->len, &sink);
    iobuf_free(rx);
}

/* --- the command line --- */

static uint64_t kvd_number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    uint64_t number = 0;
    const char *at = text;

    while (*at >= '0' && *at <= '9' && number <= most)
        number = number * 10 + (uint64_t)(*at++ - '0');
    if (at == text || *at != '\0' || number < least || number > most)
        panic("kvd: %s takes a number from %lu to %lu, not %s", name, least, most, text);
    return number;
}

static void kvd_option(struct kvd_options *options, const char *name, const char *value)
{
    if (strcmp(name, "-p") == 0 || strcmp(name, "-U") == 0)
        options->port = kvd_number(name, value, 1, 65535);
    else if (strcmp(name, "-m") == 0)
        options->megabytes = kvd_number(name, value, 1, 65536);
    else if (strcmp(name, "--locks") != 0)
        panic("kvd: no option %s; there are -p PORT, -m MEGABYTES and --locks striped|global", name);
    else if (strcmp(value, "global") == 0)
        options->stripes = 1;
    else if (strcmp(value, "striped") != 0)
        panic("kvd: --locks takes striped or global, not %s", value);
}

void app_main(int argc, char **argv)
{
    struct kvd_options options = { .port = KVD_PORT, .megabytes = KVD_MEGABYTES };

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            panic("kvd: a value must follow %s", argv[i]);
        kvd_option(&options, argv[i], argv[i + 1]);
    }

    struct kvd_config config = {
        .workers = cpu_count(),
        .stripes = options.stripes,
        .budget = (size_t)options.megabytes << 20,
    };
    size_t size = kvd_size(&config);

    if (size == 0)
        panic("kvd: one lock covers at most 16383 megabytes: take less with -m, or --locks striped");

    void *arena = mem_alloc(size);

    if (arena == NULL)
        panic("kvd: %zu KiB needed, %zu KiB free: take less with -m, or a larger machine", size >> 10,
              mem_free_bytes() >> 10);
    kvd_store = kvd_create(arena, size, &config);
    if (kvd_store == NULL)
        panic("kvd: the store cannot be made");
    kvd_port = (uint16_t)options.port;
    if (!udp_bind(kvd_port, kvd_port_datagram, kvd_store))
        panic("kvd: port %u is taken", kvd_port);
    node_start("kvd", NULL);            /* it serves meanwhile, and whether or not there is a gpos */
    console_printf("kvd: ready\n");
}
