/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The helper: reads, writes and races when the leader asks for it, one after the other, and answers when that is done. */
#include "nodes.h"

static struct {
    struct shared small, race;
    struct message question;
    struct help help;
    uint8_t *bytes;
    struct future future;
    struct future_wait wait;
    struct timer over;
} helper;

static void helper_await(event_fn then)
{
    future_then(&helper.future, &helper.wait, then, NULL);
}

static void helper_answer(uint32_t value)
{
    mem_free(helper.bytes);
    helper.bytes = NULL;
    helper.question.body = NULL;
    message_answer(&helper.question, helper.question.type, &value, sizeof(value));
}

static void helper_done(void *arg)
{
    (void)arg;
    CHECK(helper.future.state == FUTURE_FULFILLED, "%s", shared_error(helper.future.error));
    helper_answer(helper.question.type == HELP_READ ? test_sum(helper.bytes, helper.help.length) : 0);
}

static void helper_raced(void *arg)
{
    (void)arg;
    helper_answer(0);
}

static void helper_end(void *arg)
{
    (void)arg;
    test_success();
}

static void helper_message(void *ctx, const struct message *message)
{
    (void)ctx;
    CHECK(message->from == NODE_LEADER, "from %u", message->from);
    if (message->type == HELP_END) {
        CHECK(timer_start(&helper.over, 300000000, helper_end, NULL), "no memory");
        return;
    }
    CHECK(message->length == sizeof(helper.help) && helper.bytes == NULL, "not now");
    helper.question = *message;
    memcpy(&helper.help, message->body, sizeof(helper.help));
    if (message->type == HELP_RACE) {
        test_race(&helper.race, helper.help.seed, helper_raced);
        return;
    }
    helper.bytes = mem_alloc(helper.help.length + 1);
    CHECK(helper.bytes, "no memory");
    for (uint32_t i = 0; i < helper.help.length; i++)
        helper.bytes[i] = test_byte(helper.help.seed, helper.help.offset + i);
    helper.future = (struct future){ 0 };
    helper_await(helper_done);
    if (message->type == HELP_READ)
        shared_read(&helper.small, helper.help.offset, helper.bytes, helper.help.length, &helper.future);
    else
        shared_write(&helper.small, helper.help.offset, helper.bytes, helper.help.length, &helper.future);
}

static void helper_ready(void *arg)
{
    (void)arg;
    CHECK(helper.future.state == FUTURE_FULFILLED, "open: %s", shared_error(helper.future.error));
    CHECK(messenger_target(TEST_EBB, helper_message, NULL), "target");
    console_printf("helper: ready\n");
}

static void helper_open_race(void *arg)
{
    (void)arg;
    CHECK(helper.future.state == FUTURE_FULFILLED, "open: %s", shared_error(helper.future.error));
    helper.future = (struct future){ 0 };
    helper_await(helper_ready);
    shared_open(&helper.race, helper.small.with, NODE_HOME, "race", &helper.future);
}

void test_helper(const struct shared_integration *with)
{
    helper_await(helper_open_race);
    shared_open(&helper.small, with, NODE_HOME, "small", &helper.future);
}
