/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP sockets: making and naming them, and who listens on which port. */
#include "socket.h"
#include "../kernel/byteorder.h"

#define LINUX_SOCK_DGRAM 2
#define LINUX_SOCK_TYPE 0xF
#define LINUX_SOCK_NONBLOCK 04000
#define LINUX_SOL_SOCKET 1
#define LINUX_SO_REUSEPORT 15
#define LINUX_SO_INCOMING_CPU 49
#define FIRST_EPHEMERAL 32768u
#define SOCKET_PORTS 32u

static struct socket_port socket_ports[SOCKET_PORTS];
static unsigned socket_port_count;
static struct spinlock socket_ports_lock;

int64_t linux_socket(uint64_t family, uint64_t type, uint64_t protocol);
int64_t linux_bind(uint64_t fd, const struct linux_address *here, uint64_t bytes);
int64_t linux_connect(uint64_t fd, const struct linux_address *there, uint64_t bytes);
int64_t linux_setsockopt(uint64_t fd, uint64_t level, uint64_t name, const uint32_t *value, uint64_t bytes);
int64_t linux_getsockname(uint64_t fd, struct linux_address *here, uint32_t *bytes);

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

int64_t socket_bind(struct socket *socket, uint16_t number)
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
