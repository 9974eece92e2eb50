// SPDX-License-Identifier: GPL-2.0-or-later
/* lo and eth0, static. Source: netdevice(7). */
#include "init.h"

enum { SIOCADDRT = 0x890B, SIOCGIFFLAGS = 0x8913, SIOCSIFFLAGS = 0x8914, SIOCSIFADDR = 0x8916, SIOCSIFNETMASK = 0x891C,
       IFF_UP = 1, RTF_UP = 1, RTF_GATEWAY = 2, AF_INET = 2, SOCK_DGRAM = 2, ENODEV = 19 };

struct interface { char name[16]; union { struct rt_address address; int16_t flags; char room[24]; } of; };
struct route { uint64_t pad1; struct rt_address to, gateway, mask; uint16_t flags; int16_t pad2; uint64_t pad3; void *pad4; int16_t metric; char *device; uint64_t mtu, window; uint16_t rtt; };

static long control(long request, void *argument)
{
    long fd = sys(NR_SOCKET, AF_INET, SOCK_DGRAM, 0);
    long result = fd < 0 ? fd : sys(NR_IOCTL, fd, request, (long)argument);
    sys(NR_CLOSE, fd, 0, 0);
    return result;
}

static uint32_t parse_address(const char *text, unsigned *prefix)
{
    uint32_t address = 0, part = 0;
    for (; *text != '\0' && *text != '/'; text++) {
        if (*text == '.') {
            address = address << 8 | part;
            part = 0;
        } else {
            part = part * 10 + (uint32_t)(*text - '0');
        }
    }
    *prefix = 0;
    if (*text == '/')
        while (*++text != '\0')
            *prefix = *prefix * 10 + (unsigned)(*text - '0');
    return __builtin_bswap32(address << 8 | part);
}

static void set_address(struct interface *i, long request, uint32_t address, const char *what)
{
    i->of.address = (struct rt_address){ .family = AF_INET, .address = address };
    long result = control(request, i);
    if (result == -ENODEV)
        fail("found no network device", "", 0);
    if (result < 0)
        fail("cannot set ", what, result);
}

static void bring_up(struct interface *i)
{
    long result = control(SIOCGIFFLAGS, i);
    i->of.flags |= IFF_UP;
    if (result >= 0)
        result = control(SIOCSIFFLAGS, i);
    if (result < 0)
        fail("cannot bring up ", i->name, result);
}

void network_loopback(void)
{
    struct interface loopback = { .name = "lo" };
    bring_up(&loopback);
}

void network_address(const char *with_prefix)
{
    struct interface device = { .name = "eth0" };
    unsigned prefix;
    uint32_t address = parse_address(with_prefix, &prefix);
    set_address(&device, SIOCSIFADDR, address, "eth0's address");
    set_address(&device, SIOCSIFNETMASK, __builtin_bswap32(prefix ? ~0u << (32 - prefix) : 0), "eth0's mask");
    bring_up(&device);
}

void network_gateway(const char *address)
{
    unsigned prefix;
    struct route route = { .flags = RTF_UP | RTF_GATEWAY };
    route.to.family = route.mask.family = route.gateway.family = AF_INET;
    route.gateway.address = parse_address(address, &prefix);
    long result = control(SIOCADDRT, &route);
    if (result < 0)
        fail("cannot set the gateway ", address, result);
}
