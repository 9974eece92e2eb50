// SPDX-License-Identifier: GPL-2.0-or-later
/* Lines for the console, and whole files. */
#include "init.h"

size_t length_of(const char *text)
{
    size_t n = 0;
    while (text[n] != '\0')
        n++;
    return n;
}

bool starts(const char *text, const char *with)
{
    while (*with != '\0')
        if (*text++ != *with++)
            return false;
    return true;
}

bool same(const char *a, const char *b)
{
    return starts(a, b) && starts(b, a);
}

void text_add(struct text *t, const char *more)
{
    while (*more != '\0' && t->used < sizeof t->data - 1)
        t->data[t->used++] = *more++;
}

void text_number(struct text *t, uint64_t number, unsigned base)
{
    char digits[24], *at = digits + sizeof digits - 1;
    *at = '\0';
    do {
        *--at = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    text_add(t, at);
}

void text_line(struct text *t)
{
    t->data[t->used++] = '\n';
    for (unsigned at = 0; at < t->used;) {
        long n = sys(NR_WRITE, 1, (long)(t->data + at), (long)(t->used - at));
        if (n <= 0 && n != -EINTR)
            break;
        at += n > 0 ? (unsigned)n : 0;
    }
    t->used = 0;
}

long read_file(const char *path, char *to, size_t room)
{
    long fd = sys(NR_OPEN, (long)path, O_RDONLY, 0), n = 0;
    size_t used = 0;
    if (fd < 0)
        return fd;
    while (used < room - 1 && ((n = sys(NR_READ, fd, (long)(to + used), (long)(room - 1 - used))) > 0 || n == -EINTR))
        used += n > 0 ? (size_t)n : 0;
    sys(NR_CLOSE, fd, 0, 0);
    to[used] = '\0';
    return n < 0 ? n : (long)used;
}
