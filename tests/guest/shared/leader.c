/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "leader.h"

struct leader leader = { .random = 5 };

struct future *leader_await(event_fn then)
{
    leader.future = (struct future){ 0 };
    future_then(&leader.future, &leader.wait, then, NULL);
    return &leader.future;
}

void leader_must(const char *what)
{
    CHECK(leader.future.state == FUTURE_FULFILLED, "%s: %s", what, shared_error(leader.future.error));
}

void test_leader(const struct shared_integration *with, const char *what)
{
    leader.with = with;
    console_printf("leader: ready\n");
    if (strcmp(what, "death") == 0)
        leader_death(NULL);
    else
        leader_table(NULL);
}
