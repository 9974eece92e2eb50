/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sends each datagram back in the buffer it came in. Words: udp_echo [PORT], 7 by default. */
#include "libos.h"

static uint16_t echo_port = 7;

static void echo_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    (void)ctx;
    udp_send(echo_port, from, rx);
}

void app_main(int argc, char **argv)
{
    if (argc > 1) {
        unsigned port = 0;

        for (const char *at = argv[1]; *at >= '0' && *at <= '9' && port < 65536; at++)
            port = port * 10 + (unsigned)(*at - '0');
        if (port == 0 || port > 65535)
            panic("udp_echo: %s is not a port", argv[1]);
        echo_port = (uint16_t)port;
    }
    if (!udp_bind(echo_port, echo_datagram, NULL))
        panic("udp_echo: port %u is taken", echo_port);
    console_printf("udp_echo: ready\n");
}
