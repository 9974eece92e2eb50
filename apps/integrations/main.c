/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node=N nodes=IP,IP integrations=WORD,... [session=S]: the home is node 0, the client node 1. */
#include "integrations.h"

static const char *bench_number(const char *text, uint32_t *number)
{
    *number = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        *number = *number * 10 + (uint32_t)(*text - '0');
    return text;
}

/* In network byte order. */
static const char *bench_ip(const char *text, uint32_t *ip)
{
    *ip = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t byte;

        text = bench_number(text, &byte);
        *ip |= byte << 8 * i;
        text += i < 3 && *text == '.';
    }
    return text + (*text == ',');
}

void bench_integrations(struct bench_integrations *found)
{
    const char *at = cmdline_get("integrations", "messages");

    while (*at && found->count < 4) {
        char *word = found->words[found->count];
        unsigned length = 0;

        while (*at && *at != ',' && length < sizeof(found->words[0]) - 1)
            word[length++] = *at++;
        at += *at == ',';
        found->with[found->count] = shared_integration(word);
        if (found->with[found->count++] == NULL)
            panic("integrations: there is no %s here", word);
    }
}

void bench_name(char *name, const char *object, const char *word)
{
    format_string(name, SHARED_NAME_MOST + 1, "%s-%s", object, word);
}

void app_main(int argc, char **argv)
{
    static struct bench_integrations integrations;
    const char *ips = cmdline_get("nodes", "");
    uint32_t own, session;

    (void)argc;
    (void)argv;
    bench_number(cmdline_get("node", "0"), &own);
    bench_number(cmdline_get("session", "1"), &session);
    bench_integrations(&integrations);
    if (!messenger_start((uint16_t)own, MESSENGER_PORT, session))
        panic("integrations: port %u is taken", MESSENGER_PORT);
    for (uint16_t node = 0; *ips; node++) {
        uint32_t ip;

        ips = bench_ip(ips, &ip);
        if (node != own)
            messenger_peer(node, ip, MESSENGER_PORT);
    }
    if (own == BENCH_HOME)
        bench_home(&integrations);
    else
        bench_client(&integrations);
}
