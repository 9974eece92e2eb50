/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP sockets: sending. */
#include "socket.h"

int64_t linux_sendto(uint64_t fd, const void *bytes, uint64_t count, uint64_t flags, const struct linux_address *to, uint64_t to_bytes);
int64_t linux_sendmsg(uint64_t fd, const struct linux_message *message, uint64_t flags);

static int64_t socket_send(struct socket *socket, const struct linux_vector *vectors, uint64_t count, const struct udp_peer *to)
{
    struct iobuf *buf;
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < count; i++)
        bytes += vectors[i].bytes;
    if (bytes > UDP_MAX_PAYLOAD)
        return -LINUX_EMSGSIZE;
    if (socket->port == NULL) {
        int64_t error = socket_bind(socket, 0);

        if (error)
            return error;
    }
    buf = iobuf_alloc_tx();
    if (buf == NULL)
        return -LINUX_ENOMEM;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(buf->data + buf->len, vectors[i].base, vectors[i].bytes);
        buf->len += (uint32_t)vectors[i].bytes;
    }
    udp_send(socket->port->number, to, buf);
    return (int64_t)bytes;
}

/* The peer's Ethernet address is not in a socket address: it is found by route and ARP. */
int64_t socket_peer(const struct socket *socket, const struct linux_address *to, uint64_t bytes, struct udp_peer *peer)
{
    if (to == NULL) {
        *peer = socket->peer;
        return peer->port ? 0 : -LINUX_EDESTADDRREQ;
    }
    if (bytes < sizeof(*to))
        return -LINUX_EINVAL;
    if (to->family != LINUX_AF_INET)
        return -LINUX_EAFNOSUPPORT;
    *peer = (struct udp_peer){ .ip = to->ip, .port = to->port };
    return 0;
}

int64_t linux_sendto(uint64_t fd, const void *bytes, uint64_t count, uint64_t flags, const struct linux_address *to, uint64_t to_bytes)
{
    struct file *file = socket_file(fd);
    struct linux_vector vector = { (void *)(uint64_t)bytes, count };
    struct udp_peer peer;

    (void)flags;
    if (file == NULL)
        return socket_error(fd);

    int64_t error = socket_peer(file->socket, to, to_bytes, &peer);

    return error ? error : socket_send(file->socket, &vector, 1, &peer);
}

int64_t linux_sendmsg(uint64_t fd, const struct linux_message *message, uint64_t flags)
{
    struct file *file = socket_file(fd);
    struct udp_peer peer;

    (void)flags;
    if (file == NULL)
        return socket_error(fd);

    int64_t error = socket_peer(file->socket, message->name, message->name_bytes, &peer);

    return error ? error : socket_send(file->socket, message->vectors, message->vector_count, &peer);
}
