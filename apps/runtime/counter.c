/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A counter behind an Ebb's id: one for all vCPUs, one for each, or one for each of all nodes, which know of one at home. */
#include "bench.h"

__attribute__((noinline, noclone)) ebb_id counter_put(struct counter *counter, uint64_t n)
{
    counter->values[n % VALUES] = n;
    return counter->self;
}

static void *counter_make(ebb_id id)
{
    struct counter *counter = mem_zalloc(sizeof(*counter));

    if (counter == NULL)
        panic("runtime: no memory for a counter");
    counter->self = id;
    return counter;
}

ebb_id counter_shared(void)
{
    struct counter *counter = counter_make(EBB_NONE);

    counter->self = ebb_create_shared(counter);
    return counter->self;
}

static void *counter_miss(ebb_id id, void *root)
{
    (void)root;
    return counter_make(id);
}

ebb_id counter_per_cpu(void)
{
    return ebb_create(counter_miss, NULL);
}

void *counter_distributed_miss(ebb_id id, void *root)
{
    struct counter *counter = counter_make(id);

    counter->root = root;
    return counter;
}

/* ---- at home ---- */

static uint32_t counter_ids[SAMPLES];
static uint64_t counter_sums[SAMPLES];

static void counter_add(void *ctx, const struct message *message)
{
    uint64_t *sum = ctx, n;

    if (message->type != COUNTER_ADD || message->length != sizeof(n))
        return;
    memcpy(&n, message->body, sizeof(n));
    *sum += n;
    message_answer(message, COUNTER_ADD, sum, sizeof(*sum));
}

static void counter_tell(void *ctx, const struct message *message)
{
    (void)ctx;
    if (message->type == COUNTER_IDS)
        message_answer(message, COUNTER_IDS, counter_ids, sizeof(counter_ids));
}

void counter_home(void)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct future known = { 0 };

        counter_ids[i] = node_new_id();
        if (counter_ids[i] == 0 || !messenger_target(counter_ids[i], counter_add, &counter_sums[i]))
            panic("runtime: no id for a counter");
        node_publish(counter_ids[i], NULL, 0, &known);
        bench_wait(&known, "publishing an id");
    }
    if (!messenger_target(NODE_EBB_APPLICATION, counter_tell, NULL))
        panic("runtime: too many targets");
}
