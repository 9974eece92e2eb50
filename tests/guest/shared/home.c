/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The home: it has the objects, and ends when it is told to. */
#include "nodes.h"

static struct timer home_over;

static void home_end(void *arg)
{
    (void)arg;
    machine_exit(0);
}

static void home_message(void *ctx, const struct message *message)
{
    (void)ctx;
    CHECK(message->type == HELP_END, "type %u", message->type);
    console_printf("home: over\n");
    CHECK(timer_start(&home_over, 300000000, home_end, NULL), "no memory");
}

void test_home(const struct shared_integration *with)
{
    CHECK(messenger_target(TEST_EBB, home_message, NULL), "target");
    CHECK(shared_serve(with) == 0, "serve");
#define TEST_HOST(name, size) CHECK(shared_host(with, #name, size) == 0, "host " #name);
    TEST_OBJECTS(TEST_HOST)
    CHECK(shared_host(with, "small", 10) == SHARED_REFUSED, "twice");
    CHECK(shared_host(with, "", 10) == SHARED_REFUSED, "no name");
    CHECK(shared_host(with, ".hidden", 10) == SHARED_REFUSED, "no name");
    CHECK(shared_host(with, "a/b", 10) == SHARED_REFUSED, "no name");
    CHECK(shared_host(with, "large", SHARED_SIZE_MOST + 1) == SHARED_REFUSED, "too large");
    console_printf("home: ready\n");
}
