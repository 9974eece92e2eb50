/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The nodes of a test of shared objects: 0 is home, 1 leads, 2 does as it is told. */
#ifndef NODES_H
#define NODES_H

#include "check.h"
#include "messenger.h"
#include "shared.h"

enum { NODE_HOME, NODE_LEADER, NODE_HELPER };

/* The objects that home has: name and size. Sizes about the borders of blocks (4,096) and of calls (32,768). */
#define TEST_OBJECTS(X) X(empty, 0) X(one, 1) X(small, 10000) X(exact, 32768) X(big, 1000013) X(race, 40960)

#define TEST_EBB 600u           /* of the leader and the helper */

/* What the leader asks of the helper. */
enum { HELP_READ = 1, HELP_WRITE, HELP_RACE, HELP_END };

struct help {
    uint64_t offset;
    uint32_t length;
    uint32_t seed;              /* of what is written; of a race, how many times */
};

static inline uint8_t test_byte(uint32_t seed, uint64_t at)
{
    return (uint8_t)(seed * 167 + at * 13 + (at >> 8) * 7);
}

static inline uint32_t test_sum(const uint8_t *bytes, uint32_t length)
{
    uint32_t sum = 1;

    for (uint32_t i = 0; i < length; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

/* home.c, leader.c, helper.c, race.c: `with` is what the test is of. */
void test_home(const struct shared_integration *with);
void test_leader(const struct shared_integration *with, const char *what);
void test_helper(const struct shared_integration *with);

/*
 * Writes all of the object `race` so many times, reads it after each, and checks what no two writers may break: blocks are of one write, and none goes back.
 * Then runs `then`.
 */
void test_race(struct shared *race, uint32_t times, event_fn then);

#endif
