/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memcpy and its kin against byte loops, at all small sizes and alignments; printf's formats. */
#include "check.h"

#define SPAN 320u

static uint8_t test_from[SPAN * 2], test_to[SPAN * 2], test_wanted[SPAN * 2];

static void test_reset(uint32_t *random)
{
    for (unsigned i = 0; i < sizeof(test_from); i++) {
        test_from[i] = (uint8_t)test_random(random);
        test_to[i] = test_wanted[i] = (uint8_t)test_random(random);
    }
}

static void test_check(const char *what, unsigned size, unsigned a, unsigned b)
{
    for (unsigned i = 0; i < sizeof(test_to); i++)
        CHECK(test_to[i] == test_wanted[i], "%s of %u bytes, offsets %u and %u: byte %u", what, size, a, b, i);
}

static void test_memory(void)
{
    uint32_t random = 1;

    for (unsigned size = 0; size <= 200; size++)
        for (unsigned offset = 0; offset < 17; offset += size < 40 ? 1 : 5) {
            unsigned other = test_random(&random) % 17;

            test_reset(&random);
            memcpy(test_to + offset, test_from + other, size);
            for (volatile unsigned i = 0; i < size; i++)
                test_wanted[offset + i] = test_from[other + i];
            test_check("memcpy", size, offset, other);

            test_reset(&random);
            memset(test_to + offset, (int)other * 19, size);
            for (volatile unsigned i = 0; i < size; i++)
                test_wanted[offset + i] = (uint8_t)(other * 19);
            test_check("memset", size, offset, other);

            test_reset(&random);
            memmove(test_to + offset, test_to + other, size);
            for (volatile unsigned i = 0; i < size; i++)
                test_from[i] = test_wanted[other + i];
            for (volatile unsigned i = 0; i < size; i++)
                test_wanted[offset + i] = test_from[i];
            test_check("memmove", size, offset, other);
        }
    for (unsigned size = 1; size < 40; size++)
        for (unsigned at = 0; at < size; at++) {
            memset(test_from, 7, size);
            memset(test_to, 7, size);
            CHECK(memcmp(test_from, test_to, size) == 0, "equal");
            test_to[at] = 200;
            CHECK(memcmp(test_from, test_to, size) < 0, "at %u of %u", at, size);
            CHECK(memcmp(test_to, test_from, size) > 0, "at %u of %u", at, size);
            CHECK(memchr(test_to, 200, size) == test_to + at && memchr(test_to, 200, at) == NULL, "memchr");
        }
}

static void test_format(const char *wanted, const char *format, ...)
{
    char text[100];
    va_list args;

    va_start(args, format);
    int length = format_vstring(text, sizeof(text), format, args);
    va_end(args);
    CHECK(strcmp(text, wanted) == 0 && length == (int)strlen(wanted), "\"%s\", not \"%s\"", text, wanted);
}

void app_main(int argc, char **argv)
{
    char small[4];

    CHECK(argc == 3 && strcmp(argv[0], "strings") == 0, "%d words", argc);
    CHECK(strcmp(argv[1], "one") == 0 && strcmp(argv[2], "two=2") == 0, "%s %s", argv[1], argv[2]);
    CHECK(argv[argc] == NULL, "no end");
    CHECK(strcmp(cmdline_get("key", "none"), "value") == 0, "%s", cmdline_get("key", "none"));
    CHECK(strcmp(cmdline_get("two", "none"), "none") == 0, "the application's words are not ours");
    test_memory();
    test_format("-5 5 4000000000 dead BEEF", "%d %i %u %x %X", -5, 5, 4000000000u, 0xdeadu, 0xBEEFu);
    test_format("-9223372036854775808 18446744073709551615", "%ld %lu", INT64_MIN, UINT64_MAX);
    test_format("[   42][42   ][00042][-0042]", "[%5d][%-5d][%05d][%05d]", 42, 42, 42, -42);
    test_format("[  ab][ab  ][a][c%]", "[%4s][%-4s][%.1s][%c%%]", "ab", "ab", "ab", 'c');
    test_format("(null) 0x10", "%s %p", NULL, (void *)16);
    CHECK(format_string(small, sizeof(small), "%s", "123456") == 6 && strcmp(small, "123") == 0, "cut");
    CHECK(strncmp("abc", "abd", 2) == 0 && strncmp("abc", "abd", 3) < 0 && strlen("four") == 4, "str");
    test_success();
}
