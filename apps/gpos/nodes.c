/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has joined: hellos with their versions, beats, and the end of nodes that are silent. */
#include "gpos.h"

#define BEATS_MISSED 5u

static struct gpos_node nodes[MESSENGER_NODES];
static uint32_t next_prefix = 2;        /* 1 is our own */
static uint32_t beat_us;
static struct timer watch_timer;

struct gpos_node *nodes_at(unsigned number)
{
    return number < MESSENGER_NODES ? &nodes[number] : NULL;
}

struct gpos_node *nodes_named(const char *name, size_t length)
{
    char numbered[8];

    for (unsigned number = 1; number < MESSENGER_NODES; number++) {
        struct gpos_node *node = &nodes[number];
        size_t digits = (size_t)format_string(numbered, sizeof(numbered), "%u", number);

        if (node->joined && ((strlen(node->name) == length && memcmp(node->name, name, length) == 0) ||
                             (digits == length && memcmp(numbered, name, length) == 0)))
            return node;
    }
    return NULL;
}

uint16_t nodes_version(const struct gpos_node *node, uint32_t ebb)
{
    unsigned count;
    const struct node_interface *own = node_interfaces(&count);

    for (unsigned i = 0; i < count; i++)
        if (own[i].ebb == ebb)
            return node->joined ? node->version[i] : 0;
    return 0;
}

bool nodes_speaks(const struct gpos_node *node, uint32_t ebb)
{
    return nodes_version(node, ebb) != 0;
}

/* A message from one that is not counted in is an old life's, or one's that we gave up too soon: it says hello again then. */
void nodes_heard(unsigned number)
{
    if (nodes[number].joined)
        nodes[number].heard_ns = clock_ns();
    else if (number)
        message_send((uint16_t)number, NODE_EBB_CONTROL, NODE_AGAIN, NULL, 0, NULL);
}

void nodes_leave(struct gpos_node *node, const char *why)
{
    int32_t pid = node->pid;

    if (!node->joined)
        return;
    node->joined = false;
    node->pid = 0;
    processes_end(pid);
    log_note(node->name, why);
    console_printf("gpos: %s %s\n", node->name, why);
}

void nodes_stop(struct gpos_node *node)
{
    node->pid = 0;
    message_send(node->number, NODE_EBB_CONTROL, NODE_STOP, NULL, 0, NULL);
    nodes_leave(node, "is told to stop");
}

/* ---- hello ---- */

static const struct node_offer *hello_offer(const struct node_hello *hello, uint32_t ebb)
{
    for (unsigned i = 0; i < hello->offers; i++)
        if (hello->offer[i].ebb == ebb)
            return &hello->offer[i];
    return NULL;
}

static bool name_is_good(const char name[NODE_NAME])
{
    unsigned length = 0;

    while (length < NODE_NAME && name[length]) {
        char c = name[length++];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return length && length < NODE_NAME && name[0] != '.';
}

/* Why that node cannot join, in `why`; or its versions, in `node`. */
static bool hello_agree(struct gpos_node *node, const struct node_hello *hello, char why[NODE_SENTENCE])
{
    unsigned count;
    const struct node_interface *own = node_interfaces(&count);

    for (unsigned i = 0; i < count; i++) {
        const struct node_offer *offer = hello_offer(hello, own[i].ebb);

        bool ours = own[i].needed && own[i].high;

        node->version[i] = offer ? node_agree(&own[i], offer->low, offer->high) : 0;
        if (node->version[i] == 0 && (ours || (offer && offer->needed && offer->high))) {
            format_string(why, NODE_SENTENCE, "%s needs a common version of %s: the node has %u to %u, gpos %u to %u; use images of one release",
                          ours ? "gpos" : "the node", own[i].name, offer ? offer->low : 0, offer ? offer->high : 0, own[i].low,
                          own[i].high);
            return false;
        }
    }
    for (unsigned i = 0; i < hello->offers; i++)
        if (hello->offer[i].needed && node_interface(hello->offer[i].ebb) == NULL) {
            format_string(why, NODE_SENTENCE, "the node needs interface %x, which this gpos does not have; use a newer gpos",
                          hello->offer[i].ebb);
            return false;
        }
    return true;
}

/* NULL, or why not. */
static const char *hello_check(struct gpos_node *node, const struct node_hello *hello)
{
    static char why[NODE_SENTENCE];

    if (!name_is_good(hello->name))
        return "a name has up to 23 letters, digits, - _ and .";
    for (unsigned number = 1; number < MESSENGER_NODES; number++)
        if (&nodes[number] != node && nodes[number].joined && strcmp(nodes[number].name, hello->name) == 0) {
            format_string(why, sizeof(why), "there is a node %s already; give each its own name=", hello->name);
            return why;
        }
    if (!hello_agree(node, hello, why))
        return why;
    if (next_prefix == NODE_PREFIXES)
        return "all prefixes for ids are given out; start gpos anew";
    return NULL;
}

static void hello_welcome(const struct gpos_node *node, const struct message *message)
{
    uint8_t body[sizeof(struct node_welcome) + NODE_INTERFACES * sizeof(struct node_choice)];
    struct node_welcome *welcome = (struct node_welcome *)body;
    unsigned count;
    const struct node_interface *own = node_interfaces(&count);

    *welcome = (struct node_welcome){ NODE_FORMAT, (uint16_t)count, node->prefix, beat_us };
    for (unsigned i = 0; i < count; i++)
        welcome->choice[i] = (struct node_choice){ own[i].ebb, node->version[i], 0 };
    message_answer(message, NODE_WELCOME, body, (uint32_t)(sizeof(*welcome) + count * sizeof(welcome->choice[0])));
}

static void hello_refuse(const struct message *message, const char *why)
{
    console_printf("gpos: node %u is refused: %s\n", message->from, why);
    message_answer(message, NODE_REFUSAL, why, (uint32_t)strlen(why));
}

static void hello_take(const struct message *message)
{
    const struct node_hello *hello = (const struct node_hello *)message->body;
    struct gpos_node *node = &nodes[message->from];

    if (message->length < sizeof(*hello) || message->length < sizeof(*hello) + hello->offers * sizeof(hello->offer[0])) {
        hello_refuse(message, "the hello is cut short");
        return;
    }
    nodes_leave(node, "says hello again");

    const char *why = hello_check(node, hello);

    if (why) {
        hello_refuse(message, why);
        return;
    }
    memcpy(node->name, hello->name, NODE_NAME);
    memcpy(node->image, hello->image, NODE_NAME);
    node->image[NODE_NAME - 1] = '\0';
    node->vcpus = hello->vcpus;
    node->prefix = next_prefix++;
    node->joined_ns = node->heard_ns = clock_ns();
    node->joined = true;
    node->pid = processes_proxy(node->name);
    console_printf("gpos: %s has joined as node %u\n", node->name, node->number);
    hello_welcome(node, message);
    power_joined(node);
}

static void hello_where(const struct message *message)
{
    uint16_t number = MESSENGER_NODES;

    if (message->length == sizeof(number))
        memcpy(&number, message->body, sizeof(number));

    const struct gpos_node *node = nodes_at(number);
    struct node_place place = { node && node->joined ? node->ip : 0, node ? node->port : 0, 0 };

    message_answer(message, NODE_HERE, &place, sizeof(place));
}

static void hello_message(void *ctx, const struct message *message)
{
    (void)ctx;
    if (message->type == NODE_HELLO) {
        if (message->call && message->from)
            hello_take(message);
        return;
    }
    nodes_heard(message->from);
    if (message->type == NODE_WHERE && message->call)
        hello_where(message);
}

/* Whoever speaks first under a number has it. */
static void nodes_stranger(uint16_t number, uint32_t ip, uint16_t port)
{
    if (number == 0 || messenger_knows(number))
        return;
    nodes[number].ip = ip;
    nodes[number].port = port;
    messenger_peer(number, ip, port);
}

static void nodes_watch(void *arg)
{
    uint64_t now = clock_ns();

    (void)arg;
    for (unsigned number = 1; number < MESSENGER_NODES; number++)
        if (nodes[number].joined && now - nodes[number].heard_ns > (uint64_t)BEATS_MISSED * beat_us * 1000u)
            nodes_leave(&nodes[number], "is silent: counted as dead; what it had not sent is lost");
    if (!timer_start(&watch_timer, beat_us * 1000ull, nodes_watch, NULL))
        panic("gpos: no memory for a timer");
}

void nodes_start(void)
{
    for (unsigned number = 0; number < MESSENGER_NODES; number++)
        nodes[number].number = (uint16_t)number;
    beat_us = words_number("beat_us", 10000, 100, 60000000);
    messenger_on_stranger(nodes_stranger);
    node_narrow();
    if (!messenger_start(NODE_GPOS, (uint16_t)words_number("port", MESSENGER_PORT, 1, 65535), words_number("session", 1, 1, 65535)))
        panic("gpos: port %u is taken; give another with port=N", words_number("port", MESSENGER_PORT, 1, 65535));
    if (!messenger_target(NODE_EBB_HELLO, hello_message, NULL))
        panic("gpos: too many targets of messages");
    nodes_watch(NULL);
}
