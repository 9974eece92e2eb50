/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several nodes write the same bytes at once. Each word says who wrote it and in which of its writes. */
#include "nodes.h"

static struct {
    struct shared *race;
    event_fn then;
    uint64_t *words;
    uint64_t *newest[3];        /* of each block: the last write of each node that was seen there */
    uint32_t left;
    struct future future;
    struct future_wait wait;
} race;

static void race_write(void);

static void race_check(void)
{
    uint32_t blocks = (uint32_t)(race.race->size / SHARED_BLOCK), words = SHARED_BLOCK / 8;

    for (uint32_t block = 0; block < blocks; block++) {
        const uint64_t *here = race.words + (size_t)block * words;
        uint32_t node = (uint32_t)(here[0] >> 32), count = (uint32_t)here[0];

        for (uint32_t i = 1; i < words; i++)
            CHECK(here[i] == here[0], "block %u is of two writes: %lx and %lx", block, here[0], here[i]);
        CHECK(node == NODE_LEADER || node == NODE_HELPER, "block %u: %lx", block, here[0]);
        CHECK(count >= race.newest[node][block], "block %u of node %u went back from %lu to %u", block, node, race.newest[node][block], count);
        race.newest[node][block] = count;
    }
}

static void race_have_read(void *arg)
{
    (void)arg;
    CHECK(race.future.state == FUTURE_FULFILLED, "read: %s", shared_error(race.future.error));
    race_check();
    if (--race.left)
        race_write();
    else
        race.then(NULL);
}

static void race_have_written(void *arg)
{
    (void)arg;
    CHECK(race.future.state == FUTURE_FULFILLED, "write: %s", shared_error(race.future.error));
    race.future = (struct future){ 0 };
    future_then(&race.future, &race.wait, race_have_read, NULL);
    shared_read(race.race, 0, race.words, (uint32_t)race.race->size, &race.future);
}

static void race_write(void)
{
    for (uint32_t block = 0; block < race.race->size / SHARED_BLOCK; block++) {
        uint64_t *here = race.words + (size_t)block * SHARED_BLOCK / 8;

        race.newest[messenger_own()][block]++;  /* our own of before is gone, for whoever reads from now on */
        for (uint32_t i = 0; i < SHARED_BLOCK / 8; i++)
            here[i] = (uint64_t)messenger_own() << 32 | race.newest[messenger_own()][block];
    }
    race.future = (struct future){ 0 };
    future_then(&race.future, &race.wait, race_have_written, NULL);
    shared_write(race.race, 0, race.words, (uint32_t)race.race->size, &race.future);
}

void test_race(struct shared *object, uint32_t times, event_fn then)
{
    race.race = object;
    race.then = then;
    race.left = times;
    race.words = mem_alloc(object->size);
    CHECK(race.words, "no memory");
    for (unsigned i = 0; i < 3; i++) {
        race.newest[i] = mem_zalloc(object->size / SHARED_BLOCK * 8);
        CHECK(race.newest[i], "no memory");
    }
    race_write();
}
