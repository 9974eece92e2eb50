/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node that keeps records with gpos, for fault runs: lines for its log, and keys of the configuration, from when the key `record` is there. What it was told of them it prints; its console is looked at from
 * outside, without the network between. "recorder: stored N" says that N of its lines are stored, "recorder: kept K" that NAME.K is. As all it prints, both are lines of its log, too.
 * Words: recorder [LINES [INTERVAL_US]], 40 and 100 by default.
 */
#include "node.h"

#define LINES_MOST 80u
#define KEY_EVERY 4u                    /* lines a key */

static uint64_t interval_ns = 100000, stored_said;
static unsigned lines = 40, said;
static struct timer timer;
static struct keeping {
    unsigned number;
    struct future done;
    struct future_wait wait;
} keeping[LINES_MOST / KEY_EVERY + 1];

static unsigned word_number(const char *word, unsigned most)
{
    unsigned value = 0;

    for (const char *at = word; *at >= '0' && *at <= '9' && value <= most; at++)
        value = value * 10 + (unsigned)(*at - '0');
    if (value == 0 || value > most)
        panic("recorder: %s is not from 1 to %u", word, most);
    return value;
}

static void kept(void *arg)
{
    const struct keeping *it = arg;

    if (it->done.state == FUTURE_FULFILLED)
        console_printf("recorder: kept %u\n", it->number);
}

static void keep(unsigned number)
{
    struct keeping *it = &keeping[number];
    char key[NODE_KEY], value[NODE_VALUE];

    it->number = number;
    format_string(key, sizeof(key), "%s.%u", node_name(), number);
    format_string(value, sizeof(value), "value %u of %s", number, node_name());
    node_config_set(key, value, &it->done);
    future_then(&it->done, &it->wait, kept, it);
}

static void next_line(void *arg)
{
    (void)arg;
    said++;
    console_printf("recorder: line %u\n", said);
    if (said % KEY_EVERY == 0)
        keep(said / KEY_EVERY);
    if (said % KEY_EVERY == 2) {
        struct node_log_counts counts = node_log_counts();

        if (counts.stored != stored_said)
            console_printf("recorder: stored %lu\n", counts.stored);
        stored_said = counts.stored;
    }
    if (said < lines)
        timer_start(&timer, interval_ns, next_line, NULL);
}

static void begin(void *ctx, const char *value)
{
    (void)ctx;
    (void)value;
    if (said == 0)
        next_line(NULL);
}

void app_main(int argc, char **argv)
{
    if (argc > 1)
        lines = word_number(argv[1], LINES_MOST);
    if (argc > 2)
        interval_ns = 1000ull * word_number(argv[2], 1000000);
    if (!node_start("recorder", NULL))
        panic("recorder: there is no gpos; give the word gpos=A.B.C.D");
    if (!node_config_watch("record", begin, NULL))
        panic("recorder: the configuration cannot be watched");
    console_printf("recorder: ready\n");
}
