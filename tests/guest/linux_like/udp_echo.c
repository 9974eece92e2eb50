/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Not a test by itself: `udp_echo THREADS` sends every datagram to port 7 back, for tests that send frames. */
#include "check.h"
#include <netinet/in.h>
#include <sys/socket.h>

static int sock;

static void *serve(void *arg)
{
    static __thread char buf[2048];
    for (;;) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(sock, buf, sizeof buf, 0, (void *)&from, &len);
        CHECK(n >= 0);
        CHECK(sendto(sock, buf, (size_t)n, 0, (void *)&from, len) == n || errno == EDESTADDRREQ || errno == ENOBUFS);
    }
    return arg;
}

int main(int argc, char **argv)
{
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(7) };
    pthread_t t;
    sock = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(sock >= 0 && bind(sock, (void *)&any, sizeof any) == 0);
    for (int i = 1; i < (argc > 1 ? atoi(argv[1]) : 1); i++)
        CHECK(pthread_create(&t, NULL, serve, NULL) == 0);
    printf("udp_echo: ready\n");
    fflush(stdout);
    serve(NULL);
}
