/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages: `messages OWN PORT SESSION PEER IP PEER_PORT COUNT`. With a COUNT the node sends so many, of all sizes, every tenth a question, and tells
 * how each ended; else it takes them, checks what is in them and that none comes twice or early, and ends when told to.
 */
#include "check.h"
#include "messenger.h"
#include "words.h"

#define TARGET 600u
#define AT_ONCE 40u
#define PATIENCE_NS 10000000000ull

enum { PUT = 1, ASK, END, SUM };

struct test_letter {
    struct future delivered;
    struct future_wait wait;
    struct message_call call;
    uint32_t number;
    bool asks;
};

static uint16_t test_peer;
static uint32_t test_count, test_next, test_decided, test_delivered, test_failed;
static uint32_t test_expected, test_taken;
static struct timer test_end;

static uint32_t test_length(uint32_t number)
{
    return number % 50 == 7 ? 4 + number * 7919 % 60000 : 4 + number * 7919 % 3000;
}

static void test_fill(uint8_t *body, uint32_t number)
{
    memcpy(body, &number, 4);
    for (uint32_t i = 4; i < test_length(number); i++)
        body[i] = (uint8_t)(number * 31 + i);
}

static uint32_t test_sum(const uint8_t *body, uint32_t length)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < length; i++)
        sum = sum * 31 + body[i];
    return sum;
}

/* ---- the one who sends ---- */

static void test_more(void);

static void test_over(void *arg)
{
    (void)arg;
    machine_exit(0);
}

static void test_told(void *arg)
{
    struct test_letter *letter = arg;
    const struct future *decided = letter->asks ? &letter->call.answered : &letter->delivered;

    if (decided->state == FUTURE_FULFILLED)
        test_delivered++;
    else
        test_failed++;
    if (letter->asks && decided->state == FUTURE_FULFILLED) {
        uint8_t *body = mem_alloc(test_length(letter->number));

        test_fill(body, letter->number);
        uint32_t sum = test_sum(body, test_length(letter->number));
        CHECK(letter->call.type == SUM && letter->call.length == 4 && memcmp(letter->call.reply, &sum, 4) == 0, "answer %u", letter->number);
        mem_free(body);
    }
    mem_free(letter->call.reply);
    mem_free(letter);
    test_decided++;
    test_more();
}

static void test_more(void)
{
    if (test_decided == test_count) {
        struct messenger_counts counts = messenger_counts();

        console_printf("sent %u delivered %u failed %u resent %lu\n", test_count, test_delivered, test_failed, counts.resent);
        test_decided++;                 /* once */
        message_send(test_peer, TARGET, END, NULL, 0, NULL);
        CHECK(timer_start(&test_end, 300000000, test_over, NULL), "no memory");
    }
    while (test_next < test_count && test_next - test_decided < AT_ONCE) {
        struct test_letter *letter = mem_zalloc(sizeof(*letter));
        uint8_t *body = mem_alloc(test_length(test_next));

        CHECK(letter && body, "no memory");
        letter->number = test_next++;
        letter->asks = letter->number % 10 == 3;
        test_fill(body, letter->number);
        future_then(letter->asks ? &letter->call.answered : &letter->delivered, &letter->wait, test_told, letter);
        if (letter->asks)
            message_ask(&letter->call, test_peer, TARGET, ASK, body, test_length(letter->number), PATIENCE_NS);
        else
            message_send(test_peer, TARGET, PUT, body, test_length(letter->number), &letter->delivered);
        mem_free(body);
    }
}

/* ---- the one who takes ---- */

static void test_message(void *ctx, const struct message *message)
{
    uint32_t number;

    (void)ctx;
    CHECK(message->from == test_peer && message->ebb == TARGET, "from %u", message->from);
    if (message->type == END) {
        console_printf("received %u last %u\n", test_taken, test_expected);
        CHECK(timer_start(&test_end, 300000000, test_over, NULL), "no memory");
        return;
    }
    CHECK(message->length >= 4, "length %u", message->length);
    memcpy(&number, message->body, 4);
    CHECK(number >= test_expected, "%u comes behind %u", number, test_expected);
    CHECK(message->length == test_length(number), "length %u of %u", message->length, number);
    for (uint32_t i = 4; i < message->length; i++)
        CHECK(message->body[i] == (uint8_t)(number * 31 + i), "byte %u of %u", i, number);
    CHECK((message->call != 0) == (number % 10 == 3), "call of %u", number);
    test_expected = number + 1;
    test_taken++;
    if (message->call) {
        uint32_t sum = test_sum(message->body, message->length);

        message_answer(message, SUM, &sum, 4);
    }
    if (test_taken % 500 == 0)
        console_printf("taken %u\n", test_taken);
}

void app_main(int argc, char **argv)
{
    CHECK(argc == 8, "%d words", argc);
    test_peer = (uint16_t)test_number(argv[4]);
    test_count = test_number(argv[7]);
    CHECK(messenger_target(TARGET, test_message, NULL), "target");
    CHECK(messenger_start((uint16_t)test_number(argv[1]), (uint16_t)test_number(argv[2]), test_number(argv[3])), "port");
    messenger_peer(test_peer, test_ip(argv[5], NULL), (uint16_t)test_number(argv[6]));
    console_printf("messages: ready\n");
    if (test_count)
        test_more();
}
