/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UDP sockets: receiving. Each vCPU keeps its own threads that wait for a datagram, without a lock. One goes, in the event it came
 * with, to a thread of its vCPU that waits, copied into the thread's buffer; where none waits, it is held where all look.
 */
#include "socket.h"

#define LINUX_MSG_PEEK 2
#define LINUX_MSG_TRUNC 0x20
#define LINUX_MSG_DONTWAIT 0x40

enum { WANT_VECTORS, WANT_COUNT, WANT_ADDRESS, WANT_ADDRESS_BYTES, WANT_MESSAGE, WANT_LOAN };     /* of thread.want */

int64_t linux_recvfrom(uint64_t fd, void *into, uint64_t room, uint64_t flags, struct linux_address *from, uint32_t *from_bytes);
int64_t linux_recvmsg(uint64_t fd, struct linux_message *message, uint64_t flags);
int64_t linux_lend(uint64_t fd, struct iobuf **loan, struct udp_peer *from);

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

void socket_datagram(void *ctx, const struct udp_peer *from, struct iobuf *rx)
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
