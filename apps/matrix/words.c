/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "words.h"

bool matrix_number_at(const char *text, uint64_t most, uint64_t *number, const char **end)
{
    uint64_t value = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        if (value > (most - digit) / 10 || digit > most)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    *end = at;
    return at > text;
}

uint32_t matrix_address_at(const char *text, const char **end)
{
    uint32_t address = 0;
    uint64_t part;

    for (unsigned i = 0; i < 4; i++) {
        if ((i && *text++ != '.') || !matrix_number_at(text, 255, &part, &text))
            return 0;
        address |= (uint32_t)part << 8 * i;
    }
    if (end)
        *end = text;
    return address;
}

bool matrix_end_at(const char *text, struct matrix_end *found, const char **end)
{
    uint64_t number;
    const char *behind;

    if (matrix_number_at(text, 255, &number, &behind) && *behind == '@') {
        found->node = number;
        text = behind + 1;
    }
    found->ip = matrix_address_at(text, &text);
    if (found->ip && *text == ':' && (!matrix_number_at(text + 1, 65535, &found->port, &text) || found->port == 0))
        return false;
    *end = text;
    return found->ip != 0;
}

const char *matrix_word(int argc, char **argv, const char *key, const char *fallback)
{
    size_t length = strlen(key);

    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], key, length) == 0 && argv[i][length] == '=')
            return argv[i] + length + 1;
    return cmdline_get(key, fallback);
}

uint32_t matrix_word_number(int argc, char **argv, const char *key, uint32_t fallback, uint32_t least, uint32_t most)
{
    const char *text = matrix_word(argc, argv, key, NULL), *end = text;
    uint64_t number = fallback;

    if (text && (!matrix_number_at(text, most, &number, &end) || *end || number < least))
        panic("matrix: %s= takes a number from %u to %u, not %s", key, least, most, text);
    return (uint32_t)number;
}
