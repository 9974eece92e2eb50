/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A copy of gpos's configuration: read when we join, changed when gpos says so. */
#include "node_parts.h"

#define WATCHES 16u
#define PATIENCE_NS 2000000000ull
#define LINE_MOST (NODE_KEY + NODE_VALUE)

struct config_entry {
    struct config_entry *next;
    char key[NODE_KEY], value[NODE_VALUE];
};

static struct config_entry *entries;
static struct spinlock config_lock;
static struct { const char *key; node_config_fn fn; void *ctx; } watches[WATCHES];
static unsigned watch_count;
static struct message_call reading;
static struct future_wait reading_wait;

/* A change of ours under way. */
struct config_change {
    struct message_call call;
    struct future_wait wait;
    struct future *done;
};

static struct config_entry *config_find(const char *key)
{
    struct config_entry *at = entries;

    while (at && strcmp(at->key, key) != 0)
        at = at->next;
    return at;
}

bool node_config_get(const char *key, char value[NODE_VALUE])
{
    spin_lock(&config_lock);

    const struct config_entry *found = config_find(key);

    if (found)
        memcpy(value, found->value, NODE_VALUE);
    spin_unlock(&config_lock);
    return found != NULL;
}

bool node_config_watch(const char *key, node_config_fn fn, void *ctx)
{
    if (watch_count == WATCHES)
        return false;
    watches[watch_count].key = key;
    watches[watch_count].fn = fn;
    watches[watch_count++].ctx = ctx;
    return true;
}

/* Whether that is news; no memory is as if it had not come. */
static bool config_store(const char *key, const char *value)
{
    spin_lock(&config_lock);

    struct config_entry *entry = config_find(key);
    bool news = entry == NULL || strcmp(entry->value, value) != 0;

    if (entry == NULL && (entry = mem_zalloc(sizeof(*entry)))) {
        memcpy(entry->key, key, NODE_KEY);
        entry->next = entries;
        entries = entry;
    }
    if (entry)
        memcpy(entry->value, value, NODE_VALUE);
    spin_unlock(&config_lock);
    return news && entry;
}

/* One line KEY=VALUE of `length` bytes; what does not fit is not ours to judge, and left out. */
static void config_take_line(const char *line, size_t length)
{
    const char *equals = memchr(line, '=', length);
    char key[NODE_KEY] = { 0 }, value[NODE_VALUE] = { 0 };

    if (equals == NULL || (size_t)(equals - line) >= NODE_KEY || length - (size_t)(equals - line) > NODE_VALUE)
        return;
    memcpy(key, line, (size_t)(equals - line));
    memcpy(value, equals + 1, length - (size_t)(equals - line) - 1);
    if (!config_store(key, value))
        return;
    for (unsigned i = 0; i < watch_count; i++)
        if (strcmp(watches[i].key, key) == 0)
            watches[i].fn(watches[i].ctx, value);
}

static void config_take(const uint8_t *text, uint32_t length)
{
    const char *at = (const char *)text, *end = at + length;

    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));

        if (line_end == NULL)
            return;
        config_take_line(at, (size_t)(line_end - at));
        at = line_end + 1;
    }
}

static void config_read_answered(void *arg)
{
    (void)arg;
    if (reading.answered.state == FUTURE_FULFILLED && reading.type == NODE_CONFIG_IS)
        config_take(reading.reply, reading.length);
    mem_free(reading.reply);
    reading.reply = NULL;
}

static void config_read(void *arg)
{
    (void)arg;
    if (node_version(NODE_EBB_CONFIG) == 0 || (reading.number && !future_decided(&reading.answered)))
        return;
    reading = (struct message_call){ 0 };
    message_ask(&reading, NODE_GPOS, NODE_EBB_CONFIG, NODE_CONFIG_READ, NULL, 0, PATIENCE_NS);
    future_then(&reading.answered, &reading_wait, config_read_answered, NULL);
}

/* On gpos's vCPU here, which is the first: node 0 modulo their number. */
static void config_message(void *ctx, const struct message *message)
{
    (void)ctx;
    if (message->from == NODE_GPOS && message->type == NODE_CONFIG_CHANGED)
        config_take(message->body, message->length);
}

static void config_set_answered(void *arg)
{
    struct config_change *change = arg;
    struct future *done = change->done;
    bool answered = change->call.answered.state == FUTURE_FULFILLED;
    bool stored = answered && change->call.type == NODE_CONFIG_STORED;
    int error = answered ? NODE_REFUSED : change->call.answered.error;

    mem_free(change->call.reply);
    mem_free(change);
    if (stored)
        future_fulfil(done, NULL);
    else
        future_fail(done, error);
}

void node_config_set(const char *key, const char *value, struct future *done)
{
    char line[LINE_MOST + 2];
    int length = format_string(line, sizeof(line), "%s=%s\n", key, value);
    struct config_change *change = (size_t)length < sizeof(line) && !memchr(key, '=', strlen(key)) ? mem_zalloc(sizeof(*change)) : NULL;

    if (change == NULL || node_version(NODE_EBB_CONFIG) == 0) {
        mem_free(change);
        future_fail(done, node_joined() ? NODE_REFUSED : NODE_APART);
        return;
    }
    change->done = done;
    message_ask(&change->call, NODE_GPOS, NODE_EBB_CONFIG, NODE_CONFIG_SET, line, (uint32_t)length, PATIENCE_NS);
    future_then(&change->call.answered, &change->wait, config_set_answered, change);
}

void node_config_start(void)
{
    if (!messenger_target(NODE_EBB_CONFIG, config_message, NULL))
        panic("node: too many targets of messages");
    node_on_join(config_read, NULL);
}
