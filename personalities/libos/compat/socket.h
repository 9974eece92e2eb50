/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sources of UDP sockets share: socket.c makes and names them, socket_receive.c and socket_send.c move datagrams. */
#ifndef COMPAT_SOCKET_H
#define COMPAT_SOCKET_H

#include "compat.h"
#include "../kernel/iobuf.h"

#define LINUX_AF_INET 2
#define SOCKET_HELD 256u            /* datagrams; more are dropped, as by a full receive buffer */

struct linux_address {
    uint16_t family, port;
    uint32_t ip;
    uint8_t zero[8];
};

struct linux_vector {
    void *base;
    uint64_t bytes;
};

struct linux_message {
    struct linux_address *name;
    uint32_t name_bytes;
    struct linux_vector *vectors;
    uint64_t vector_count;
    void *control;
    uint64_t control_bytes;
    uint32_t flags;
};

/* A datagram that waits: its buffer, and who sent it. */
struct socket_datagram {
    struct iobuf *buf;
    struct udp_peer from;
};

struct socket_side {
    struct thread *first, **last;   /* that wait for a datagram */
    bool reads;                     /* a thread of this vCPU has read here: others may send datagrams over */
} cacheline_aligned;

struct socket {
    struct socket_port *port;       /* NULL: not bound */
    struct udp_peer peer;           /* port 0: not connected */
    bool shares_port;
    uint32_t incoming_cpu;          /* + 1; 0: any */
    struct socket_side side[LIBOS_MAX_CPUS];
    struct spinlock lock;           /* of what is held: datagrams that found no thread waiting */
    uint32_t held, oldest;
    struct socket_datagram ring[SOCKET_HELD];
};

/* Who listens on a port: one socket, or (SO_REUSEPORT) one for each vCPU. Never goes: libos has no way to unbind. */
struct socket_port {
    uint16_t number;
    struct socket *by_cpu[LIBOS_MAX_CPUS];
};

static inline struct file *socket_file(uint64_t fd)
{
    struct file *file = file_get(fd);

    return file && file->kind == FILE_SOCKET ? file : NULL;
}

static inline int64_t socket_error(uint64_t fd)
{
    return file_get(fd) ? -LINUX_ENOTSOCK : -LINUX_EBADF;
}

/* ---- socket.c ---- */

int64_t socket_bind(struct socket *socket, uint16_t number);    /* 0: any that is free */

/* ---- socket_receive.c ---- */

void socket_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx);     /* one for the port `ctx` */

/* ---- socket_send.c ---- */

/* Whom a datagram goes to: that address, or whoever the socket is connected to. */
int64_t socket_peer(const struct socket *socket, const struct linux_address *to, uint64_t bytes, struct udp_peer *peer);

#endif
