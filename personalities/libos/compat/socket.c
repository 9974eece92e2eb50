/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UDP sockets. Each vCPU keeps its own datagrams and its own threads that wait for one, without a lock. A datagram goes, in the
 * event it came with, to a thread of its vCPU that waits, copied into the thread's buffer; where none waits, to a vCPU with
 * readers that may have one; else it is held where all look.
 */
#include "compat.h"
#include "../kernel/byteorder.h"
#include "../kernel/iobuf.h"

#define LINUX_AF_INET 2
#define LINUX_SOCK_DGRAM 2
#define LINUX_SOCK_TYPE 0xF
#define LINUX_SOCK_NONBLOCK 04000
#define LINUX_MSG_PEEK 2
#define LINUX_MSG_TRUNC 0x20
#define LINUX_MSG_DONTWAIT 0x40
#define LINUX_SOL_SOCKET 1
#define LINUX_SO_REUSEPORT 15
#define LINUX_SO_INCOMING_CPU 49
#define FIRST_EPHEMERAL 32768u
#define SOCKET_PORTS 32u
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

static struct socket_port socket_ports[SOCKET_PORTS];
static unsigned socket_port_count;
static struct spinlock socket_ports_lock;

enum { WANT_VECTORS, WANT_COUNT, WANT_ADDRESS, WANT_ADDRESS_BYTES, WANT_MESSAGE, WANT_LOAN };     /* of thread.want */

int64_t linux_socket(uint64_t family, uint64_t type, uint64_t protocol);
int64_t linux_bind(uint64_t fd, const struct linux_address *here, uint64_t bytes);
int64_t linux_connect(uint64_t fd, const struct linux_address *there, uint64_t bytes);
int64_t linux_setsockopt(uint64_t fd, uint64_t level, uint64_t name, const uint32_t *value, uint64_t bytes);
int64_t linux_getsockname(uint64_t fd, struct linux_address *here, uint32_t *bytes);
int64_t linux_recvfrom(uint64_t fd, void *into, uint64_t room, uint64_t flags, struct linux_address *from, uint32_t *from_bytes);
int64_t linux_recvmsg(uint64_t fd, struct linux_message *message, uint64_t flags);
int64_t linux_sendto(uint64_t fd, const void *bytes, uint64_t count, uint64_t flags, const struct linux_address *to, uint64_t to_bytes);
int64_t linux_sendmsg(uint64_t fd, const struct linux_message *message, uint64_t flags);
int64_t linux_lend(uint64_t fd, struct iobuf **loan, struct udp_peer *from);

static struct file *socket_file(uint64_t fd)
{
    struct file *file = file_get(fd);

    return file && file->kind == FILE_SOCKET ? file : NULL;
}

static int64_t socket_error(uint64_t fd)
{
    return file_get(fd) ? -LINUX_ENOTSOCK : -LINUX_EBADF;
}

static int64_t socket_bind(struct socket *socket, uint16_t number);

/* ---- receiving ---- */

/* Probe point: the request waits in the socket; `header` is the device's (manifest.toml). */
static noinline void socket_hold(struct socket *socket, void *header, struct iobuf *buf, const struct udp_peer *from)
{
    (void)header;
    socket->ring[(socket->oldest + socket->held++) % SOCKET_HELD] = (struct socket_datagram){ buf, *from };
}

/* Probe point: a thread takes it, outside the event that it came with. */
static noinline struct iobuf *socket_take(struct socket *socket, void *header, struct udp_peer *from)
{
    struct socket_datagram *datagram = &socket->ring[socket->oldest];

    (void)header;
    *from = datagram->from;
    socket->oldest = (socket->oldest + 1) % SOCKET_HELD;
    __atomic_store_n(&socket->held, socket->held - 1, __ATOMIC_RELEASE);
    return datagram->buf;
}

/* Probe point: the thread asks for the next one outside a datagram's event, so it is done with the last. */
static noinline void socket_done(void)
{
    compiler_barrier();
}

static void *socket_header(struct iobuf *buf)
{
    return (uint8_t *)buf + IOBUF_VNET_AT;
}

/* The payload into the thread's buffers, the sender into its address. */
static int64_t socket_deliver(struct thread *thread, struct iobuf *buf, const struct udp_peer *from)
{
    const struct linux_vector *vectors = (const struct linux_vector *)thread->want[WANT_VECTORS];
    struct linux_address *address = (struct linux_address *)thread->want[WANT_ADDRESS];
    struct linux_message *message = (struct linux_message *)thread->want[WANT_MESSAGE];
    uint32_t *address_bytes = (uint32_t *)thread->want[WANT_ADDRESS_BYTES];
    struct iobuf **loan = (struct iobuf **)thread->want[WANT_LOAN];
    uint64_t copied = 0;

    if (loan) {
        *loan = buf;
        *(struct udp_peer *)address = *from;
        return buf->len;
    }
    for (uint64_t i = 0; i < thread->want[WANT_COUNT] && copied < buf->len; i++) {
        uint64_t part = buf->len - copied < vectors[i].bytes ? buf->len - copied : vectors[i].bytes;

        memcpy(vectors[i].base, buf->data + copied, part);
        copied += part;
    }
    if (address && *address_bytes >= sizeof(*address))
        *address = (struct linux_address){ .family = LINUX_AF_INET, .port = from->port, .ip = from->ip };
    if (address)
        *address_bytes = sizeof(*address);
    if (message) {
        message->flags = copied < buf->len ? LINUX_MSG_TRUNC : 0;
        message->control_bytes = 0;
    }
    iobuf_free(buf);
    return (int64_t)copied;
}

static struct thread *socket_waiting(struct socket_side *side)
{
    struct thread *thread = side->first;

    if (thread) {
        side->first = thread->next;
        if (side->first == NULL)
            side->last = &side->first;
    }
    return thread;
}

/* Threads of this vCPU that wait while something is held (it came while they were on their way to wait). */
static void socket_look(void *arg)
{
    struct socket *socket = arg;
    struct socket_side *side = &socket->side[cpu_id()];
    struct udp_peer from;

    while (side->first) {
        struct iobuf *buf = NULL;

        spin_lock(&socket->lock);
        if (socket->held)
            buf = socket_take(socket, socket_header(socket->ring[socket->oldest].buf), &from);
        spin_unlock(&socket->lock);
        if (buf == NULL)
            return;

        struct thread *thread = socket_waiting(side);

        thread->registers.rax = socket_deliver(thread, buf, &from);
        thread_start(thread);
    }
}

/* No thread of this vCPU waits. Whoever has read here looks; what nobody takes is there when a thread next asks. */
static noinline void socket_keep(struct socket *socket, const struct udp_peer *from, struct iobuf *rx)
{
    spin_lock(&socket->lock);
    if (socket->held == SOCKET_HELD) {
        spin_unlock(&socket->lock);
        iobuf_free(rx);
        return;
    }
    socket_hold(socket, socket_header(rx), rx, from);
    spin_unlock(&socket->lock);
    full_barrier();
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (cpu != cpu_id() && __atomic_load_n(&socket->side[cpu].reads, __ATOMIC_RELAXED))
            event_spawn(cpu, socket_look, socket);
}

static void socket_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    struct socket_port *port = ctx;
    struct socket *socket = __atomic_load_n(&port->by_cpu[cpu_id()], __ATOMIC_ACQUIRE);

    if (unlikely(socket == NULL)) {
        iobuf_free(rx);
        return;
    }

    struct thread *thread = socket_waiting(&socket->side[cpu_id()]);

    if (unlikely(thread == NULL))
        socket_keep(socket, from, rx);
    else
        thread_run_in_frame(thread, socket_deliver(thread, rx, from));
}

/* Outside a datagram's event: what is held, if no other vCPU takes it first; else it goes round again. */
static noinline int64_t socket_receive_held(struct socket *socket, struct thread *thread)
{
    struct udp_peer from;
    struct iobuf *buf = NULL;

    spin_lock(&socket->lock);
    if (socket->held)
        buf = socket_take(socket, socket_header(socket->ring[socket->oldest].buf), &from);
    spin_unlock(&socket->lock);
    return buf ? socket_deliver(thread, buf, &from) : thread_yield(-LINUX_EINTR);
}

static int64_t socket_receive(struct socket *socket, const struct file *file, uint64_t flags)
{
    struct threads *here = threads_here();
    struct thread *thread = here->current;
    struct socket_side *side = &socket->side[cpu_id()];

    if (flags & LINUX_MSG_PEEK)
        return -LINUX_EINVAL;
    if (unlikely(!side->reads)) {
        side->last = &side->first;
        __atomic_store_n(&side->reads, true, __ATOMIC_SEQ_CST);    /* before the look at what is held: socket_keep */
    }
    if (!here->in_frame)
        socket_done();
    if (unlikely(__atomic_load_n(&socket->held, __ATOMIC_SEQ_CST))) {
        /* The event of a datagram is that datagram's: another is taken in an event of its own. */
        if (!here->in_frame)
            return socket_receive_held(socket, thread);
        if (!event_spawn(cpu_id(), socket_look, socket))
            return -LINUX_ENOMEM;
    } else if (flags & LINUX_MSG_DONTWAIT || file->flags & LINUX_O_NONBLOCK) {
        return thread_yield(-LINUX_EAGAIN);
    }
    thread->next = NULL;
    *side->last = thread;
    side->last = &thread->next;
    return THREAD_WAITS;
}

int64_t linux_recvfrom(uint64_t fd, void *into, uint64_t room, uint64_t flags, struct linux_address *from, uint32_t *from_bytes)
{
    struct file *file = socket_file(fd);
    struct thread *thread = thread_current();

    if (file == NULL)
        return socket_error(fd);
    /* One vector, in the thread: the caller's own list may be gone when the datagram comes. */
    thread->want[WANT_VECTORS] = (uint64_t)&thread->want[WANT_LOAN + 1];
    thread->want[WANT_LOAN + 1] = (uint64_t)into;
    thread->want[WANT_LOAN + 2] = room;
    thread->want[WANT_COUNT] = 1;
    thread->want[WANT_ADDRESS] = (uint64_t)from;
    thread->want[WANT_ADDRESS_BYTES] = (uint64_t)from_bytes;
    thread->want[WANT_MESSAGE] = thread->want[WANT_LOAN] = 0;
    return socket_receive(file->socket, file, flags);
}

int64_t linux_recvmsg(uint64_t fd, struct linux_message *message, uint64_t flags)
{
    struct file *file = socket_file(fd);
    struct thread *thread = thread_current();

    if (file == NULL)
        return socket_error(fd);
    thread->want[WANT_VECTORS] = (uint64_t)message->vectors;
    thread->want[WANT_COUNT] = message->vector_count;
    thread->want[WANT_ADDRESS] = (uint64_t)message->name;
    thread->want[WANT_ADDRESS_BYTES] = (uint64_t)&message->name_bytes;
    thread->want[WANT_MESSAGE] = (uint64_t)message;
    thread->want[WANT_LOAN] = 0;
    return socket_receive(file->socket, file, flags);
}

int64_t linux_lend(uint64_t fd, struct iobuf **loan, struct udp_peer *from)
{
    struct file *file = socket_file(fd);
    struct thread *thread = thread_current();

    if (file == NULL)
        return socket_error(fd);
    thread->want[WANT_LOAN] = (uint64_t)loan;
    thread->want[WANT_ADDRESS] = (uint64_t)from;
    return socket_receive(file->socket, file, 0);
}

struct iobuf *socket_lend(int fd, struct udp_peer *from)
{
    struct iobuf *loan = NULL;

    return linux_gate(LINUX_NR_LEND, (int64_t)fd, &loan, from, 0l, 0l, 0l) < 0 ? NULL : loan;
}

/* ---- sending ---- */

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
static int64_t socket_peer(const struct socket *socket, const struct linux_address *to, uint64_t bytes, struct udp_peer *peer)
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

/* ---- making, naming ---- */

int64_t linux_socket(uint64_t family, uint64_t type, uint64_t protocol)
{
    (void)protocol;
    if (family != LINUX_AF_INET || (type & LINUX_SOCK_TYPE) != LINUX_SOCK_DGRAM) {
        linux_say_once(3, "linux: there are sockets for UDP over IPv4 alone; one of family and type %lx was refused\n", family << 8 | (type & LINUX_SOCK_TYPE));
        return -LINUX_EAFNOSUPPORT;
    }

    struct socket *socket = mem_zalloc(sizeof(*socket));

    if (socket == NULL)
        return -LINUX_ENOMEM;
    return file_new(FILE_SOCKET, socket, type & LINUX_SOCK_NONBLOCK);
}

static struct socket_port *socket_port_find(uint16_t number)
{
    for (unsigned i = 0; i < socket_port_count; i++)
        if (socket_ports[i].number == number)
            return &socket_ports[i];
    return NULL;
}

/* The vCPUs whose datagrams are this socket's: the one it asks for (SO_INCOMING_CPU), else all that nobody has. */
static bool socket_port_join(struct socket_port *port, struct socket *socket)
{
    bool any = false;

    for (unsigned cpu = 0; cpu < LIBOS_MAX_CPUS; cpu++)
        if (port->by_cpu[cpu] == NULL && (socket->incoming_cpu == 0 || socket->incoming_cpu == cpu + 1)) {
            __atomic_store_n(&port->by_cpu[cpu], socket, __ATOMIC_RELEASE);
            any = true;
        }
    if (any)
        socket->port = port;
    return any;
}

static int64_t socket_bind_locked(struct socket *socket, uint16_t number)
{
    if (number == 0) {
        number = FIRST_EPHEMERAL;
        while (socket_port_find(number))
            number++;
    }

    struct socket_port *port = socket_port_find(number);

    if (port)
        return socket->shares_port && socket_port_join(port, socket) ? 0 : -LINUX_EADDRINUSE;
    if (socket_port_count == SOCKET_PORTS)
        return -LINUX_EADDRINUSE;
    port = &socket_ports[socket_port_count];
    port->number = number;
    socket_port_join(port, socket);
    if (!udp_bind(number, socket_datagram, port)) {
        socket->port = NULL;
        memset(port, 0, sizeof(*port));
        return -LINUX_EADDRINUSE;
    }
    socket_port_count++;
    return 0;
}

static int64_t socket_bind(struct socket *socket, uint16_t number)
{
    spin_lock(&socket_ports_lock);

    int64_t error = socket_bind_locked(socket, number);

    spin_unlock(&socket_ports_lock);
    return error;
}

int64_t linux_bind(uint64_t fd, const struct linux_address *here, uint64_t bytes)
{
    struct file *file = socket_file(fd);

    if (file == NULL)
        return socket_error(fd);
    if (bytes < sizeof(*here) || file->socket->port)
        return -LINUX_EINVAL;
    if (here->family != LINUX_AF_INET)
        return -LINUX_EAFNOSUPPORT;
    if (here->ip != 0 && here->ip != net_address())
        return -LINUX_EADDRNOTAVAIL;
    return socket_bind(file->socket, swap16(here->port));
}

int64_t linux_connect(uint64_t fd, const struct linux_address *there, uint64_t bytes)
{
    struct file *file = socket_file(fd);

    return file ? socket_peer(file->socket, there, bytes, &file->socket->peer) : socket_error(fd);
}

int64_t linux_setsockopt(uint64_t fd, uint64_t level, uint64_t name, const uint32_t *value, uint64_t bytes)
{
    struct file *file = socket_file(fd);

    if (file == NULL)
        return socket_error(fd);
    if (bytes < sizeof(*value))
        return -LINUX_EINVAL;
    if (level == LINUX_SOL_SOCKET && name == LINUX_SO_REUSEPORT) {
        file->socket->shares_port = *value != 0;
    } else if (level == LINUX_SOL_SOCKET && name == LINUX_SO_INCOMING_CPU) {
        if (*value >= cpu_count())
            return -LINUX_EINVAL;
        file->socket->incoming_cpu = *value + 1;
    } else {
        linux_say_once(4, "linux: socket option %lx (level << 16 | name) has no effect\n", level << 16 | name);
    }
    return 0;
}

int64_t linux_getsockname(uint64_t fd, struct linux_address *here, uint32_t *bytes)
{
    struct file *file = socket_file(fd);

    if (file == NULL)
        return socket_error(fd);
    if (*bytes >= sizeof(*here))
        *here = (struct linux_address){ .family = LINUX_AF_INET, .port = file->socket->port ? swap16(file->socket->port->number) : 0 };
    *bytes = sizeof(*here);
    return 0;
}

/* Nobody listens at its port from now on; the port stays its own. Threads that wait in it wait for ever, as on Linux. */
void socket_close(struct socket *socket)
{
    for (unsigned cpu = 0; socket->port && cpu < LIBOS_MAX_CPUS; cpu++)
        if (socket->port->by_cpu[cpu] == socket)
            __atomic_store_n(&socket->port->by_cpu[cpu], NULL, __ATOMIC_RELEASE);
}
