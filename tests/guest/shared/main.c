/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `shared OWN SESSION WHAT ADDRESS...`: with integration=WORD, node OWN of those at ADDRESS (ip:port, node 0 first). WHAT: for the leader, `all` or `death`. */
#include "nodes.h"
#include "words.h"

void app_main(int argc, char **argv)
{
    CHECK(argc >= 5, "%d words", argc);

    const struct shared_integration *with = shared_chosen("messages");
    uint16_t own = (uint16_t)test_number(argv[1]);
    uint16_t ports[8];
    uint32_t ips[8];

    for (int i = 4; i < argc; i++) {
        const char *rest;

        ips[i - 4] = test_ip(argv[i], &rest);
        ports[i - 4] = (uint16_t)test_number(rest);
    }
    CHECK(messenger_start(own, ports[own], test_number(argv[2])), "port");
    for (uint16_t i = 0; i < argc - 4; i++)
        if (i != own)
            messenger_peer(i, ips[i], ports[i]);
    if (own == NODE_HOME)
        test_home(with);
    else if (own == NODE_LEADER)
        test_leader(with, argv[3]);
    else
        test_helper(with);
}
