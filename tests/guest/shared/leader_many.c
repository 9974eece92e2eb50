/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes at random places, then many at once in places of their own, and a closing while they are under way. Handle 2 is of `big`. */
#include "leader.h"

#define TURNS 150u
#define AT_ONCE 24u
#define APART 41000u            /* each has so many bytes, across blocks and calls */

struct one {
    struct future future;
    struct future_wait wait;
    uint8_t *bytes;
    uint32_t number;
};

static struct {
    uint32_t turn, left;
    uint64_t offset;
    uint32_t length;
    bool writes, closed, refused;
    uint8_t *bytes;
    struct one ones[AT_ONCE];
    event_fn then;
    struct future closing;
    struct future_wait wait;
} many;

static void many_turn(void *arg);

/* ---- one after the other ---- */

static void many_decided(void *arg)
{
    leader_must(many.writes ? "write" : "read");
    if (!many.writes)
        CHECK(memcmp(many.bytes, leader.shadow_big + many.offset, many.length) == 0, "turn %u: %u bytes at %lu are others", many.turn, many.length,
              many.offset);
    mem_free(many.bytes);
    many_turn(arg);
}

static void many_begin(void *arg);

static void many_turn(void *arg)
{
    struct shared *big = &leader.handles[2];

    if (many.turn++ == TURNS) {
        console_printf("random: %u operations\n", TURNS);
        many_begin(arg);
        return;
    }
    many.offset = test_random(&leader.random) % big->size;
    many.length = test_random(&leader.random) % (many.turn % 10 == 0 ? 200000u : 9000u);
    if (many.length > big->size - many.offset)
        many.length = (uint32_t)(big->size - many.offset);
    many.writes = test_random(&leader.random) % 2;
    many.bytes = mem_alloc(many.length + 1);
    CHECK(many.bytes, "no memory");
    for (uint32_t i = 0; i < many.length; i++)
        many.bytes[i] = test_byte(many.turn, i);
    if (many.writes) {
        memcpy(leader.shadow_big + many.offset, many.bytes, many.length);
        shared_write(big, many.offset, many.bytes, many.length, leader_await(many_decided));
    } else {
        shared_read(big, many.offset, many.bytes, many.length, leader_await(many_decided));
    }
}

/* ---- many at once: all write; all read what they wrote; all read, and the handle is closed behind them ---- */

static void many_ended(void *arg)
{
    struct one *one = arg;

    CHECK(one->future.state == FUTURE_FULFILLED, "one of many: %s", shared_error(one->future.error));
    for (uint32_t i = 0; i < APART - 1; i++)
        CHECK(one->bytes[i] == test_byte(one->number + 77, i), "one of many: byte %u of %u", i, one->number);
    if (--many.left == 0)
        many.then(NULL);
}

static void many_all(bool writes, event_fn then)
{
    many.left = AT_ONCE;
    many.then = then;
    for (uint32_t number = 0; number < AT_ONCE; number++) {
        struct one *one = &many.ones[number];

        one->number = number;
        one->future = (struct future){ 0 };
        if (one->bytes == NULL)
            one->bytes = mem_alloc(APART);
        CHECK(one->bytes, "no memory");
        for (uint32_t i = 0; i < APART - 1; i++)
            one->bytes[i] = writes ? test_byte(number + 77, i) : 0;
        future_then(&one->future, &one->wait, many_ended, one);
        if (writes)
            shared_write(&leader.handles[2], (uint64_t)number * APART, one->bytes, APART - 1, &one->future);
        else
            shared_read(&leader.handles[2], (uint64_t)number * APART, one->bytes, APART - 1, &one->future);
    }
}

static void many_over(void *arg)
{
    if (!many.closed || !many.refused || many.left)
        return;
    console_printf("at once: 3 times %u operations\n", AT_ONCE);
    leader_together(arg);
}

static void many_closed(void *arg)
{
    CHECK(many.closing.state == FUTURE_FULFILLED, "close: %s", shared_error(many.closing.error));
    for (uint32_t number = 0; number < AT_ONCE; number++)
        CHECK(future_decided(&many.ones[number].future), "closed while %u is under way", number);
    many.closed = true;
    many_over(arg);
}

static void many_refused(void *arg)
{
    CHECK(leader.future.state == FUTURE_FAILED && leader.future.error == SHARED_CLOSED, "read of a closing handle");
    many.refused = true;
    many_over(arg);
}

static void many_close(void *arg)
{
    (void)arg;
    many_all(false, many_over);
    future_then(&many.closing, &many.wait, many_closed, NULL);
    shared_close(&leader.handles[2], &many.closing);
    shared_read(&leader.handles[2], 0, &many.left, 0, leader_await(many_refused));
}

static void many_read(void *arg)
{
    (void)arg;
    many_all(false, many_close);
}

static void many_begin(void *arg)
{
    (void)arg;
    many_all(true, many_read);
}

void leader_many(void *arg)
{
    many_turn(arg);
}
