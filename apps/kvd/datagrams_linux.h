/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams by system calls, copied or (--zero-copy) lent. Part of port_linux.c. */
#define KVD_DATAGRAM 65536 /* larger than any UDP payload over IPv4 */

/* What MSG_ZEROCOPY passes on linux_like instead of bytes (its kernel/net.h): addresses in the mapping of its packet buffers. */
struct kvd_loan {
    uint64_t data;  /* to the kernel: the datagram that is done with; from it: the datagram */
    uint64_t spare; /* where an answer may be written; 0: asks for one */
};

struct kvd_thread {
    struct kvd *kvd;
    int socket;
    bool pinned, zero_copy;
    struct kvd_loan loan;
    unsigned worker;
    struct rt_address client;
    uint8_t answer[KVD_UDP_PAYLOAD];
    uint8_t datagram[KVD_DATAGRAM];
};

#define KVD_POOL_GET 0x6b01 /* ioctl of linux_like: one more empty buffer */

/* Only the datagrams after an answer's first have to ask. */
static uint8_t *kvd_port_spare(struct kvd_thread *thread)
{
    if (thread->loan.spare == 0 &&
        rt_syscall(RT_NR_IOCTL, thread->socket, KVD_POOL_GET, (long)&thread->loan.spare, 0, 0, 0) < 0)
        return NULL;
    return (uint8_t *)thread->loan.spare;
}

static uint8_t *kvd_port_begin(void *ctx, size_t *cap)
{
    struct kvd_thread *thread = ctx;
    *cap = sizeof thread->answer;
    return thread->zero_copy ? kvd_port_spare(thread) : thread->answer;
}

/* UDP: an answer that cannot be sent is lost. */
static void kvd_port_end(void *ctx, uint8_t *buffer, size_t length)
{
    struct kvd_thread *thread = ctx;
    int flags = thread->zero_copy ? RT_MSG_ZEROCOPY : 0;
    long sent = rt_syscall(RT_NR_SENDTO, thread->socket, (long)buffer, (long)length, flags, (long)&thread->client,
                           sizeof thread->client);
    if (thread->zero_copy && sent >= 0)
        thread->loan.spare = 0;
}

static _Noreturn void kvd_port_serve(void *argument)
{
    struct kvd_thread *thread = argument;
    struct kvd_sink sink = {kvd_port_begin, kvd_port_end, thread};
    if (thread->pinned)
        kvd_port_pin(thread->worker);
    for (;;) {
        uint32_t client_size = sizeof thread->client;
        void *into = thread->zero_copy ? (void *)&thread->loan : thread->datagram;
        size_t room = thread->zero_copy ? sizeof thread->loan : sizeof thread->datagram;
        long length = rt_syscall(RT_NR_RECVFROM, thread->socket, (long)into, (long)room,
                                 thread->zero_copy ? RT_MSG_ZEROCOPY : 0, (long)&thread->client, (long)&client_size);
        const uint8_t *datagram = thread->zero_copy ? (const uint8_t *)thread->loan.data : thread->datagram;
        if (length >= 0)
            kvd_serve(thread->kvd, thread->worker, datagram, (size_t)length, &sink);
        else if (length != -RT_EINTR && length != -RT_EAGAIN)
            kvd_die(1, "cannot receive from the socket", "");
    }
}
