/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The home dies while operations are under way: every future is decided, and the handle says why. Then it lives anew, with objects of zeros: the old handle
 * is stale, a new one works.
 */
#include "leader.h"

#define AT_ONCE 6u
#define SPAN 70000u
#define AGAIN_NS 50000000u

struct one {
    struct future future;
    struct future_wait wait;
    uint8_t *bytes;
    uint32_t number, turns;
};

static struct {
    struct one ones[AT_ONCE];
    uint32_t failed;
    uint32_t tries;
    struct timer timer;
} death;

static void death_again(void *arg);

static void death_later(event_fn then)
{
    CHECK(death.tries++ < 2000, "the home never came back");
    CHECK(timer_start(&death.timer, AGAIN_NS, then, NULL), "no memory");
}

static void death_closed(void *arg)
{
    (void)arg;
    console_printf("closed: %s\n", leader.future.state == FUTURE_FULFILLED ? "well" : shared_error(leader.future.error));
    test_success();
}

static void death_zeros(void *arg)
{
    (void)arg;
    leader_must("read");
    for (uint32_t i = 0; i < SPAN; i++)
        CHECK(death.ones[0].bytes[i] == 0, "byte %u of a new life's object is %x", i, death.ones[0].bytes[i]);
    shared_close(&leader.handles[0], leader_await(death_closed));      /* the stale one */
}

static void death_wrote(void *arg)
{
    (void)arg;
    leader_must("write");
    shared_read(&leader.handles[1], 0, death.ones[0].bytes, SPAN, leader_await(death_zeros));
}

static void death_old(void *arg)
{
    (void)arg;
    CHECK(leader.future.state == FUTURE_FAILED && leader.future.error == SHARED_STALE, "the old handle: %s",
          leader.future.state == FUTURE_FAILED ? shared_error(leader.future.error) : "read");
    shared_write(&leader.handles[1], SPAN, death.ones[1].bytes, SPAN, leader_await(death_wrote));
}

static void death_opened(void *arg)
{
    (void)arg;
    if (leader.future.state == FUTURE_FAILED) {
        CHECK(leader.future.error == SHARED_UNREACHABLE || leader.future.error == SHARED_ABSENT || leader.future.error == SHARED_REFUSED, "open: %s",
              shared_error(leader.future.error));       /* it is not there, or not yet with its objects */
        death_later(death_again);
        return;
    }
    console_printf("there again\n");
    shared_read(&leader.handles[0], 0, death.ones[0].bytes, 1, leader_await(death_old));
}

static void death_again(void *arg)
{
    (void)arg;
    shared_open(&leader.handles[1], leader.with, NODE_HOME, "big", leader_await(death_opened));
}

static void death_begin(struct one *one);

static void death_decided(void *arg)
{
    struct one *one = arg;

    if (one->future.state == FUTURE_FULFILLED) {
        if (++one->turns == 20 && one->number == 0)
            console_printf("under way\n");
        death_begin(one);
        return;
    }
    CHECK(one->future.error == SHARED_UNREACHABLE || one->future.error == SHARED_STALE, "%s", shared_error(one->future.error));
    if (++death.failed == AT_ONCE) {
        console_printf("failed: %u of %u\n", death.failed, AT_ONCE);
        death_again(NULL);
    }
}

static void death_begin(struct one *one)
{
    one->future = (struct future){ 0 };
    future_then(&one->future, &one->wait, death_decided, one);
    if ((one->number + one->turns) % 2)
        shared_write(&leader.handles[0], one->number * 1000u, one->bytes, SPAN, &one->future);
    else
        shared_read(&leader.handles[0], one->number * 1000u, one->bytes, SPAN, &one->future);
}

static void death_have(void *arg)
{
    (void)arg;
    leader_must("open");
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        death.ones[i].number = i;
        death.ones[i].bytes = mem_zalloc(SPAN);
        CHECK(death.ones[i].bytes, "no memory");
        memset(death.ones[i].bytes, 1, SPAN);
        death_begin(&death.ones[i]);
    }
}

void leader_death(void *arg)
{
    (void)arg;
    shared_open(&leader.handles[0], leader.with, NODE_HOME, "big", leader_await(death_have));
}
