/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A parser of a text protocol, memcached's: `parse SIZE`, cycles a command; keys of SIZE / 2 to 3 SIZE / 2 bytes. A traffic of gets (some of
 * several keys), sets with their values, and increments, 2,048 commands of it, verbs in random order.
 */
#include "kernels.h"

#define COMMANDS 2048u
#define TEXT_BYTES (2u << 20)
#define MOST_KEYS 8u

enum verb { UNKNOWN, GET, SET, INCR };

struct command {
    enum verb verb;
    unsigned keys;
    struct { const uint8_t *at; uint32_t length; } key[MOST_KEYS];
    uint64_t number[3];
};

static uint8_t *parse_text;
static uint64_t parse_length;

static const uint8_t *parse_word(const uint8_t *at, const uint8_t *end, const uint8_t **word, uint32_t *length)
{
    while (at < end && *at == ' ')
        at++;
    *word = at;
    while (at < end && *at != ' ' && *at != '\r')
        at++;
    *length = (uint32_t)(at - *word);
    return at;
}

static bool parse_is(const uint8_t *word, uint32_t length, const char *text)
{
    for (uint32_t i = 0; i < length; i++)
        if (word[i] != (uint8_t)text[i] || text[i] == '\0')
            return false;
    return text[length] == '\0';
}

static bool parse_number(const uint8_t *word, uint32_t length, uint64_t *number)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < length; i++) {
        if (word[i] < '0' || word[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(word[i] - '0');
    }
    *number = value;
    return length > 0;
}

/* Reads one command from `at`; where the next one starts, or NULL. */
static __attribute__((noinline)) const uint8_t *parse_command(const uint8_t *at, const uint8_t *end, struct command *out)
{
    const uint8_t *word, *line = at;
    uint32_t length;

    while (line < end && *line != '\n')
        line++;
    if (line == end)
        return NULL;
    at = parse_word(at, line, &word, &length);
    out->keys = 0;
    out->verb = parse_is(word, length, "get") ? GET : parse_is(word, length, "set") ? SET : parse_is(word, length, "incr") ? INCR : UNKNOWN;
    unsigned most = out->verb == GET ? MOST_KEYS : 1, numbers = out->verb == SET ? 3 : out->verb == INCR ? 1 : 0;
    while (out->keys < most) {
        at = parse_word(at, line, &word, &length);
        if (length == 0)
            break;
        out->key[out->keys].at = word;
        out->key[out->keys++].length = length;
    }
    for (unsigned i = 0; i < numbers; i++) {
        at = parse_word(at, line, &word, &length);
        if (!parse_number(word, length, &out->number[i]))
            out->verb = UNKNOWN;
    }
    if (out->verb == UNKNOWN || out->keys == 0)
        return NULL;
    return line + 1 + (out->verb == SET ? out->number[2] + 2 : 0);
}

static uint64_t parse_run(void)
{
    const uint8_t *at = parse_text, *end = parse_text + parse_length;
    uint64_t commands = 0, all = 0;
    struct command command;

    while (at < end) {
        at = parse_command(at, end, &command);
        if (at == NULL)
            micro_fail("the parser refuses what it should read");
        all += command.keys + command.key[0].length + (command.verb == SET ? command.number[2] : 0);
        commands++;
    }
    kernel_result = all;
    return commands;
}

static void parse_add(const char *text)
{
    while (*text != '\0')
        parse_text[parse_length++] = (uint8_t)*text++;
}

static void parse_add_bytes(uint64_t *seed, uint64_t count)
{
    while (count-- > 0)
        parse_text[parse_length++] = (uint8_t)('a' + (micro_random(seed) >> 32) % 26);
}

static void parse_add_number(uint64_t number)
{
    uint8_t text[20];
    unsigned digits = 0;
    do
        text[digits++] = (uint8_t)('0' + number % 10);
    while ((number /= 10) > 0);
    while (digits > 0)
        parse_text[parse_length++] = text[--digits];
}

static void parse_add_command(uint64_t *seed, uint64_t size)
{
    uint64_t kind = (micro_random(seed) >> 32) % 10, keys = kind < 5 ? 1 : kind < 7 ? 2 + (micro_random(seed) >> 32) % 4 : 1;
    uint64_t value = (micro_random(seed) >> 32) % 200;

    parse_add(kind < 7 ? "get" : kind < 9 ? "set" : "incr");
    for (uint64_t i = 0; i < keys; i++) {
        parse_add(" ");
        parse_add_bytes(seed, size / 2 + (micro_random(seed) >> 32) % (size + 1));
    }
    if (kind == 9) {
        parse_add(" ");
        parse_add_number((micro_random(seed) >> 32) % 100000);
    } else if (kind >= 7) {
        parse_add(" 0 ");
        parse_add_number((micro_random(seed) >> 32) % 100000);
        parse_add(" ");
        parse_add_number(value);
    }
    parse_add("\r\n");
    if (kind == 7 || kind == 8) {
        parse_add_bytes(seed, value);
        parse_add("\r\n");
    }
}

void kernels_run(void)
{
    static const uint32_t sizes[] = { 8, 24, 60, 150 };
    uint64_t seed = 4;

    parse_text = micro_small(TEXT_BYTES);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        parse_length = 0;
        for (unsigned j = 0; j < COMMANDS; j++)
            parse_add_command(&seed, sizes[i]);
        kernel_measure("parse", sizes[i], parse_run, 1);
    }
}
