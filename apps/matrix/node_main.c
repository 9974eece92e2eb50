/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program of a node that keeps tiles, native or hosted. It joins gpos, where a word says where that is; or it is told by words alone: node=N,
 * session=S, port=P. front=N@A.B.C.D:PORT is the front end (0 and 5640 where they are left out): whom a node knows need not ask gpos about it first,
 * which costs a retransmission.
 */
#include "node.h"
#include "serve.h"
#include "words.h"

static void node_alone(int argc, char **argv)
{
    uint32_t node = matrix_word_number(argc, argv, "node", 1, 1, MESSENGER_NODES - 1);
    uint32_t port = matrix_word_number(argc, argv, "port", MESSENGER_PORT, 1, 65535);

    if (!messenger_start((uint16_t)node, (uint16_t)port, matrix_word_number(argc, argv, "session", 1, 1, 65535)))
        panic("matrix_node: port %u is taken", port);
}

void app_main(int argc, char **argv)
{
    struct matrix_end front_at = { .node = 0, .port = MESSENGER_PORT };
    const char *front = matrix_word(argc, argv, "front", NULL), *end = front;

    if (!matrix_node_start())
        panic("matrix_node: too many targets of messages");
    if (front && (!matrix_end_at(front, &front_at, &end) || *end))
        panic("matrix_node: front= takes N@A.B.C.D:PORT, not %s", front);
    if (!node_start("matrix_node", NULL)) {
        if (front == NULL)
            panic("matrix_node: without gpos=, front= must say where the front end is");
        node_alone(argc, argv);
    }
    if (front && front_at.node != messenger_own() && !messenger_knows((uint16_t)front_at.node))
        messenger_peer((uint16_t)front_at.node, front_at.ip, (uint16_t)front_at.port);
    console_printf("matrix_node: ready\n");
}
