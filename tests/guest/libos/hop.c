/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The long way round: a datagram to port 7 is answered from another vCPU (each in turn, the one it came to included),
 * to an address found by ARP; a leading "?" becomes the vCPU's digit. Where vCPUs outnumber queues, that answer needs a
 * third leg, to one that has a queue.
 */
#include "check.h"

static struct udp_peer test_peers[256];
static unsigned test_next;

static void test_answer(struct iobuf *buf, void *arg)
{
    struct udp_peer peer = *(struct udp_peer *)arg;

    CHECK(buf->len > 0, "no data");
    if (buf->data[0] == '?')
        buf->data[0] = (uint8_t)('0' + cpu_id());
    CHECK(udp_send(7, &peer, buf), "not sent");
}

static void test_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    unsigned number = __atomic_fetch_add(&test_next, 1, __ATOMIC_RELAXED);
    struct udp_peer *peer = &test_peers[number % 256];

    (void)ctx;
    if (rx->len == 0) {
        iobuf_free(rx);
        return;
    }
    *peer = *from;
    memset(peer->mac, 0, sizeof(peer->mac));
    iobuf_move(number % cpu_count(), rx, test_answer, peer);
}

void app_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    CHECK(udp_bind(7, test_datagram, NULL), "port");
    CHECK(!udp_bind(7, test_datagram, NULL), "port 7 twice");
    console_printf("hop: ready\n");
}
