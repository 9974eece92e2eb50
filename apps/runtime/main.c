/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench.h"

#define SETTLED_NS 20000000ull          /* by then every node has booted */

static uint16_t home;

static uint16_t runtime_node(const char *text)
{
    unsigned n = 0;

    for (const char *at = text; *at >= '0' && *at <= '9' && n < MESSENGER_NODES; at++)
        n = n * 10 + (unsigned)(*at - '0');
    if (n == 0 || n >= MESSENGER_NODES)
        panic("runtime: ask a node's number, 1 to 255, not %s", text);
    return (uint16_t)n;
}

static void runtime_main(void *arg)
{
    struct future joined = { 0 };

    (void)arg;
    if (!node_start("runtime", &joined))
        panic("runtime: there is no word gpos=");
    if (future_wait(&joined))
        panic("runtime: %s", node_refusal());
    if (home == 0) {
        counter_home();
        return;
    }
    bench_pause(SETTLED_NS);
    console_tap(NULL);                  /* what follows is not for gpos's log */
    bench_begin();
    bench_nodes(home);
    console_printf("runtime: over\n");
}

void app_main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "ask") == 0)
        home = runtime_node(argv[2]);
    else if (argc != 2 || strcmp(argv[1], "home") != 0)
        panic("runtime: say home, or ask and a node's number");
    if (!context_run(runtime_main, NULL))
        panic("runtime: no memory for a stack");
    console_printf("runtime: ready\n");
}
