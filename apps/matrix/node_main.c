/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program of a node that keeps tiles, native or hosted. It joins gpos, where a word says where that is; or it is told by words alone: node=N,
 * session=S, port=P. front=N@A.B.C.D:PORT is the front end, which hears that it is there.
 */
#include "node.h"
#include "serve.h"
#include "words.h"

static struct matrix_end front_at = { .node = 0, .port = MESSENGER_PORT };
static struct future joined;
static struct future_wait joined_wait;

static void node_here(void *arg)
{
    (void)arg;
    if (front_at.ip == 0)
        return;
    if (!messenger_knows((uint16_t)front_at.node))
        messenger_peer((uint16_t)front_at.node, front_at.ip, (uint16_t)front_at.port);
    message_send((uint16_t)front_at.node, EBB_MATRIX_NODE, MATRIX_HERE, NULL, 0, NULL);
}

void app_main(int argc, char **argv)
{
    const char *front = matrix_word(argc, argv, "front", NULL), *end = front;

    if (front && (!matrix_end_at(front, &front_at, &end) || *end))
        panic("matrix_node: front= takes N@A.B.C.D:PORT, not %s", front);
    if (!matrix_node_start())
        panic("matrix_node: too many targets of messages");
    if (node_start("matrix_node", &joined)) {
        future_then(&joined, &joined_wait, node_here, NULL);
    } else {
        uint32_t node = matrix_word_number(argc, argv, "node", 1, 1, MESSENGER_NODES - 1);
        uint32_t port = matrix_word_number(argc, argv, "port", MESSENGER_PORT, 1, 65535);

        if (front == NULL || !messenger_start((uint16_t)node, (uint16_t)port, matrix_word_number(argc, argv, "session", 1, 1, 65535)))
            panic(front ? "matrix_node: port %u is taken" : "matrix_node: front= must say where the front end is", port);
        node_here(NULL);
    }
    console_printf("matrix_node: ready\n");
}
