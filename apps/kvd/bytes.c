/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes, words and numbers. The loops are written out, by words, so that the core's own work stays its own wherever it
 * runs: a compiler would turn plain loops into calls of the system's memcpy.
 */
#include "internal.h"

#define KVD_NO_IDIOM __asm__ volatile("" ::: "memory")

static inline uint64_t kvd_load(const uint8_t *at)
{
    uint64_t word;
    __builtin_memcpy(&word, at, sizeof word);
    return word;
}

static inline void kvd_put(uint8_t *at, uint64_t word)
{
    __builtin_memcpy(at, &word, sizeof word);
}

void kvd_copy(uint8_t *to, const uint8_t *from, size_t length)
{
    while (length >= 32) {
        uint64_t a = kvd_load(from), b = kvd_load(from + 8), c = kvd_load(from + 16), d = kvd_load(from + 24);
        kvd_put(to, a);
        kvd_put(to + 8, b);
        kvd_put(to + 16, c);
        kvd_put(to + 24, d);
        to += 32;
        from += 32;
        length -= 32;
        KVD_NO_IDIOM;
    }
    while (length >= 8) {
        kvd_put(to, kvd_load(from));
        to += 8;
        from += 8;
        length -= 8;
        KVD_NO_IDIOM;
    }
    while (length-- > 0) {
        *to++ = *from++;
        KVD_NO_IDIOM;
    }
}

void kvd_fill(uint8_t *to, uint8_t value, size_t length)
{
    while (length-- > 0) {
        *to++ = value;
        KVD_NO_IDIOM;
    }
}

bool kvd_equal(const uint8_t *a, const uint8_t *b, size_t length)
{
    while (length >= 8) {
        if (kvd_load(a) != kvd_load(b))
            return false;
        a += 8;
        b += 8;
        length -= 8;
    }
    while (length-- > 0) {
        if (*a++ != *b++)
            return false;
    }
    return true;
}

bool kvd_is(struct kvd_span word, const char *text)
{
    size_t i = 0;
    for (; i < word.length; i++) {
        if (text[i] == '\0' || word.at[i] != (uint8_t)text[i])
            return false;
    }
    return text[i] == '\0';
}

/* Multiply and fold, a word at a time. It spreads keys; it does not withstand an adversary who chooses them. */
uint32_t kvd_hash(const uint8_t *key, size_t length)
{
    const uint64_t odd = 0x9E3779B97F4A7C15u;
    uint64_t hash = length * odd;
    while (length >= 8) {
        hash = (hash ^ kvd_load(key)) * odd;
        hash ^= hash >> 32;
        key += 8;
        length -= 8;
    }
    uint64_t rest = 0;
    while (length > 0)
        rest = rest << 8 | key[--length];
    hash = (hash ^ rest) * odd;
    hash ^= hash >> 29;
    hash *= 0xBF58476D1CE4E5B9u;
    return (uint32_t)(hash >> 32);
}

size_t kvd_digits(uint64_t value)
{
    size_t digits = 1;
    while (value >= 10) {
        value /= 10;
        digits++;
    }
    return digits;
}

size_t kvd_decimal(uint8_t *to, uint64_t value)
{
    size_t digits = kvd_digits(value);
    for (size_t i = digits; i-- > 0; value /= 10)
        to[i] = (uint8_t)('0' + value % 10);
    return digits;
}

static bool kvd_is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * memcached reads numbers with the C library's strtol family and accepts what follows them if it is white space; so "5 x" is
 * 5, and " +5" too. Returns the magnitude; false when there is no digit, or it does not fit, or something else follows.
 */
static bool kvd_parse(struct kvd_span text, uint64_t *magnitude, bool *negative)
{
    const uint8_t *at = text.at, *end = text.at + text.length;
    while (at < end && kvd_is_space(*at))
        at++;
    *negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    const uint8_t *digits = at;
    uint64_t value = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value))
            return false;
        if (__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    }
    *magnitude = value;
    return at > digits && (at == end || kvd_is_space(*at));
}

/* A minus sign is read as strtoull does, modulo 2^64, and refused when the outcome looks negative: "-1" is, "-0" is not. */
bool kvd_parse_unsigned(struct kvd_span text, uint64_t *value)
{
    uint64_t magnitude;
    bool negative;
    if (!kvd_parse(text, &magnitude, &negative))
        return false;
    *value = negative ? 0 - magnitude : magnitude;
    return !(negative && (int64_t)*value < 0);
}

bool kvd_parse_signed(struct kvd_span text, int64_t *value)
{
    uint64_t magnitude;
    bool negative;
    if (!kvd_parse(text, &magnitude, &negative) || magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}
