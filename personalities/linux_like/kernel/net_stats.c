/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What became of packets (RFC 4293, RFC 4113): a set of counters a vCPU, summed when /proc/net/snmp or /proc/net/dev is read. */
#include "defs.h"
#include "fs.h"
#include "net.h"
#include "proc.h"

struct net_stats net_stats[MAX_CPUS];

static u64 stat_sum(u32 which)
{
    u64 n = 0;
    for (u32 i = 0; i < ncpus; i++)
        n += READ_ONCE(net_stats[i].n[which]);
    return n;
}

static u32 stat_show(char *buf, u32 room)
{
    return (u32)snprintk(buf, room, "Ip: InReceives InHdrErrors InAddrErrors InDiscards InDelivers OutRequests OutNoRoutes\nIp: %lu %lu %lu %lu %lu %lu %lu\n"
        "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors InCsumErrors MemErrors\nUdp: %lu %lu %lu %lu %lu %lu %lu\n",
        stat_sum(IP_IN_RECEIVES), stat_sum(IP_IN_HDR_ERRORS), stat_sum(IP_IN_ADDR_ERRORS), stat_sum(IP_IN_DISCARDS), stat_sum(IP_IN_DELIVERS),
        stat_sum(IP_OUT_REQUESTS), stat_sum(IP_OUT_NO_ROUTES), stat_sum(UDP_IN_DATAGRAMS), stat_sum(UDP_NO_PORTS), stat_sum(UDP_IN_ERRORS),
        stat_sum(UDP_OUT_DATAGRAMS), stat_sum(UDP_RCVBUF_ERRORS), stat_sum(UDP_CSUM_ERRORS), stat_sum(UDP_MEM_ERRORS));
}

static u32 stat_show_dev(char *buf, u32 room)
{
    u32 n = (u32)snprintk(buf, room, "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n");
    u32 drops = 0;
    for (u32 i = 0; eth_dev && i < eth_dev->nqueues; i++)
        drops += READ_ONCE(eth_dev->queues[i]->drops);
    return eth_dev ? n + (u32)snprintk(buf + n, room - n, "  %s: %lu %lu 0 0 0 0 0 0 %lu %lu 0 %u 0 0 0 0\n", eth_dev->name, stat_sum(DEV_RX_BYTES),
                                       stat_sum(DEV_RX_PACKETS), stat_sum(DEV_TX_BYTES), stat_sum(DEV_TX_PACKETS), drops) : n;
}

static void stat_show_sock(const struct sock *sk, u32 bucket, void *arg)
{
    proc_printf(arg, "%5u: %08X:%04X %08X:%04X %02X %08X:%08X 00:00000000 00000000     0        0 0 2 0000000000000000 %u\n", bucket, sk->laddr, ntohs(sk->lport), sk->raddr,
                ntohs(sk->rport), sk->rport ? 1 : 7, sk->wmem - 1, sk->rmem, sk->drops);
}

static u32 stat_show_udp(char *buf, u32 room)
{
    struct proc_out o = { buf, room, 0 };
    proc_printf(&o, "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n");
    udp_for_each(stat_show_sock, &o);
    return o.at;
}

void stat_init(void)
{
    proc_make("/proc/net/udp", stat_show_udp);
    proc_make("/proc/net/snmp", stat_show);
    proc_make("/proc/net/dev", stat_show_dev);
}
