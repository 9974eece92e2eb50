/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node's membership: a hello until there is a welcome or a refusal, then a beat from time to time; when one cannot be delivered, gpos is lost, and the
 * hello begins again. All of it runs on vCPU 0.
 */
#include "node_parts.h"

#define HELLO_PATIENCE_NS 1000000000ull
#define HELLO_PAUSE_NS 10000000ull
#define BEAT_LEAST_US 100u

struct node_state node_own;

static struct message_call hello;
static struct future beat;
static struct future_wait hello_wait, beat_wait;
static struct timer node_timer;
static struct { event_fn fn; void *arg; } on_join[8];
static unsigned on_join_count;

static void node_ask(void *arg);
static void node_beat(void *arg);

unsigned node_number(void)
{
    return node_own.number;
}

const char *node_name(void)
{
    return node_own.name;
}

bool node_joined(void)
{
    return __atomic_load_n(&node_own.joined, __ATOMIC_ACQUIRE);
}

const char *node_refusal(void)
{
    return node_own.refusal;
}

bool node_on_join(event_fn fn, void *arg)
{
    if (on_join_count == sizeof(on_join) / sizeof(on_join[0]))
        return false;
    on_join[on_join_count].fn = fn;
    on_join[on_join_count++].arg = arg;
    return true;
}

static void node_later(uint64_t ns, event_fn fn)
{
    if (!timer_start(&node_timer, ns, fn, NULL))
        panic("node: no memory for a timer");
}

/* ---- hello ---- */

static void node_take_name(char *to, const char *from)
{
    memset(to, 0, NODE_NAME);
    for (unsigned i = 0; i < NODE_NAME - 1 && from[i]; i++)
        to[i] = from[i];
}

/* A version that was agreed on must be one of ours. */
static bool node_take_welcome(const uint8_t *body, uint32_t length)
{
    const struct node_welcome *welcome = (const struct node_welcome *)body;

    if (length < sizeof(*welcome) || length < sizeof(*welcome) + welcome->choices * sizeof(welcome->choice[0]) ||
        welcome->prefix == 0 || welcome->prefix >= NODE_PREFIXES || welcome->beat_us < BEAT_LEAST_US)
        return false;

    unsigned count;
    struct node_interface *own = node_interfaces(&count);

    for (unsigned i = 0; i < count; i++)
        own[i].agreed = 0;
    for (unsigned i = 0; i < welcome->choices; i++) {
        struct node_interface *chosen = node_interface(welcome->choice[i].ebb);
        uint16_t version = welcome->choice[i].version;

        if (chosen && version && version >= chosen->low && version <= chosen->high)
            chosen->agreed = version;
    }
    node_own.prefix = welcome->prefix;
    node_own.beat_us = welcome->beat_us;
    return true;
}

static void node_refused(const char *sentence, uint32_t length)
{
    if (length >= NODE_SENTENCE)
        length = NODE_SENTENCE - 1;
    memcpy(node_own.refusal, sentence, length);
    node_own.refusal[length] = '\0';
    console_printf("node %s: refused: %s\n", node_own.name, node_own.refusal);
    if (node_own.first) {
        struct future *first = node_own.first;

        node_own.first = NULL;
        future_fail(first, NODE_REFUSED);
    }
}

static void node_is_in(void)
{
    __atomic_store_n(&node_own.joined, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < on_join_count; i++)
        on_join[i].fn(on_join[i].arg);
    if (node_own.first) {
        struct future *first = node_own.first;

        node_own.first = NULL;
        future_fulfil(first, NULL);
    }
    node_later(node_own.beat_us * 1000ull, node_beat);
}

static void node_answered(void *arg)
{
    bool answered = hello.answered.state == FUTURE_FULFILLED;

    (void)arg;
    if (answered && hello.type == NODE_REFUSAL)
        node_refused((const char *)hello.reply, hello.length);
    else if (answered && hello.type == NODE_WELCOME && node_take_welcome(hello.reply, hello.length))
        node_is_in();
    else
        node_later(HELLO_PAUSE_NS, node_ask);
    mem_free(hello.reply);
    hello.reply = NULL;
}

static void node_ask(void *arg)
{
    static uint8_t body[sizeof(struct node_hello) + NODE_INTERFACES * sizeof(struct node_offer)];
    struct node_hello *ours = (struct node_hello *)body;
    unsigned count;
    const struct node_interface *own = node_interfaces(&count);

    (void)arg;
    *ours = (struct node_hello){ .format = NODE_FORMAT, .offers = (uint16_t)count, .vcpus = (uint16_t)cpu_count() };
    ours->free_mib = (uint32_t)(mem_free_bytes() >> 20);
    node_take_name(ours->name, node_own.name);
    node_take_name(ours->image, node_own.image);
    for (unsigned i = 0; i < count; i++)
        ours->offer[i] = (struct node_offer){ own[i].ebb, own[i].low, own[i].high, own[i].needed, 0 };
    hello = (struct message_call){ 0 };
    message_ask(&hello, NODE_GPOS, NODE_EBB_HELLO, NODE_HELLO, body, (uint32_t)(sizeof(*ours) + count * sizeof(ours->offer[0])),
                HELLO_PATIENCE_NS);
    future_then(&hello.answered, &hello_wait, node_answered, NULL);
}

/* ---- beats ---- */

static void node_lost(void)
{
    __atomic_store_n(&node_own.joined, false, __ATOMIC_RELEASE);
    timer_cancel(&node_timer);
    node_ask(NULL);
}

static void node_beaten(void *arg)
{
    (void)arg;
    if (!node_own.joined)
        return;
    if (beat.state == FUTURE_FAILED)
        node_lost();
    else
        node_later(node_own.beat_us * 1000ull, node_beat);
}

static void node_beat(void *arg)
{
    (void)arg;
    beat = (struct future){ 0 };
    message_send(NODE_GPOS, NODE_EBB_HELLO, NODE_BEAT, NULL, 0, &beat);
    future_then(&beat, &beat_wait, node_beaten, NULL);
}

static void node_again(void *arg)
{
    (void)arg;
    if (node_own.joined && node_timer.slot)         /* otherwise a beat is under way, and the next one asks again */
        node_lost();
}

static void node_control(void *ctx, const struct message *message)
{
    (void)ctx;
    if (message->from != NODE_GPOS)
        return;
    if (message->type == NODE_STOP) {
        console_printf("node %s: stopped\n", node_own.name);
        machine_exit(0);
    }
    if (message->type == NODE_STAT && message->call)
        node_stat(message);
    if (message->type == NODE_PROFILE && message->call)
        node_profile(message);
    if (message->type == NODE_AGAIN)
        event_spawn(0, node_again, NULL);
}

/* ---- words ---- */

static uint32_t node_word_number(const char *key, const char *fallback, uint32_t most)
{
    const char *text = cmdline_get(key, fallback);
    uint32_t value = 0;
    const char *at = text;

    while (*at >= '0' && *at <= '9' && value <= most)
        value = value * 10 + (uint32_t)(*at++ - '0');
    if (at == text || *at || value < 1 || value > most)
        panic("node: the word %s=%s must be a number from 1 to %u", key, text, most);
    return value;
}

static uint32_t node_word_address(const char *text)
{
    uint32_t address = 0, part = 0;
    unsigned dots = 0, digits = 0;

    for (const char *at = text; *at; at++) {
        if (*at >= '0' && *at <= '9' && digits < 3) {
            part = part * 10 + (uint32_t)(*at - '0');
            digits++;
        } else if (*at == '.' && digits && part < 256 && dots < 3) {
            address = address << 8 | part;
            part = digits = 0;
            dots++;
        } else {
            dots = 4;
            break;
        }
    }
    if (dots != 3 || digits == 0 || part > 255)
        panic("node: the word gpos=%s must be an address like 10.0.2.15", text);
    return __builtin_bswap32(address << 8 | part);
}

static void node_own_name(void)
{
    static char numbered[NODE_NAME];

    format_string(numbered, sizeof(numbered), "node%u", node_own.number);
    node_own.name = cmdline_get("name", numbered);
}

bool node_start(const char *image, struct future *joined)
{
    const char *gpos = cmdline_get("gpos", NULL);

    if (gpos == NULL)
        return false;
    node_own.number = (uint16_t)node_word_number("node", "", MESSENGER_NODES - 1);
    node_own.image = image;
    node_own.first = joined;
    node_own_name();
    node_speaks(NODE_EBB_HELLO, "hello", 1, 1, true);
    node_speaks(NODE_EBB_CONTROL, "control", 1, 1, true);
    node_speaks(NODE_EBB_MAP, "map", 1, 1, false);
    node_speaks(NODE_EBB_LOG, "log", 1, 2, false);
    node_speaks(NODE_EBB_CONFIG, "config", 1, 1, false);
    node_narrow();
    messenger_on_stranger(node_stranger);
    node_own.session = node_word_number("session", "1", 65535);
    if (!messenger_start(node_own.number, (uint16_t)node_word_number("port", "5640", 65535), node_own.session))
        panic("node: the messenger's port is taken");
    messenger_peer(NODE_GPOS, node_word_address(gpos), (uint16_t)node_word_number("gpos_port", "5640", 65535));
    if (!messenger_target(NODE_EBB_CONTROL, node_control, NULL))
        panic("node: too many targets of messages");
    node_log_start();
    node_config_start();
    node_profile_start();
    node_ask(NULL);
    return true;
}
