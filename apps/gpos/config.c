/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration: a file of lines KEY=VALUE, of which the last for a key counts. A change is appended, then nodes are told; so it is acknowledged once it is stored,
 * and a gpos that starts anew reads what the last one had.
 */
#include "gpos.h"
#include "process.h"

#define KEYS_MOST 256u
#define LINE_MOST (NODE_KEY + NODE_VALUE)
#define OPEN_APPEND_CREATE 0x441
#define READ_BYTES 4096u

struct config_entry {
    struct config_entry *next;
    char key[NODE_KEY], value[NODE_VALUE];
};

static struct config_entry *first;
static unsigned key_count;
static const char *path;

static bool key_is_good(const char *key)
{
    size_t length = 0;

    for (; key[length]; length++) {
        char c = key[length];

        if (length + 1 == NODE_KEY ||
            !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return length != 0;
}

static bool value_is_good(const char *value)
{
    size_t length = 0;

    for (; value[length]; length++)
        if (length + 1 == NODE_VALUE || value[length] < ' ' || value[length] > '~')
            return false;
    return true;
}

static struct config_entry *config_find(const char *key)
{
    struct config_entry *at = first;

    while (at && strcmp(at->key, key) != 0)
        at = at->next;
    return at;
}

const char *config_get(const char *key)
{
    const struct config_entry *found = config_find(key);

    return found ? found->value : NULL;
}

/* NULL, or why not. */
static const char *config_check(const char *key, const char *value)
{
    if (!key_is_good(key))
        return "a key has up to 63 letters, digits, - _ and .";
    if (!value_is_good(value))
        return "a value has up to 191 printable characters";
    if (config_find(key) == NULL && key_count == KEYS_MOST)
        return "there are 256 keys already";
    return NULL;
}

static void config_keep(const char *key, const char *value)
{
    struct config_entry *entry = config_find(key), **link = &first;

    if (entry == NULL) {
        if ((entry = mem_zalloc(sizeof(*entry))) == NULL)
            panic("gpos: no memory for the configuration");
        while (*link)
            link = &(*link)->next;
        *link = entry;
        key_count++;
    }
    memset(entry->key, 0, NODE_KEY);
    memset(entry->value, 0, NODE_VALUE);
    memcpy(entry->key, key, strlen(key));
    memcpy(entry->value, value, strlen(value));
}

static bool config_append(const char *line, size_t length)
{
    long fd = rt_syscall(RT_NR_OPEN, (long)path, OPEN_APPEND_CREATE, 0644, 0, 0, 0);

    if (fd < 0)
        return false;

    long written = rt_syscall(RT_NR_WRITE, fd, (long)line, (long)length, 0, 0, 0);

    rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
    return written == (long)length;
}

const char *config_set(const char *key, const char *value)
{
    char line[LINE_MOST + 2];
    const char *why = config_check(key, value);

    if (why)
        return why;

    size_t length = (size_t)format_string(line, sizeof(line), "%s=%s\n", key, value);

    if (!config_append(line, length))
        return "the configuration's file cannot be written";
    config_keep(key, value);
    for (unsigned number = 1; number < MESSENGER_NODES; number++)
        if (nodes_speaks(nodes_at(number), NODE_EBB_CONFIG))
            message_send((uint16_t)number, NODE_EBB_CONFIG, NODE_CONFIG_CHANGED, line, (uint32_t)length, NULL);
    return NULL;
}

const char *config_set_line(const char *line, size_t length)
{
    char key[NODE_KEY], value[NODE_VALUE];
    const char *equals = memchr(line, '=', length);

    if (equals == NULL)
        return "give KEY=VALUE";
    if ((size_t)(equals - line) >= NODE_KEY || memchr(line, '\0', length))
        return config_check("", "");
    if (length - (size_t)(equals - line) > NODE_VALUE)
        return "a value has up to 191 printable characters";
    memcpy(key, line, (size_t)(equals - line));
    key[equals - line] = '\0';
    memcpy(value, equals + 1, length - (size_t)(equals - line) - 1);
    value[length - (size_t)(equals - line) - 1] = '\0';
    return config_set(key, value);
}

uint32_t config_text(char *text, uint32_t room)
{
    uint32_t length = 0;

    for (const struct config_entry *at = first; at; at = at->next)
        if (room - length > LINE_MOST + 2)
            length += (uint32_t)format_string(text + length, room - length, "%s=%s\n", at->key, at->value);
    return length;
}

static void config_message(void *ctx, const struct message *message)
{
    static char text[MESSAGE_MAX];

    (void)ctx;
    nodes_heard(message->from);
    if (message->call == 0 || !nodes_speaks(nodes_at(message->from), NODE_EBB_CONFIG))
        return;
    if (message->type == NODE_CONFIG_READ)
        message_answer(message, NODE_CONFIG_IS, text, config_text(text, sizeof(text)));
    if (message->type == NODE_CONFIG_SET) {
        uint32_t length = message->length;
        const char *line = (const char *)message->body;
        const char *why = length && line[length - 1] == '\n' ? config_set_line(line, length - 1) : "give KEY=VALUE";

        message_answer(message, why ? NODE_REFUSAL : NODE_CONFIG_STORED, why, why ? (uint32_t)strlen(why) : 0);
    }
}

/* Lines that are none are passed over: a crash may have left half of one, which is ended here. */
static void config_read(void)
{
    static char line[LINE_MOST + 2];
    static char bytes[READ_BYTES];
    size_t length = 0;
    long fd = rt_syscall(RT_NR_OPEN, (long)path, 0, 0, 0, 0, 0), got;

    if (fd < 0)
        return;
    while ((got = rt_syscall(RT_NR_READ, fd, (long)bytes, sizeof(bytes), 0, 0, 0)) > 0)
        for (long i = 0; i < got; i++) {
            if (bytes[i] != '\n') {
                if (length < sizeof(line) - 1)
                    line[length++] = bytes[i];
                continue;
            }
            line[length] = '\0';

            char *equals = memchr(line, '=', length);

            length = 0;
            if (equals == NULL)
                continue;
            *equals = '\0';
            if (config_check(line, equals + 1) == NULL)
                config_keep(line, equals + 1);
        }
    rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
    if (length)
        config_append("\n", 1);
}

/* The word set=KEY:VALUE,KEY:VALUE: what the file does not say. */
static void config_words(void)
{
    char item[LINE_MOST + 2];
    const char *at = cmdline_get("set", "");

    while (*at) {
        size_t length = 0;

        while (at[length] && at[length] != ',' && length < sizeof(item) - 1) {
            item[length] = at[length];
            length++;
        }
        item[length] = '\0';
        at += length + (at[length] == ',');

        char *colon = memchr(item, ':', length);

        if (colon)
            *colon = '\0';

        const char *why = !colon ? "give KEY:VALUE, joined by commas" : config_find(item) ? NULL : config_set(item, colon + 1);

        if (why)
            panic("gpos: the word set=: %s: %s", item, why);
    }
}

void config_start(void)
{
    path = cmdline_get("config", "/config");
    config_read();
    config_words();
    if (!messenger_target(NODE_EBB_CONFIG, config_message, NULL))
        panic("gpos: too many targets of messages");
}
