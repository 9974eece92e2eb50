/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvd_router on libos: a datagram is sent on in the buffer it came in, on the vCPU where it came in. */
#include "kvd_router.h"
#include "libos.h"

static struct kvd_router kvd_router;
static uint16_t kvd_router_port = 11211;

static void kvd_router_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    struct kvd_router_peer peer = { from->ip, from->port }, to;

    (void)ctx;
    enum kvd_router_verdict verdict = kvd_router_route(&kvd_router, peer, rx->data, rx->len, &to);

    switch (verdict) {
    case KVD_ROUTER_DROP:
        iobuf_free(rx);
        return;
    case KVD_ROUTER_SEND:
        udp_send(kvd_router_port, &(struct udp_peer){ .ip = to.address, .port = to.port }, rx);
        return;
    case KVD_ROUTER_REFUSE:
    case KVD_ROUTER_NOBODY: {
        struct iobuf *answer = iobuf_alloc_tx();

        if (answer != NULL) {
            answer->len = (uint32_t)kvd_router_refusal(verdict, rx->data, answer->data);
            udp_send(kvd_router_port, from, answer);
        }
        iobuf_free(rx);
        return;
    }
    }
}

static struct timer kvd_router_timer;

static void kvd_router_put(void *ctx, struct kvd_router_peer to, const void *data, size_t length)
{
    struct iobuf *buf = iobuf_alloc_tx();

    (void)ctx;
    if (buf == NULL)
        return;
    memcpy(buf->data, data, length);
    buf->len = (uint32_t)length;
    udp_send(kvd_router_port, &(struct udp_peer){ .ip = to.address, .port = to.port }, buf);
}

static void kvd_router_due(void *unused)
{
    (void)unused;
    kvd_router_tick(&kvd_router, clock_ns(), kvd_router_put, NULL);
    if (!kvd_router.served && kvd_router_serves(&kvd_router)) {
        kvd_router.served = true;
        console_printf("kvd_router: ready\n");
    }
    if (kvd_router.plan.managed)
        timer_start(&kvd_router_timer, kvd_router.plan.tick_ns, kvd_router_due, NULL);
}

void app_main(int argc, char **argv)
{
    const char *backends = "";

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            panic("kvd_router: a value must follow %s", argv[i]);
        if (strcmp(argv[i], "--backends") == 0) {
            backends = argv[i + 1];
        } else if (strcmp(argv[i], "-p") == 0 || strcmp(argv[i], "-U") == 0) {
            unsigned port = 0;

            for (const char *at = argv[i + 1]; *at >= '0' && *at <= '9' && port < 65536; at++)
                port = port * 10 + (unsigned)(*at - '0');
            if (port == 0 || port > 65535)
                panic("kvd_router: the port is a number from 1 to 65535, not %s", argv[i + 1]);
            kvd_router_port = (uint16_t)port;
        } else {
            switch (kvd_router_option(&kvd_router, argv[i], argv[i + 1])) {
            case 0:
                panic("kvd_router: no option %s; there are --backends LIST, -p PORT and\n%s", argv[i], kvd_router_options);
            case -1:
                panic("kvd_router: %s does not take %s; there are\n%s", argv[i], argv[i + 1], kvd_router_options);
            }
        }
    }

    kvd_router.port = __builtin_bswap16(kvd_router_port);

    size_t bad = kvd_router.plan.pool != NULL && *backends == '\0' ? 0 : kvd_router_backends(&kvd_router, backends, kvd_router.port);

    if (bad != 0)
        panic("kvd_router: --backends takes 1 to 32 IPv4 addresses joined by commas; this is none: %s", backends + bad - 1);
    if (!udp_bind(kvd_router_port, kvd_router_datagram, NULL))
        panic("kvd_router: port %u is taken", kvd_router_port);
    kvd_router_due(NULL);
}
