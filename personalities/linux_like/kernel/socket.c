/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket calls. One kind of socket: IPv4 datagram. */
#include "defs.h"
#include "net.h"
#include "task.h"

#define MAX_MSG_IOV 64

void socket_init(void)
{
    skb_init();
    netdev_init();
    sock_mem_init();
    fib_init();
    stat_init();
    udp_init();
    lo_init();
}

static void socket_message(struct msg *m, struct iovec *v, u64 buf, u64 n, struct sockaddr_in *name, u32 flags)
{
    *v = (struct iovec){ buf, n };
    *m = (struct msg){ .name = name, .iov = v, .niov = 1, .size = n, .flags = flags };
}

static ssize_t socket_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct msg m;
    struct iovec v;
    socket_message(&m, &v, buf, n, NULL, f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0);
    return udp_recvmsg(f->priv, &m);
}

static ssize_t socket_write(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct msg m;
    struct iovec v;
    socket_message(&m, &v, buf, n, NULL, 0);
    return udp_sendmsg(f->priv, &m);
}

static u32 socket_poll(struct file *f, struct poll_table *pt) { return udp_poll(f, f->priv, pt); }
static void socket_release(struct file *f) { udp_sock_release(f->priv); }

static long socket_spare(struct loan *l)
{
    u8 *spare = current->mm->pool_at ? pool_alloc() : NULL;
    if (!spare)
        return -ENOBUFS;
    l->spare = pool_lend(current->mm, spare + TX_HEADROOM);
    return 0;
}

static long socket_ioctl(struct file *f, u32 cmd, u64 arg)
{
    enum { FIONREAD = 0x541b, POOL_GET = 0x6b01 };
    struct sock *sk = f->priv;
    if (cmd == POOL_GET) {
        struct loan l = { 0 };
        return socket_spare(&l) ? -ENOBUFS : put_user64(arg, l.spare);
    }
    if (cmd != FIONREAD)
        return ip_route_ioctl(cmd, arg);
    struct skb *first = udp_peek(sk);
    u32 n = first ? first->len : 0;
    if (first)
        skb_free(first);
    return put_user32(arg, n);
}

static long socket_mmap(struct file *f, u32 prot) { return pool_map(prot); }

static const struct file_ops socket_ops = { .mmap = socket_mmap, .read = socket_read, .write = socket_write, .poll = socket_poll,
                                            .ioctl = socket_ioctl, .release = socket_release };

static struct file *socket_get(int fd, long *err)
{
    struct file *f = file_get(fd);
    *err = f ? -ENOTSOCK : -EBADF;
    if (f && f->ops != &socket_ops) {
        file_put(f);
        f = NULL;
    }
    return f;
}

long sys_socket(u32 family, u32 type, u32 protocol)
{
    if (family != AF_INET)
        return -EAFNOSUPPORT;
    if ((type & 15) != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (protocol && protocol != IPPROTO_UDP)
        return -EPROTONOSUPPORT;
    struct sock *sk = udp_sock_new();
    struct file *f = sk ? file_new(&socket_ops, sk, O_RDWR | (type & SOCK_NONBLOCK)) : NULL;
    if (!f) {
        if (sk)
            udp_sock_release(sk);
        return -ENOMEM;
    }
    return fd_install(f, 0, type & SOCK_CLOEXEC);
}

static long socket_address(struct sockaddr_in *a, u64 uaddr, u32 len)
{
    *a = (struct sockaddr_in){ 0 };
    if (len < sizeof *a)
        return -EINVAL;
    if (copy_from_user(a, uaddr, sizeof *a))
        return -EFAULT;
    return a->family == AF_INET ? 0 : -EAFNOSUPPORT;
}

/* What fits of the address, and its true length. */
static long socket_put_address(const struct sockaddr_in *a, u64 uaddr, u64 ulen)
{
    u32 room;
    if (!uaddr)
        return 0;
    if (get_user32(&room, ulen))
        return -EFAULT;
    if (copy_to_user(uaddr, a, MIN(room, (u32)sizeof *a)))
        return -EFAULT;
    return put_user32(ulen, sizeof *a);
}

long sys_bind(int fd, u64 uaddr, u32 len)
{
    struct sockaddr_in a;
    long r;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    r = socket_address(&a, uaddr, len);
    if (!r)
        r = udp_bind(f->priv, a.addr, a.port);
    file_put(f);
    return r;
}

long sys_connect(int fd, u64 uaddr, u32 len)
{
    struct sockaddr_in a;
    long r;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    r = socket_address(&a, uaddr, len);
    if (!r)
        r = udp_connect(f->priv, a.addr, a.port);
    file_put(f);
    return r;
}

static long socket_name(int fd, u64 uaddr, u64 ulen, bool peer)
{
    long r;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    struct sock *sk = f->priv;
    struct sockaddr_in a = { AF_INET, peer ? sk->rport : sk->lport, peer ? sk->raddr : sk->laddr, { 0 } };
    r = peer && !sk->rport ? -ENOTCONN : socket_put_address(&a, uaddr, ulen);
    file_put(f);
    return r;
}

long sys_getsockname(int fd, u64 uaddr, u64 ulen) { return socket_name(fd, uaddr, ulen, false); }
long sys_getpeername(int fd, u64 uaddr, u64 ulen) { return socket_name(fd, uaddr, ulen, true); }

enum { SOL_SOCKET = 1, SO_REUSEADDR = 2, SO_TYPE = 3, SO_ERROR = 4, SO_BROADCAST = 6, SO_SNDBUF = 7, SO_RCVBUF = 8,
       SO_REUSEPORT = 15, SO_RCVTIMEO = 20, SO_SNDTIMEO = 21, SO_SNDBUFFORCE = 32, SO_RCVBUFFORCE = 33, SO_PROTOCOL = 38,
       SO_DOMAIN = 39, SO_INCOMING_CPU = 49 };

long sys_setsockopt(int fd, u32 level, u32 name, u64 val, u32 len)
{
    enum { RCVBUF_MIN = 2304, RCVBUF_MAX = 16 << 20, SNDBUF_MIN = 4608, SNDBUF_MAX = 16 << 20 };
    long r;
    u32 v = 0;
    struct timeval tv;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    struct sock *sk = f->priv;
    r = len < 4 ? -EINVAL : get_user32(&v, val);
    if (!r && level == SOL_SOCKET) {
        switch (name) {
        case SO_REUSEADDR: sk->reuseaddr = v; break;
        case SO_REUSEPORT: sk->reuseport = v; break;
        case SO_BROADCAST: sk->broadcast = v; break;
        case SO_SNDBUF: case SO_SNDBUFFORCE: sk->sndbuf = MAX(MIN(v, (u32)SNDBUF_MAX) * 2, (u32)SNDBUF_MIN); break;
        case SO_RCVBUF: case SO_RCVBUFFORCE: sk->rcvbuf = MIN(MAX(v, (u32)RCVBUF_MIN), (u32)RCVBUF_MAX) * 2; break;
        case SO_RCVTIMEO:
            if (len < sizeof tv || copy_from_user(&tv, val, sizeof tv) || tv.sec < 0 || tv.usec < 0)
                r = -EINVAL;
            else
                sk->rcvtimeo = (u64)tv.sec * 1000000000ul + (u64)tv.usec * 1000ul;
            break;
        case SO_INCOMING_CPU: sk->incoming_cpu = MIN(v, (u32)MAX_CPUS); break;
        case SO_SNDTIMEO: break; /* sending does not block */
        default: r = -ENOPROTOOPT;
        }
    } else if (!r) {
        r = level == 0 ? 0 : -ENOPROTOOPT; /* IP options change nothing here: no MTU discovery, no TOS */
    }
    file_put(f);
    return r;
}

long sys_getsockopt(int fd, u32 level, u32 name, u64 val, u64 ulen)
{
    long r;
    u32 v = 0, len;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    struct sock *sk = f->priv;
    r = level == SOL_SOCKET ? get_user32(&len, ulen) : -ENOPROTOOPT;
    if (!r) {
        switch (name) {
        case SO_REUSEADDR: v = sk->reuseaddr; break;
        case SO_REUSEPORT: v = sk->reuseport; break;
        case SO_BROADCAST: v = sk->broadcast; break;
        case SO_TYPE: v = SOCK_DGRAM; break;
        case SO_ERROR: v = 0; break;
        case SO_SNDBUF: v = sk->sndbuf; break;
        case SO_RCVBUF: v = sk->rcvbuf; break;
        case SO_PROTOCOL: v = IPPROTO_UDP; break;
        case SO_DOMAIN: v = AF_INET; break;
        case SO_INCOMING_CPU: v = sk->incoming_cpu < MAX_CPUS ? sk->incoming_cpu : ~0u; break;
        default: r = -ENOPROTOOPT;
        }
        if (!r)
            r = copy_to_user(val, &v, MIN(len, 4u)) ? -EFAULT : put_user32(ulen, MIN(len, 4u));
    }
    file_put(f);
    return r;
}

long sys_sendto(int fd, u64 buf, u64 n, u32 flags, u64 uaddr, u32 alen)
{
    struct sockaddr_in a;
    struct msg m;
    struct iovec v;
    long r;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    r = uaddr ? socket_address(&a, uaddr, alen) : 0;
    socket_message(&m, &v, buf, n, uaddr ? &a : NULL, flags);
    if (!r)
        r = udp_sendmsg(f->priv, &m);
    file_put(f);
    return r;
}

/* MSG_ZEROCOPY: takes back what the caller is done with, and sees that it has a buffer for an answer. */
static long socket_loan(struct loan *l, u64 ubuf, u64 n)
{
    struct mm *mm = current->mm;
    if (!mm->pool_at || n != sizeof *l)
        return -EINVAL;
    if (copy_from_user(l, ubuf, sizeof *l) || (l->data && !pool_take(mm, l->data, NULL, true)))
        return -EFAULT;
    l->data = 0;
    if (!l->spare && socket_spare(l))
        return -ENOBUFS;
    return copy_to_user(ubuf, l, sizeof *l) ? -EFAULT : 0; /* before it sleeps: a signal may end the call */
}

long sys_recvfrom(int fd, u64 buf, u64 n, u32 flags, u64 uaddr, u64 ulen)
{
    struct sockaddr_in a;
    struct msg m;
    struct iovec v;
    struct loan loan;
    long r;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    socket_message(&m, &v, buf, n, uaddr ? &a : NULL, flags | (f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0));
    r = 0;
    if (flags & MSG_ZEROCOPY) {
        r = socket_loan(&loan, buf, n);
        m.loan = &loan;
    }
    if (r >= 0)
        r = udp_recvmsg(f->priv, &m);
    if (r >= 0 && m.loan && put_user64(buf + offsetof(struct loan, data), loan.data))
        r = -EFAULT;
    if (r >= 0 && uaddr && socket_put_address(&a, uaddr, ulen))
        r = -EFAULT;
    file_put(f);
    return r;
}

struct full_msg { struct user_msghdr u; struct msg m; struct sockaddr_in name; struct iovec iov[MAX_MSG_IOV]; };

static long message_get(struct full_msg *x, u64 umsg, u32 flags, bool sending)
{
    if (copy_from_user(&x->u, umsg, sizeof x->u))
        return -EFAULT;
    if (x->u.iovlen > MAX_MSG_IOV)
        return -EMSGSIZE;
    if (copy_from_user(x->iov, x->u.iov, x->u.iovlen * sizeof *x->iov))
        return -EFAULT;
    x->m = (struct msg){ .name = x->u.name ? &x->name : NULL, .iov = x->iov, .niov = (u32)x->u.iovlen, .flags = flags };
    for (u32 i = 0; i < x->m.niov; i++) {
        if (x->iov[i].len > 1ul << 31)
            return -EINVAL;
        x->m.size += x->iov[i].len;
    }
    return sending && x->u.name ? socket_address(&x->name, x->u.name, (u32)x->u.namelen) : 0;
}

static long message_send(struct file *f, u64 umsg, u32 flags)
{
    struct full_msg x;
    long r = message_get(&x, umsg, flags, true);
    return r ? r : udp_sendmsg(f->priv, &x.m);
}

static long message_recv(struct file *f, u64 umsg, u32 flags)
{
    struct full_msg x;
    long r = message_get(&x, umsg, flags | (f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0), false);
    if (r)
        return r;
    r = udp_recvmsg(f->priv, &x.m);
    if (r < 0)
        return r;
    if (x.m.has_name && copy_to_user(x.u.name, &x.name, MIN((u64)MAX(x.u.namelen, 0), sizeof x.name)))
        return -EFAULT;
    x.u.namelen = x.m.has_name ? (s32)sizeof x.name : 0;
    x.u.controllen = 0;
    x.u.flags = x.m.out_flags;
    return copy_to_user(umsg, &x.u, sizeof x.u) ? -EFAULT : r;
}

static long message_call(int fd, u64 umsg, u32 flags, long (*fn)(struct file *, u64, u32))
{
    long r;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    r = fn(f, umsg, flags);
    file_put(f);
    return r;
}

/* Several messages a call: ends at the first that fails, and reports it only if none went before. */
static long message_many(int fd, u64 uvec, u32 n, u32 flags, long (*fn)(struct file *, u64, u32))
{
    long r;
    u32 done = 0;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    for (r = 0; done < MIN(n, 1024u); done++) {
        u64 at = uvec + done * sizeof(struct mmsghdr);
        r = fn(f, at, flags & ~(u32)MSG_WAITFORONE);
        if (r < 0)
            break;
        if (put_user32(at + offsetof(struct mmsghdr, len), (u32)r)) {
            r = -EFAULT;
            break;
        }
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
    }
    file_put(f);
    return done ? (long)done : r;
}

long sys_sendmsg(int fd, u64 umsg, u32 flags) { return message_call(fd, umsg, flags, message_send); }
long sys_recvmsg(int fd, u64 umsg, u32 flags) { return message_call(fd, umsg, flags, message_recv); }
long sys_sendmmsg(int fd, u64 uvec, u32 n, u32 flags) { return message_many(fd, uvec, n, flags, message_send); }
long sys_recvmmsg(int fd, u64 uvec, u32 n, u32 flags, u64 timeout) { return message_many(fd, uvec, n, flags, message_recv); }

/* Nothing is in the way of a datagram; only the question whether there is a peer has an answer. */
long sys_shutdown(int fd, u32 how)
{
    long r;
    struct file *f = socket_get(fd, &r);
    if (!f)
        return r;
    struct sock *sk = f->priv;
    r = sk->rport ? 0 : -ENOTCONN;
    file_put(f);
    return r;
}
