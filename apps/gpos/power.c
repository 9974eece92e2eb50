/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines on demand: what nodes ask for, gpos asks of the provisioner (docs/elasticity.md has its lines), by UDP, again and again until there is an
 * answer. A machine is given once it has said hello here as the node of its number.
 */
#include "gpos.h"

#define PROVISIONER_PORT 5641u
#define OWN_PORT 5643u
#define AGAIN_NS 5000000ull
#define PATIENCE_NS 4000000000ull       /* for the provisioner's answer, and the new node's hello */
#define WISHES 64u
#define KIND 33u

struct wish {
    bool used, freeing;
    struct message question;            /* from, ebb and call; its body is gone */
    char kind[KIND];
    uint16_t number;                    /* to be freed, or promised; 0: not yet */
    uint32_t tag;
    uint8_t warm;
    uint64_t since_ns;
};

static struct wish wishes[WISHES];
static uint32_t tags;
static struct udp_peer provisioner;
static struct timer power_timer;
static bool power_runs;

static void wish_end(struct wish *wish, uint16_t type, const void *body, uint32_t length)
{
    wish->used = false;
    message_answer(&wish->question, type, body, length);
}

static void wish_refuse(struct wish *wish, const char *why)
{
    wish_end(wish, NODE_NOT_GIVEN, why, (uint32_t)strlen(why));
}

static void wish_ask(const struct wish *wish)
{
    struct iobuf *question = iobuf_alloc_tx();

    if (question == NULL)
        return;                         /* as if it had been lost */
    if (wish->freeing)
        question->len = (uint32_t)format_string((char *)question->data, 100, "free g%u %u", wish->tag, wish->number);
    else
        question->len = (uint32_t)format_string((char *)question->data, 100, "allocate g%u %s", wish->tag, wish->kind);
    udp_send(OWN_PORT, &provisioner, question);
}

static void power_later(void *arg)
{
    uint64_t now = clock_ns();

    (void)arg;
    power_runs = false;
    for (struct wish *wish = wishes; wish < wishes + WISHES; wish++) {
        if (!wish->used)
            continue;
        if (now - wish->since_ns > PATIENCE_NS) {
            wish_refuse(wish, !wish->freeing && wish->number ? "the machine was powered on, and does not say hello" : "the provisioner does not answer");
            continue;
        }
        if (wish->freeing || wish->number == 0)
            wish_ask(wish);
        power_runs = true;
    }
    if (power_runs && !timer_start(&power_timer, AGAIN_NS, power_later, NULL))
        panic("gpos: no memory for a timer");
}

void power_joined(const struct gpos_node *node)
{
    for (struct wish *wish = wishes; wish < wishes + WISHES; wish++)
        if (wish->used && !wish->freeing && wish->number == node->number) {
            struct node_given given = { node->number, wish->warm, 0, node->ip };

            wish_end(wish, NODE_GIVEN, &given, sizeof(given));
            return;
        }
}

/* ---- the provisioner's answers: what is none of ours is nothing ---- */

static const char *number_at(const char *text, uint32_t *number)
{
    unsigned digits = 0;

    for (*number = 0; *text >= '0' && *text <= '9' && digits < 9; text++, digits++)
        *number = *number * 10 + (uint32_t)(*text - '0');
    return digits && (*text == ' ' || *text == '\0') ? text : NULL;
}

static const char *word_behind(const char *text)
{
    while (*text && *text != ' ')
        text++;
    return *text ? text + 1 : text;
}

static void wish_answered(struct wish *wish, const char *verb, const char *rest)
{
    uint32_t number;

    if (strncmp(verb, "refused ", 8) == 0 && (wish->freeing || wish->number == 0)) {
        wish_refuse(wish, rest);
    } else if (wish->freeing && strncmp(verb, "freed ", 6) == 0) {
        struct gpos_node *node = nodes_at(wish->number);

        wish_end(wish, NODE_FREED, NULL, 0);
        nodes_leave(node, "was freed");
    } else if (!wish->freeing && wish->number == 0 && strncmp(verb, "machine ", 8) == 0 && number_at(rest, &number) && number > 0 &&
               nodes_at(number)) {
        wish->number = (uint16_t)number;
        wish->warm = strcmp(word_behind(word_behind(rest)), "warm") == 0;
        if (nodes_at(number)->joined)
            power_joined(nodes_at(number));
    }
}

static void power_answer(void *ctx, const struct udp_peer *from, struct iobuf *rx)
{
    char text[260];
    uint32_t length = rx->len < sizeof(text) - 1 ? rx->len : (uint32_t)sizeof(text) - 1, tag;

    (void)ctx;
    memcpy(text, rx->data, length);
    text[length] = '\0';
    iobuf_free(rx);

    const char *mark = word_behind(text);

    if (from->ip != provisioner.ip || *mark != 'g' || number_at(mark + 1, &tag) == NULL)
        return;
    for (struct wish *wish = wishes; wish < wishes + WISHES; wish++)
        if (wish->used && wish->tag == tag) {
            wish_answered(wish, text, word_behind(mark));
            return;
        }
}

/* ---- nodes' wishes ---- */

static void power_message(void *ctx, const struct message *message)
{
    bool freeing = message->type == NODE_FREE;
    struct wish *wish = wishes;

    (void)ctx;
    nodes_heard(message->from);
    if (message->call == 0 || (message->type != NODE_ALLOCATE && !freeing))
        return;
    while (wish < wishes + WISHES && wish->used)
        wish++;
    if (wish == wishes + WISHES || message->length >= KIND || message->length == 0 || (freeing && message->length != sizeof(wish->number))) {
        const char *why = wish == wishes + WISHES ? "too many wishes are open; ask again later" : "that is no kind of machine, or no number of a node";

        message_answer(message, NODE_NOT_GIVEN, why, (uint32_t)strlen(why));
        return;
    }
    *wish = (struct wish){ .used = true, .freeing = freeing, .question = *message, .tag = ++tags, .since_ns = clock_ns() };
    if (freeing)
        memcpy(&wish->number, message->body, sizeof(wish->number));
    else
        memcpy(wish->kind, message->body, message->length);
    for (const char *c = wish->kind; *c; c++)
        if (*c <= ' ' || *c > '~') {
            wish_refuse(wish, "a kind of machine has letters, digits, - _ and .");
            return;
        }
    wish_ask(wish);
    if (!power_runs) {
        power_runs = true;
        if (!timer_start(&power_timer, AGAIN_NS, power_later, NULL))
            panic("gpos: no memory for a timer");
    }
}

/* A.B.C.D, or 0. */
static uint32_t address_at(const char *text)
{
    uint32_t address = 0;

    for (unsigned part = 0; part < 4; part++) {
        uint32_t number = 0, digits = 0;

        for (; *text >= '0' && *text <= '9' && digits < 4; text++, digits++)
            number = number * 10 + (uint32_t)(*text - '0');
        if (digits == 0 || number > 255 || *text != (part < 3 ? '.' : '\0'))
            return 0;
        address |= number << (8 * part);
        text++;
    }
    return address;
}

void power_start(void)
{
    const char *word = cmdline_get("provisioner", NULL);

    if (word == NULL)
        return;                         /* nobody powers machines on here: nodes' questions find no target */
    provisioner = (struct udp_peer){ .ip = address_at(word), .port = __builtin_bswap16(PROVISIONER_PORT) };
    if (provisioner.ip == 0)
        panic("gpos: the word provisioner=%s must be an IPv4 address", word);
    if (!udp_bind(OWN_PORT, power_answer, NULL) || !messenger_target(NODE_EBB_POWER, power_message, NULL))
        panic("gpos: port %u is taken, or too many targets of messages", OWN_PORT);
}
