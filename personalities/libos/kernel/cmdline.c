/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: `key=value` words, then optionally ` -- ` and the application's own words. */
#include "boot.h"
#include "cpu.h"

#define CMDLINE_MAX_WORDS 64

static char cmdline_text[BOOT_MAX_CMDLINE];
static char *cmdline_words[CMDLINE_MAX_WORDS + 1];
static unsigned cmdline_word_count;
static unsigned cmdline_own_count;      /* words before the "--" */

void cmdline_init(const char *text)
{
    size_t length = 0;

    while (length < sizeof(cmdline_text) - 1 && text[length] != '\0') {
        cmdline_text[length] = text[length];
        length++;
    }

    bool separated = false;
    char *at = cmdline_text;

    while (cmdline_word_count < CMDLINE_MAX_WORDS) {
        while (*at == ' ')
            *at++ = '\0';
        if (*at == '\0')
            break;
        if (!separated && at[0] == '-' && at[1] == '-' && (at[2] == ' ' || at[2] == '\0')) {
            separated = true;
            at += 2;
            continue;
        }
        cmdline_words[cmdline_word_count++] = at;
        if (!separated)
            cmdline_own_count = cmdline_word_count;
        while (*at != ' ' && *at != '\0')
            at++;
    }
}

const char *cmdline_get(const char *key, const char *fallback)
{
    size_t length = strlen(key);

    for (unsigned i = 0; i < cmdline_own_count; i++)
        if (strncmp(cmdline_words[i], key, length) == 0 && cmdline_words[i][length] == '=')
            return cmdline_words[i] + length + 1;
    return fallback;
}

/* argv[0] is the first word behind the "--"; the list ends with NULL. */
int cmdline_app_words(char ***words)
{
    *words = cmdline_words + cmdline_own_count;
    return (int)(cmdline_word_count - cmdline_own_count);
}
