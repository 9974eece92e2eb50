/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What it costs to ask gpos: `offload TIMES` does each of a few things so often, one after the other, and says on its console when each begins and when it is done:
 * bench/offload.py reads what the nodes were busy with in between.
 */
#include "node.h"

#define IDLE_NS 20000000ull
#define LINE "a line of a program's log, as such lines are"

struct operation {
    const char *name;
    void (*one)(void);                  /* calls bench_next when it is done */
    bool at_once;                       /* all of them, then `one` */
    bool single;                        /* done once, however many times the others are */
};

static void bench_next(void *arg);

static uint32_t times = 100, done;
static unsigned current;
static struct future joined, decided;
static struct future_wait wait;
static struct node_log_sync stored;
static struct timer pause;
static uint32_t id;
static char text[16];

static void bench_nothing(void)
{
    if (!timer_start(&pause, IDLE_NS, bench_next, NULL))
        panic("offload: no memory for a timer");
}

static void bench_wait_stored(void)
{
    node_log_sync(&stored);
    future_then(&stored.done, &wait, bench_next, NULL);
}

static void bench_line(void)
{
    node_log(LINE, sizeof(LINE) - 1);
    bench_wait_stored();
}

static void bench_lines(void)
{
    for (uint32_t i = 0; i < times; i++)
        node_log(LINE, sizeof(LINE) - 1);
    bench_wait_stored();
}

static void bench_read(void)
{
    char value[NODE_VALUE];

    if (!node_config_get("size", value))
        panic("offload: gpos has no key size; give it set=size:7");
    event_spawn(0, bench_next, NULL);
}

static void bench_wait_decided(void)
{
    future_then(&decided, &wait, bench_next, NULL);
}

static void bench_change(void)
{
    format_string(text, sizeof(text), "%u", done);
    decided = (struct future){ 0 };
    node_config_set("size", text, &decided);
    bench_wait_decided();
}

static void bench_publish(void)
{
    id = node_new_id();
    decided = (struct future){ 0 };
    node_publish(id, text, sizeof(text), &decided);
    bench_wait_decided();
}

static void bench_resolve(void)
{
    static struct node_root root;

    decided = (struct future){ 0 };
    node_resolve(id - done, &root, &decided);
    bench_wait_decided();
}

static const struct operation operations[] = {
    { "nothing for 20 ms", bench_nothing, false, true },
    { "a log line, alone", bench_line, false, false },
    { "a log line of many", bench_lines, true, false },
    { "a key read", bench_read, false, false },
    { "a key changed", bench_change, false, false },
    { "an id published", bench_publish, false, false },
    { "an id resolved", bench_resolve, false, false },
};

static void bench_first(void *arg)
{
    (void)arg;
    console_tap(NULL);                  /* nor those that follow */
    console_printf("bench: begin\n");
    operations[current].one();
}

static void bench_begin(void *arg)
{
    (void)arg;
    if (current == sizeof(operations) / sizeof(operations[0])) {
        console_printf("offload: over\n");
        return;
    }
    done = 0;
    node_log_sync(&stored);             /* that line is not to be among what is measured */
    future_then(&stored.done, &wait, bench_first, NULL);
}

static void bench_next(void *arg)
{
    const struct operation *operation = &operations[current];
    uint32_t all = operation->single ? 1 : times;

    (void)arg;
    if (decided.state == FUTURE_FAILED || stored.done.state == FUTURE_FAILED)
        panic("offload: %s failed: %d", operation->name, decided.state == FUTURE_FAILED ? decided.error : stored.done.error);
    done = operation->at_once ? all : done + 1;
    if (done < all) {
        operation->one();
        return;
    }
    console_printf("bench: %u %s\n", all, operation->name);
    current++;
    if (!timer_start(&pause, IDLE_NS / 4, bench_begin, NULL))
        panic("offload: no memory for a timer");
}

static void bench_joined(void *arg)
{
    (void)arg;
    if (joined.state == FUTURE_FAILED)
        panic("offload: %s", node_refusal());
    if (!timer_start(&pause, IDLE_NS, bench_begin, NULL))
        panic("offload: no memory for a timer");
}

void app_main(int argc, char **argv)
{
    if (argc > 1) {
        times = 0;
        for (const char *at = argv[1]; *at >= '0' && *at <= '9' && times < 100000; at++)
            times = times * 10 + (uint32_t)(*at - '0');
        if (times == 0)
            panic("offload: give how many times, not %s", argv[1]);
    }
    if (!node_start("offload", &joined))
        panic("offload: there is no word gpos=");
    future_then(&joined, &wait, bench_joined, NULL);
    console_printf("offload: ready\n");
}
