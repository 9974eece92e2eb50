/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UDP on sockets. A port has one for each vCPU, all bound alike (SO_REUSEPORT), each asking for what arrives on its CPU
 * (SO_INCOMING_CPU), so that a datagram is handled where it came in. A datagram is copied between the kernel and an iobuf, once each way.
 */
#include "byteorder.h"
#include "cpu.h"
#include "event.h"
#include "hosted.h"
#include "runtime.h"

#define UDP_PORTS (HOSTED_WATCHES)
#define SOCK_NONBLOCK 0x800
#define MSG_TRUNC 0x20          /* recvfrom then returns a datagram's whole length */
#define ELSEWHERE 0xC0000201u   /* 192.0.2.1 (RFC 5737): asking for the way there sends nothing */

struct udp_socket {
    struct event event;
    int fd;
    struct udp_binding *binding;
} cacheline_aligned;

struct udp_binding {
    udp_handler handler;        /* NULL: only sent from */
    void *ctx;
    uint16_t port;              /* network byte order; 0: free */
    struct udp_socket sockets[LIBOS_MAX_CPUS];
};

static struct udp_binding udp_bindings[UDP_PORTS];
static struct spinlock udp_lock;
static uint32_t udp_address;

static long udp_bound_socket(uint16_t port, uint32_t cpu)
{
    struct rt_address here = { .family = RT_AF_INET, .port = port };
    uint32_t shared = 1;
    long fd = rt_syscall(RT_NR_SOCKET, RT_AF_INET, RT_SOCK_DGRAM | SOCK_NONBLOCK, 0, 0, 0, 0);

    if (fd < 0)
        return fd;
    rt_syscall(RT_NR_SETSOCKOPT, fd, RT_SOL_SOCKET, RT_SO_REUSEPORT, (long)&shared, sizeof(shared), 0);
    rt_syscall(RT_NR_SETSOCKOPT, fd, RT_SOL_SOCKET, RT_SO_INCOMING_CPU, (long)&cpu, sizeof(cpu), 0);

    long error = rt_syscall(RT_NR_BIND, fd, (long)&here, sizeof(here), 0, 0, 0);

    if (error < 0) {
        rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
        return error;
    }
    return fd;
}

/* One datagram; ppoll tells of the next. */
static void udp_receive(void *arg)
{
    struct udp_socket *own = arg;
    struct iobuf *buf = iobuf_alloc_tx();
    struct rt_address from;
    struct udp_peer peer = { 0 };
    uint32_t size = sizeof(from);

    if (buf == NULL)
        return;                 /* it stays in the socket's queue */

    long length = rt_syscall(RT_NR_RECVFROM, own->fd, (long)buf->data, UDP_MAX_PAYLOAD, MSG_TRUNC, (long)&from, (long)&size);

    if (length < 0 || length > (long)UDP_MAX_PAYLOAD) {
        iobuf_free(buf);        /* nothing there, an error that a former answer met, or fragments: none of those natively either */
        return;
    }
    buf->len = (uint32_t)length;
    peer.ip = from.address;
    peer.port = from.port;
    own->binding->handler(own->binding->ctx, &peer, buf);
}

/* Each vCPU watches its own socket. */
static void udp_watch(void *arg)
{
    struct udp_binding *binding = arg;
    struct udp_socket *own = &binding->sockets[cpu_id()];

    own->event.fn = udp_receive;
    own->event.arg = own;
    hosted_watch(own->fd, &own->event);
}

static struct udp_binding *udp_find(uint16_t port)
{
    struct udp_binding *binding = udp_bindings;

    while (binding < udp_bindings + UDP_PORTS && binding->port != port)
        binding++;
    return binding < udp_bindings + UDP_PORTS ? binding : NULL;
}

/* A free binding with its sockets, or NULL. */
static struct udp_binding *udp_open(uint16_t port)
{
    struct udp_binding *binding = udp_find(0);

    for (unsigned cpu = 0; binding && cpu < cpu_count(); cpu++) {
        long fd = udp_bound_socket(port, hosted_cpu_of(cpu));

        if (fd < 0) {
            while (cpu-- > 0)
                rt_syscall(RT_NR_CLOSE, binding->sockets[cpu].fd, 0, 0, 0, 0, 0);
            return NULL;
        }
        binding->sockets[cpu].fd = (int)fd;
        binding->sockets[cpu].binding = binding;
    }
    if (binding)
        __atomic_store_n(&binding->port, port, __ATOMIC_RELEASE);
    return binding;
}

bool udp_bind(uint16_t port, udp_handler handler, void *ctx)
{
    spin_lock(&udp_lock);

    struct udp_binding *binding = port ? udp_find(swap16(port)) : NULL;

    if (port && binding == NULL)
        binding = udp_open(swap16(port));
    else if (binding && binding->handler)
        binding = NULL;
    if (binding) {
        binding->ctx = ctx;
        binding->handler = handler;
    }
    spin_unlock(&udp_lock);
    if (binding == NULL)
        return false;
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (!event_spawn(cpu, udp_watch, binding))
            panic("udp: no memory to tell vCPU %u of port %u", cpu, port);
    return true;
}

bool udp_send(uint16_t port, const struct udp_peer *to, struct iobuf *payload)
{
    struct rt_address there = { .family = RT_AF_INET, .port = to->port, .address = to->ip };
    struct udp_binding *binding = udp_find(swap16(port));
    bool fits = payload->len <= UDP_MAX_PAYLOAD;

    if (binding == NULL && port && fits) {
        spin_lock(&udp_lock);
        binding = udp_find(swap16(port));
        if (binding == NULL)
            binding = udp_open(swap16(port));
        spin_unlock(&udp_lock);
    }
    /* What the kernel has no room for is lost, as on a wire. */
    if (binding && fits)
        rt_syscall(RT_NR_SENDTO, binding->sockets[cpu_id()].fd, (long)payload->data, payload->len, 0, (long)&there, sizeof(there));
    iobuf_free(payload);
    return binding && fits;
}

/* The address that we would send from. */
void udp_init(void)
{
    struct rt_address address = { .family = RT_AF_INET, .port = swap16(9), .address = __builtin_bswap32(ELSEWHERE) };
    uint32_t size = sizeof(address);
    long fd = rt_syscall(RT_NR_SOCKET, RT_AF_INET, RT_SOCK_DGRAM, 0, 0, 0, 0);

    udp_address = __builtin_bswap32(0x7F000001u);
    if (fd < 0)
        return;
    if (rt_syscall(RT_NR_CONNECT, fd, (long)&address, sizeof(address), 0, 0, 0) == 0 &&
        rt_syscall(RT_NR_GETSOCKNAME, fd, (long)&address, (long)&size, 0, 0, 0) == 0)
        udp_address = address.address;
    rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
}

uint32_t net_address(void)
{
    return udp_address;
}
