/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams in the device's buffers: lent by libos, answered from its own, which leave without a system call. Part of port_linux.c. */
#include "lend.h"

struct kvd_thread {
    struct kvd *kvd;
    int socket;
    bool pinned, zero_copy; /* options of the socket's; nothing is copied anyway */
    unsigned worker;
    uint16_t port;
    struct udp_peer client;
    struct iobuf *answer;
};

static uint8_t *kvd_port_begin(void *ctx, size_t *cap)
{
    struct kvd_thread *thread = ctx;
    thread->answer = iobuf_alloc_tx();
    *cap = KVD_UDP_PAYLOAD;
    return thread->answer != NULL ? thread->answer->data : NULL;
}

static void kvd_port_end(void *ctx, uint8_t *buffer, size_t length)
{
    struct kvd_thread *thread = ctx;
    (void)buffer;
    thread->answer->len = (uint32_t)length;
    udp_send(thread->port, &thread->client, thread->answer);
}

static _Noreturn void kvd_port_serve(void *argument)
{
    struct kvd_thread *thread = argument;
    struct kvd_sink sink = {kvd_port_begin, kvd_port_end, thread};
    struct rt_address here;
    uint32_t here_size = sizeof here;
    if (thread->pinned)
        kvd_port_pin(thread->worker);
    rt_syscall(RT_NR_GETSOCKNAME, thread->socket, (long)&here, (long)&here_size, 0, 0, 0);
    thread->port = __builtin_bswap16(here.port);
    for (;;) {
        struct iobuf *datagram = socket_lend(thread->socket, &thread->client);
        if (datagram == NULL)
            continue;
        kvd_serve(thread->kvd, thread->worker, datagram->data, datagram->len, &sink);
        iobuf_free(datagram);
    }
}
