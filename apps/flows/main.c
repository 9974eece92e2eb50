/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A meter: each datagram is answered with how many its flow (address and port) has sent. Framed as memcached over UDP, so that what
 * loads kvd loads it, too: the first 8 bytes go back, then the count and an end of line.
 */
#include "flows.h"

#define FRAME_BYTES 8u
#define PORT 11211u
#define FLOWS 4096u

static ebb_id flows_meter;
static uint16_t flows_port;

static void flows_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    (void)ctx;
    if (rx->len < FRAME_BYTES) {
        iobuf_free(rx);
        return;
    }

    uint64_t count = flows_count(flows_meter, (uint64_t)from->ip << 16 | from->port);
    char digits[24];
    unsigned at = sizeof(digits);

    digits[--at] = '\n';
    digits[--at] = '\r';
    do
        digits[--at] = (char)('0' + count % 10);
    while (count /= 10);
    rx->len = FRAME_BYTES;
    memcpy(iobuf_end(rx), digits + at, sizeof(digits) - at);
    rx->len += (uint32_t)sizeof(digits) - at;
    udp_send(flows_port, from, rx);
}

void app_main(int argc, char **argv)
{
    uint64_t port = PORT;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-U") != 0)
            continue;       /* -m and such are kvd's */
        port = 0;
        for (const char *digit = argv[i + 1]; *digit >= '0' && *digit <= '9' && port < 65536; digit++)
            port = port * 10 + (uint64_t)(*digit - '0');
        if (port == 0 || port > 65535)
            panic("flows: -U takes a port from 1 to 65535, not %s", argv[i + 1]);
    }
    flows_port = (uint16_t)port;
    flows_meter = flows_create(FLOWS);
    if (!udp_bind(flows_port, flows_datagram, NULL))
        panic("flows: port %u is taken", flows_port);
    console_printf("flows: ready\n");
}
