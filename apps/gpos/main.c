/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpos WORDS -- PROGRAM ARGUMENTS: starts the services, then the node's other program, if there is one. */
#include "gpos.h"
#include "hosted.h"
#include "ninep.h"

unsigned hosted_cpus_most = 1;          /* hosted/threads.c */

uint32_t words_number(const char *key, uint32_t fallback, uint32_t least, uint32_t most)
{
    const char *text = cmdline_get(key, NULL);
    uint64_t value = 0;
    const char *at = text;

    if (text == NULL)
        return fallback;
    while (*at >= '0' && *at <= '9' && value <= most)
        value = value * 10 + (uint64_t)(*at++ - '0');
    if (at == text || *at || value < least || value > most)
        panic("gpos: the word %s=%s must be a number from %u to %u", key, text, least, most);
    return (uint32_t)value;
}

void app_main(int argc, char **argv)
{
    (void)argv;
    node_speaks(NODE_EBB_HELLO, "hello", 1, 1, true);
    node_speaks(NODE_EBB_CONTROL, "control", 1, 1, true);
    node_speaks(NODE_EBB_MAP, "map", 1, 1, false);
    node_speaks(NODE_EBB_LOG, "log", 1, 2, false);
    node_speaks(NODE_EBB_CONFIG, "config", 1, 1, false);
    if (cmdline_get("ninep_root", NULL))
        node_speaks(NODE_EBB_NINEP, "files", 1, 1, false);
    processes_start();
    nodes_start();
    map_start();
    log_start();
    config_start();
    operator_start();
    power_start();
    if (cmdline_get("ninep_root", NULL) && ninep_serve() != 0)
        panic("gpos: ninep_root=%s is no directory that could be served", cmdline_get("ninep_root", NULL));
    if (argc)
        processes_run(hosted_program_words());      /* whose own line says when it is ready */
    else
        console_printf("gpos: ready\n");
}
