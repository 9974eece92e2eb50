/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * grow KIND COUNT: an application that asks for COUNT machines of that kind at once, says when each has joined, and gives them back. It needs a gpos
 * (docs/offload.md) and a pool of the kind (docs/elasticity.md).
 */
#include "node.h"

#define MOST 64u

static struct node_grant grants[MOST];
static struct future_wait waits[MOST];
static struct future freed[MOST], joined;
static struct future_wait join_wait;
static const char *kind;
static unsigned count, decided, given, gone;
static uint64_t asked_ns;

static uint64_t since_us(void)
{
    return (clock_ns() - asked_ns) / 1000;
}

static void grow_freed(void *arg)
{
    struct node_grant *grant = arg;
    bool is_freed = freed[grant - grants].state == FUTURE_FULFILLED;

    console_printf("grow: node %u %s after %lu us\n", grant->number, is_freed ? "is freed" : "cannot be freed", (unsigned long)since_us());
    if (++gone == given)
        console_printf("grow: done\n");
}

static void grow_give_back(void)
{
    asked_ns = clock_ns();
    for (unsigned i = 0; i < count; i++)
        if (grants[i].given.state == FUTURE_FULFILLED) {
            memset(&waits[i], 0, sizeof(waits[i]));
            future_then(&freed[i], &waits[i], grow_freed, &grants[i]);
            node_free(grants[i].number, &freed[i]);
        }
    if (given == 0)
        console_printf("grow: done\n");
}

static void grow_decided(void *arg)
{
    struct node_grant *grant = arg;

    if (grant->given.state == FUTURE_FULFILLED) {
        given++;
        console_printf("grow: node %u has joined after %lu us, %s\n", grant->number, (unsigned long)since_us(), grant->warm ? "warm" : "cold");
    } else {
        console_printf("grow: no machine after %lu us: %s\n", (unsigned long)since_us(), grant->given.error == NODE_REFUSED ? grant->why : "no answer");
    }
    if (++decided == count)
        grow_give_back();
}

static void grow_begin(void *arg)
{
    (void)arg;
    if (joined.state == FUTURE_FAILED)
        panic("grow: refused: %s", node_refusal());
    console_printf("grow: ready\n");
    asked_ns = clock_ns();
    for (unsigned i = 0; i < count; i++) {
        node_allocate(kind, &grants[i]);
        future_then(&grants[i].given, &waits[i], grow_decided, &grants[i]);
    }
}

void app_main(int argc, char **argv)
{
    const char *at = argc == 3 ? argv[2] : "";

    for (; *at >= '0' && *at <= '9' && count <= MOST; at++)
        count = count * 10 + (unsigned)(*at - '0');
    if (argc != 3 || *at || count == 0 || count > MOST)
        panic("grow: give a kind of machine and how many, 1 to 64");
    kind = argv[1];
    future_then(&joined, &join_wait, grow_begin, NULL);
    if (!node_start("grow", &joined))
        panic("grow: there is no gpos to ask (the word gpos=)");
}
