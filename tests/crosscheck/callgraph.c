/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program whose call graph has what profiles get wrong: recursion, tail calls, function pointers, longjmp, frames beyond a page. `callgraph N` does
 * work(N) once; `callgraph N PORT THREADS` does it for every datagram, whose first 8 bytes the answer repeats. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FUNCTION __attribute__((noinline, noclone, noipa))
typedef unsigned (*visitor)(unsigned);

FUNCTION unsigned leaf(unsigned x) { return (x * 2654435761u) ^ (x >> 7); }
FUNCTION unsigned tail(unsigned x) { return leaf(x ^ 0x55); }
FUNCTION unsigned tail_of_tail(unsigned x) { return tail(x + 3); }
FUNCTION unsigned fib(unsigned n) { return n < 2 ? leaf(n) & 1 : fib(n - 1) + fib(n - 2); }
FUNCTION unsigned odd(unsigned n);
FUNCTION unsigned even(unsigned n) { return n ? odd(n - 1) + 1 : leaf(n); }
FUNCTION unsigned odd(unsigned n) { return n ? even(n - 1) + 2 : 0; }

FUNCTION unsigned each(visitor f, unsigned n)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < n; i++) sum += f(i);
    return sum;
}

FUNCTION unsigned large_frame(unsigned n)
{
    volatile unsigned char room[20000];
    room[n % sizeof room] = (unsigned char)n;
    return room[n % sizeof room] + tail(n);
}

FUNCTION void thrower(void **buffer, unsigned n)
{
    if (!n) __builtin_longjmp(buffer, 1);
    thrower(buffer, n - 1);
    leaf(n);
}

FUNCTION unsigned catcher(unsigned n)
{
    void *buffer[5];
    if (!__builtin_setjmp(buffer)) thrower(buffer, n);
    return leaf(n);
}

FUNCTION unsigned work(unsigned n)
{
    return fib(n) + each(leaf, n) + each(tail_of_tail, n) + even(n) + large_frame(n) + catcher(n % 8) + each(catcher, 3);
}

static unsigned argument;
static int bound;

static void *serve(void *nothing)
{
    for (;;) {
        char text[2048];
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(bound, text, sizeof text, 0, (struct sockaddr *)&from, &length);
        if (n < 8) continue;
        n = 8 + snprintf(text + 8, sizeof text - 8, "%u\r\nEND\r\n", work(argument));
        sendto(bound, text, (size_t)n, 0, (struct sockaddr *)&from, length);
    }
    return nothing;
}

int main(int argc, char **argv)
{
    argument = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    if (argc < 4) {
        printf("%u\n", work(argument));
        return 0;
    }
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2])) };
    bound = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(bound, (struct sockaddr *)&to, sizeof to)) return 1;
    for (int i = 1; i < atoi(argv[3]); i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, NULL)) return 1;
    }
    serve(NULL);
    return 0;
}
