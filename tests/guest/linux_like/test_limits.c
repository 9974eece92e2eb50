/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a socket may hold: a full receive queue drops and counts, a full send side says so, and both come back; a peeked datagram stays. */
#include "check.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

static unsigned long counted(const char *what)
{
    char text[2048], *names = NULL, *values = NULL;
    int f = open("/proc/net/snmp", O_RDONLY);
    CHECK(f >= 0);
    ssize_t n = read(f, text, sizeof text - 1);
    CHECK(n > 0);
    close(f);
    text[n] = 0;
    names = strstr(text, "Udp: In");
    CHECK(names && (values = strstr(names + 1, "Udp: ")));
    values[-1] = 0;
    char *rest, *more, *v = strtok_r(values, " ", &more);
    for (char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest), v = strtok_r(NULL, " ", &more))
        if (!strcmp(name, what))
            return strtoul(v, NULL, 10);
    CHECK(!"no such counter");
    return 0;
}

int main(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(6000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0), small = 8192, held = 0;
    char big[1000] = "first", buf[1000];
    CHECK(bind(s, (void *)&a, sizeof a) == 0 && connect(c, (void *)&a, sizeof a) == 0);
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    unsigned long dropped = counted("RcvbufErrors"), got = counted("InDatagrams");
    for (int i = 0; i < 100; i++)
        CHECK(send(c, big, sizeof big, 0) == sizeof big);
    CHECK(recv(s, buf, sizeof buf, MSG_PEEK) == sizeof buf && !strcmp(buf, "first"));
    while (recv(s, buf, sizeof buf, MSG_DONTWAIT) == sizeof buf)
        held++;
    CHECK(held >= 2 && held <= 2 * small / (int)sizeof big);
    CHECK(counted("RcvbufErrors") - dropped == 100 - (unsigned long)held && counted("InDatagrams") - got == (unsigned long)held);
    for (int i = 0; i < 3 * held; i++) /* what was read is room again */
        CHECK(send(c, big, sizeof big, 0) == sizeof big && recv(s, buf, sizeof buf, MSG_DONTWAIT) == sizeof buf);
    CHECK(setsockopt(c, SOL_SOCKET, SO_SNDBUF, &(int){ 1 }, sizeof(int)) == 0);
    socklen_t len = sizeof small;
    CHECK(getsockopt(c, SOL_SOCKET, SO_SNDBUF, &small, &len) == 0 && small == 4608);
    struct pollfd p = { .fd = c, .events = POLLOUT };
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLOUT); /* the loopback holds nothing back */
    return success();
}
