/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Distributed Ebbs that are at home on another node: met through gpos's map, called here, asked there. */
#include "bench.h"

#define AGAIN_NS 1000000ull
#define PATIENCE_NS 1000000000ull

/* Asks until the home is there and has published them. */
static void nodes_ids(uint16_t home, uint32_t ids[SAMPLES])
{
    for (;;) {
        struct future there = { 0 };

        node_peer(home, &there);
        if (future_wait(&there) == 0) {
            struct message_call call = { 0 };

            message_ask(&call, home, NODE_EBB_APPLICATION, COUNTER_IDS, NULL, 0, PATIENCE_NS);
            if (future_wait(&call.answered) == 0) {
                if (call.length != SAMPLES * sizeof(*ids))
                    panic("runtime: node %u has other ids", home);
                memcpy(ids, call.reply, call.length);
                mem_free(call.reply);
                return;
            }
        }
        bench_pause(AGAIN_NS);
    }
}

static void nodes_attach(const uint32_t ids[SAMPLES], ebb_id slots[SAMPLES], const char *what)
{
    uint64_t samples[SAMPLES];

    for (unsigned i = 0; i < SAMPLES; i++) {
        struct future attached = { 0 };
        uint64_t start = bench_now();

        node_attach(ids[i], counter_distributed_miss, &slots[i], &attached);
        bench_wait(&attached, "attaching");
        counter_put(ebb_rep(slots[i]), i);
        samples[i] = bench_since(start);
    }
    bench_report(samples, "node", "%s", what);
}

static void nodes_ask(ebb_id slot)
{
    const struct counter *counter = ebb_rep(slot);
    uint64_t samples[SAMPLES], n, sum, expected = 0;

    for (unsigned i = 0; i < SAMPLES; i++) {
        struct message_call call = { 0 };
        uint64_t start = bench_now();

        n = i + 1;
        message_ask(&call, counter->root->home, counter->root->id, COUNTER_ADD, &n, sizeof(n), PATIENCE_NS);
        bench_wait(&call.answered, "asking the one at home");
        samples[i] = bench_since(start);
        memcpy(&sum, call.reply, sizeof(sum));
        mem_free(call.reply);
        expected += n;
        if (sum != expected)
            panic("runtime: the sum at home is %llu, not %llu", (unsigned long long)sum, (unsigned long long)expected);
    }
    bench_report(samples, "node", "question to the one at home, its answer: a future fulfilled from there");
}

static void nodes_send(ebb_id slot)
{
    const struct counter *counter = ebb_rep(slot);
    uint64_t samples[SAMPLES], none = 0;

    for (unsigned i = 0; i < SAMPLES; i++) {
        struct future delivered = { 0 };
        uint64_t start = bench_now();

        message_send(counter->root->home, counter->root->id, 0, &none, sizeof(none), &delivered);
        bench_wait(&delivered, "sending");
        samples[i] = bench_since(start);
    }
    bench_report(samples, "node", "message to the one at home: its future, once it is there");
}

void bench_nodes(uint16_t home)
{
    uint32_t ids[SAMPLES];
    ebb_id slots[SAMPLES];

    nodes_ids(home, ids);
    bench_calls();
    nodes_attach(ids, slots, "first call here of an Ebb that gpos's map knows");
    nodes_attach(ids, slots, "the same once its root is known here");
    bench_calls_of(slots[0], "distributed Ebb");
    bench_first_calls(slots);
    bench_later();
    nodes_ask(slots[0]);
    nodes_send(slots[0]);
}
