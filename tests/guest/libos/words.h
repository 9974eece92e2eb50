/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers and addresses among a test's words. */
#ifndef WORDS_H
#define WORDS_H

#include "libos.h"

static inline uint32_t test_number(const char *text)
{
    uint32_t number = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (uint32_t)(*text - '0');
    return number;
}

/* Behind a number. */
static inline const char *test_behind(const char *text)
{
    while (*text >= '0' && *text <= '9')
        text++;
    return *text ? text + 1 : text;
}

/* In network byte order; `rest`, unless NULL, is what comes behind it. */
static inline uint32_t test_ip(const char *text, const char **rest)
{
    uint32_t ip = 0;

    for (unsigned i = 0; i < 4; i++, text = test_behind(text))
        ip |= test_number(text) << 8 * i;
    if (rest)
        *rest = text;
    return ip;
}

#endif
