/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program of a node that keeps tiles, native or hosted. Words, before " -- " or behind it: node=N, session=S, port=P of its own; gpos=A.B.C.D and
 * gpos_port=P of the front end, which is node 0.
 */
#include "serve.h"
#include "words.h"

void app_main(int argc, char **argv)
{
    uint32_t node = matrix_word_number(argc, argv, "node", 1, 1, MESSENGER_NODES - 1);
    uint32_t session = matrix_word_number(argc, argv, "session", 1, 1, 65535);
    uint32_t port = matrix_word_number(argc, argv, "port", MESSENGER_PORT, 1, 65535);
    uint32_t front = matrix_address(matrix_word(argc, argv, "gpos", ""));

    if (front == 0)
        panic("matrix_node: gpos=A.B.C.D must say where the front end is");
    if (!matrix_node_start() || !messenger_start((uint16_t)node, (uint16_t)port, session))
        panic("matrix_node: port %u is taken", port);
    messenger_peer(0, front, (uint16_t)matrix_word_number(argc, argv, "gpos_port", MESSENGER_PORT, 1, 65535));
    console_printf("matrix_node %u: ready\n", node);
}
