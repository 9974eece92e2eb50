/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 9P by messages: a frame is the body of a question to the node's Ebb NODE_EBB_NINEP, its reply that of the answer. The message's type is the life of the server
 * that the session is with (messenger_session there), 0 in Tversion; an answer without a body says that the server knows no such session.
 */
#include "ninep_parts.h"
#include "shared_parts.h"

static void ninep_carried(void *arg)
{
    struct ninep_call *call = arg;
    struct message_call *answer = &call->message;
    struct ninep *session = call->session;
    uint8_t *reply = answer->reply;     /* the call is whose it was, once it is decided */

    if (call->frame[4] == TVERSION && answer->answered.state == FUTURE_FULFILLED)
        session->life = answer->type;
    if (answer->answered.state == FUTURE_FAILED)
        ninep_lost(call, answer->answered.error == MESSAGE_NO_MEMORY ? NINEP_NO_MEMORY : NINEP_LOST);
    else if (answer->length == 0)
        ninep_lost(call, NINEP_OVER);
    else if (answer->type != session->life)
        ninep_lost(call, NINEP_NONSENSE);
    else
        ninep_have(call, reply, answer->length);
    mem_free(reply);
}

static void ninep_carry(struct ninep_call *call)
{
    struct ninep *session = call->session;

    call->message = (struct message_call){ 0 };
    future_then(&call->message.answered, &call->wait, ninep_carried, call);
    message_ask(&call->message, session->node, NODE_EBB_NINEP, session->life, call->frame, call->size, NINEP_PATIENCE_NS);
}

const struct ninep_carrier ninep_by_messages = { .tags = NINEP_TAGS, .send = ninep_carry };

void ninep_begin(struct ninep *session, uint16_t node, struct future *begun)
{
    *session = (struct ninep){ .node = node };
    ninep_start(session, &ninep_by_messages, begun);
}
