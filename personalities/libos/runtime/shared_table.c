/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The integrations that a program may choose from by a word. */
#include "shared_parts.h"

static const struct shared_integration *const integrations[] = { &shared_messages, &shared_ninep, &shared_memory };

const struct shared_integration *shared_integration(const char *word)
{
    for (unsigned i = 0; i < sizeof(integrations) / sizeof(integrations[0]); i++)
        if (strcmp(integrations[i]->word, word) == 0)
            return integrations[i];
    return NULL;
}

const struct shared_integration *shared_chosen(const char *fallback)
{
    const char *word = cmdline_get("integration", fallback);
    const struct shared_integration *with = shared_integration(word);

    if (with == NULL)
        panic("shared: there is no integration=%s here", word);
    return with;
}
