/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "micro.h"

void micro_number(uint64_t number)
{
    char text[21], *at = text + sizeof text - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    micro_text(at);
}

void micro_report(const char *name, uint64_t param, uint64_t hundredths)
{
    micro_text(name);
    micro_text(" ");
    micro_number(param);
    micro_text(" ");
    micro_number(hundredths / 100);
    micro_text(hundredths % 100 < 10 ? ".0" : ".");
    micro_number(hundredths % 100);
    micro_text("\n");
}

void micro_timed(bool timed)
{
    micro_text(timed ? "timed\n" : "untimed\n");
}

void micro_mark(const char *name, uint64_t operations)
{
    micro_text("mark ");
    micro_text(name);
    micro_text(" ");
    micro_number(operations);
    micro_text("\n");
}

void micro_mark_end(void)
{
    micro_text("mark end\n");
}

void micro_window(const char *name, uint64_t n, void (*run)(uint64_t n))
{
    run(3 * n);         /* warm */
    for (uint64_t times = 1; times <= 3; times += 2) {
        micro_mark(name, n * times);
        run(n * times);
        micro_mark_end();
    }
}

uint64_t micro_median(uint64_t *values, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        uint64_t value = values[i];
        unsigned at = i;
        for (; at > 0 && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return values[count / 2];
}

uint64_t micro_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

uint64_t micro_argument(const char *text, uint64_t most)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value <= most; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    if (at != text && (*at == 'K' || *at == 'M'))
        value <<= *at++ == 'K' ? 10 : 20;
    if (at == text || *at != '\0' || value == 0 || value > most)
        micro_fail("a size is a decimal number with K or M behind it, and not too large");
    return value;
}

bool micro_same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b)
        a++, b++;
    return *a == *b;
}

void micro_cycle(uint8_t *base, uint64_t count, uint64_t (*step)(uint64_t i), uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++)
        *(uint64_t *)(base + step(i)) = i;
    for (uint64_t i = count - 1; i > 0; i--) {
        uint64_t *a = (uint64_t *)(base + step(i)), *b = (uint64_t *)(base + step(micro_random(&seed) % i)), kept = *a;
        *a = *b;
        *b = kept;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t *word = (uint64_t *)(base + step(i));
        *word = (uint64_t)base + step(*word);
    }
}
