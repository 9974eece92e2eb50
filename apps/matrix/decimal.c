/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text to double by Clinger's exact case (How to read floating point numbers accurately, 1990); double to text by its whole decimal expansion. */
#include "decimal.h"

#define WORDS 80u                       /* 32 bits each: 2^-1074 is 2,494 bits of 5s */
#define DIGITS 800u

static const double decimal_tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

static bool decimal_scaled(uint64_t digits, int tens, double *value)
{
    if (digits > 1ull << 53 || tens > 22 || tens < -22) {
        *value = 0;
        return digits == 0;
    }
    *value = tens < 0 ? (double)digits / decimal_tens[-tens] : (double)digits * decimal_tens[tens];
    return true;
}

static bool decimal_read_bits(const char *text, double *value)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < 16; i++) {
        char c = text[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;

        if (digit == 16)
            return false;
        bits = bits << 4 | digit;
    }
    memcpy(value, &bits, sizeof(bits));
    return true;
}

static bool decimal_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool decimal_read_tens(const char *at, const char *end, int *tens)
{
    int sign = 1, value = 0;

    if (at < end && (*at == '-' || *at == '+'))
        sign = *at++ == '-' ? -1 : 1;
    if (at == end)
        return false;
    for (; at < end && *at >= '0' && *at <= '9' && value < 10000; at++)
        value = value * 10 + (*at - '0');
    *tens += sign * value;
    return at == end;
}

bool decimal_read(const char *text, size_t length, double *value)
{
    const char *at = text, *end = text + length;
    uint64_t digits = 0;
    int tens = 0, any = 0;
    bool negative = false, point = false;

    if (length == 17 && *text == 'x')
        return decimal_read_bits(text + 1, value);
    if (at < end && (*at == '-' || *at == '+'))
        negative = *at++ == '-';
    if (decimal_word(at, (size_t)(end - at), "inf") || decimal_word(at, (size_t)(end - at), "nan")) {
        uint64_t bits = (negative ? 0xFFFull : 0x7FFull) << 52 | (*at == 'n' ? 1ull << 51 : 0);

        memcpy(value, &bits, sizeof(bits));
        return true;
    }
    for (; at < end && ((*at >= '0' && *at <= '9') || (*at == '.' && !point)); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        if (digits > (1ull << 53) / 10 + 1)
            return false;
        digits = digits * 10 + (uint64_t)(*at - '0');
        tens -= point;
        any = 1;
        if (point && digits == 0)
            tens = tens < -400 ? -400 : tens;
    }
    if (!any || (at < end && *at != 'e' && *at != 'E') || (at < end && !decimal_read_tens(at + 1, end, &tens)) ||
        !decimal_scaled(digits, tens, value))
        return false;
    if (negative)
        *value = -*value;
    return true;
}

unsigned decimal_write_bits(double value, char *out)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return (unsigned)format_string(out, DECIMAL_TEXT, "x%016lx", bits);
}

/* ---- long numbers ---- */

static void decimal_times(uint32_t *words, uint32_t factor)
{
    uint64_t carry = 0;

    for (unsigned i = 0; i < WORDS; i++) {
        carry += (uint64_t)words[i] * factor;
        words[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static uint32_t decimal_divide(uint32_t *words, uint32_t by, bool *zero)
{
    uint64_t rest = 0;

    *zero = true;
    for (unsigned i = WORDS; i-- > 0;) {
        rest = rest << 32 | words[i];
        words[i] = (uint32_t)(rest / by);
        *zero &= words[i] == 0;
        rest %= by;
    }
    return (uint32_t)rest;
}

/* All decimal digits of a positive number, first to last; `point`: how many stand before it. */
static unsigned decimal_expand(uint64_t bits, char *digits, int *point)
{
    uint32_t words[WORDS] = { 0 };
    char backwards[DIGITS + 9];
    unsigned count = 0, biased = (unsigned)(bits >> 52) & 0x7FF;
    uint64_t mantissa = (bits & ((1ull << 52) - 1)) | (biased ? 1ull << 52 : 0);
    int twos = (int)(biased ? biased : 1) - 1075, fraction = 0;
    bool zero = false;

    words[0] = (uint32_t)mantissa;
    words[1] = (uint32_t)(mantissa >> 32);
    for (; twos > 0; twos--)
        decimal_times(words, 2);
    for (; twos < 0; twos++, fraction++)
        decimal_times(words, 5);
    while (!zero) {
        uint32_t nine = decimal_divide(words, 1000000000u, &zero);

        for (unsigned i = 0; i < 9 && count < sizeof(backwards); i++, nine /= 10)
            backwards[count++] = (char)('0' + nine % 10);
    }
    while (count > 1 && backwards[count - 1] == '0')
        count--;
    for (unsigned i = 0; i < count; i++)
        digits[i] = backwards[count - 1 - i];
    *point = (int)count - fraction;
    return count;
}

/* The first `most` digits, rounded to nearest, ties to even; may become one more before the point. */
static unsigned decimal_round(char *digits, unsigned count, unsigned most, int *point)
{
    if (count > most) {
        bool more = digits[most] > '5', tie = digits[most] == '5';

        for (unsigned i = most + 1; i < count && tie; i++)
            if (digits[i] != '0') {
                more = true;
                tie = false;
            }
        count = most;
        if (more || (tie && (digits[most - 1] - '0') % 2)) {
            unsigned i = most;

            while (i > 0 && digits[i - 1] == '9')
                digits[--i] = '0';
            if (i > 0)
                digits[i - 1]++;
            else {
                digits[0] = '1';
                (*point)++;
            }
        }
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    return count;
}

static unsigned decimal_layout(const char *digits, unsigned count, int point, char *out)
{
    char *at = out;

    if (point > 17 || point < -4) {
        *at++ = digits[0];
        if (count > 1) {
            *at++ = '.';
            memcpy(at, digits + 1, count - 1);
            at += count - 1;
        }
        return (unsigned)(at - out) + (unsigned)format_string(at, 8, "e%d", point - 1);
    }
    if (point <= 0) {
        *at++ = '0';
        *at++ = '.';
        for (int i = point; i < 0; i++)
            *at++ = '0';
    }
    for (int i = 0; i < (int)count || i < point; i++) {
        if (i == point && i > 0)
            *at++ = '.';
        *at++ = i < (int)count ? digits[i] : '0';
    }
    return (unsigned)(at - out);
}

unsigned decimal_write(double value, char *out)
{
    char digits[DIGITS + 9], shorter[DIGITS + 9];
    uint64_t bits;
    unsigned at = 0;
    int point, shorter_point;
    double again;

    memcpy(&bits, &value, sizeof(bits));
    if (value != value)
        return (unsigned)format_string(out, DECIMAL_TEXT, "nan");
    if (bits >> 63)
        out[at++] = '-';
    bits &= ~0ull >> 1;
    if (bits == 0)
        return at + (unsigned)format_string(out + at, DECIMAL_TEXT - at, "0");
    if (bits == 0x7FFull << 52)
        return at + (unsigned)format_string(out + at, DECIMAL_TEXT - at, "inf");

    unsigned count = decimal_expand(bits, digits, &point);

    memcpy(shorter, digits, count);
    shorter_point = point;

    unsigned few = decimal_round(shorter, count, 15, &shorter_point), length = decimal_layout(shorter, few, shorter_point, out + at);

    if (decimal_read(out + at, length, &again) && memcmp(&again, &bits, sizeof(bits)) == 0) {
        out[at + length] = '\0';
        return at + length;
    }
    count = decimal_round(digits, count, 17, &point);
    length = decimal_layout(digits, count, point, out + at);
    out[at + length] = '\0';
    return at + length;
}
