/* SPDX-License-Identifier: GPL-2.0-or-later */
/* With the helper, on another node: what one has written, the other sees as soon as it hears of it; and both write the same bytes at once. */
#include "leader.h"

#define ROUNDS 40u
#define RACES 60u
#define PATIENCE_NS 60000000000ull

static struct {
    uint32_t round;
    uint8_t bytes[10000];
    struct help help;
    struct message_call call;
    struct future_wait wait;
    event_fn then;
    bool raced;
    struct timer over;
} together;

static void together_answered(void *arg)
{
    CHECK(together.call.answered.state == FUTURE_FULFILLED, "the helper: %d", together.call.answered.error);
    together.then(arg);                 /* which frees the reply */
}

static void together_ask(uint16_t type, event_fn then)
{
    together.call = (struct message_call){ 0 };
    together.then = then;
    future_then(&together.call.answered, &together.wait, together_answered, NULL);
    message_ask(&together.call, NODE_HELPER, TEST_EBB, type, &together.help, sizeof(together.help), PATIENCE_NS);
}

/* ---- what completed is seen ---- */

static void together_round(void *arg);

static void together_sum(void *arg)
{
    uint32_t sum;

    CHECK(together.call.length == sizeof(sum), "sum");
    memcpy(&sum, together.call.reply, sizeof(sum));
    mem_free(together.call.reply);
    CHECK(sum == test_sum(together.bytes, together.help.length), "round %u: the helper read something else", together.round);
    together_round(arg);
}

static void together_written(void *arg)
{
    (void)arg;
    leader_must("write");
    together_ask(HELP_READ, together_sum);
}

static void together_read(void *arg)
{
    leader_must("read");
    for (uint32_t i = 0; i < together.help.length; i++)
        CHECK(together.bytes[i] == test_byte(together.help.seed, together.help.offset + i), "round %u: byte %u is not the helper's", together.round, i);
    together_round(arg);
}

static void together_helper_wrote(void *arg)
{
    (void)arg;
    mem_free(together.call.reply);
    shared_read(&leader.handles[0], together.help.offset, together.bytes, together.help.length, leader_await(together_read));
}

static void together_race(void *arg);

static void together_round(void *arg)
{
    if (together.round++ == ROUNDS) {
        console_printf("seen: %u rounds\n", ROUNDS);
        together_race(arg);
        return;
    }
    together.help.offset = test_random(&leader.random) % 10000;
    together.help.length = 1 + test_random(&leader.random) % (uint32_t)(10000 - together.help.offset);
    together.help.seed = test_random(&leader.random);
    if (together.round % 2) {
        together_ask(HELP_WRITE, together_helper_wrote);
        return;
    }
    for (uint32_t i = 0; i < together.help.length; i++)
        together.bytes[i] = test_byte(together.help.seed, together.help.offset + i);
    shared_write(&leader.handles[0], together.help.offset, together.bytes, together.help.length, leader_await(together_written));
}

/* ---- both at once ---- */

static void together_over(void *arg)
{
    (void)arg;
    test_success();
}

static void together_raced(void *arg)
{
    (void)arg;
    if (!together.raced) {              /* the other is still at it */
        together.raced = true;
        return;
    }
    console_printf("race: %u writes each\n", RACES);
    message_send(NODE_HELPER, TEST_EBB, HELP_END, NULL, 0, NULL);
    message_send(NODE_HOME, TEST_EBB, HELP_END, NULL, 0, NULL);
    CHECK(timer_start(&together.over, 300000000, together_over, NULL), "no memory");
}

static void together_helper_raced(void *arg)
{
    mem_free(together.call.reply);
    together_raced(arg);
}

static void together_race_opened(void *arg)
{
    (void)arg;
    leader_must("open race");
    together.help.seed = RACES;
    together_ask(HELP_RACE, together_helper_raced);
    test_race(&leader.handles[1], RACES, together_raced);
}

static void together_race(void *arg)
{
    (void)arg;
    shared_open(&leader.handles[1], leader.with, NODE_HOME, "race", leader_await(together_race_opened));
}

void leader_together(void *arg)
{
    (void)arg;
    shared_open(&leader.handles[0], leader.with, NODE_HOME, "small", leader_await(together_round));
}
