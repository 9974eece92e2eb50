/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machines on demand: questions to gpos, which asks the provisioner and waits for the new node's hello. From any vCPU. */
#include "node_parts.h"

#define PATIENCE_NS 5000000000ull       /* gpos gives up sooner */

static void grant_answered(void *arg)
{
    struct node_grant *grant = arg;
    struct message_call *call = &grant->call;
    int failed = call->answered.state == FUTURE_FAILED ? call->answered.error : 0;

    if (!failed && call->type == NODE_GIVEN && call->length == sizeof(struct node_given)) {
        struct node_given given;

        memcpy(&given, call->reply, sizeof(given));
        grant->number = given.number;
        grant->ip = given.address;
        grant->warm = given.warm != 0;
    } else if (!failed) {
        uint32_t length = call->length < NODE_SENTENCE - 1 ? call->length : NODE_SENTENCE - 1;

        if (length)
            memcpy(grant->why, call->reply, length);
        grant->why[length] = '\0';
        failed = NODE_REFUSED;
    }
    mem_free(call->reply);
    call->reply = NULL;
    if (failed)
        future_fail(&grant->given, failed);
    else
        future_fulfil(&grant->given, grant);
}

void node_allocate(const char *kind, struct node_grant *grant)
{
    memset(grant, 0, sizeof(*grant));
    future_then(&grant->call.answered, &grant->wait, grant_answered, grant);
    message_ask(&grant->call, NODE_GPOS, NODE_EBB_POWER, NODE_ALLOCATE, kind, (uint32_t)strlen(kind), PATIENCE_NS);
}

struct node_freeing {
    struct message_call call;
    struct future_wait wait;
    struct future *done;
};

static void free_answered(void *arg)
{
    struct node_freeing *freeing = arg;
    struct future *done = freeing->done;
    int failed = freeing->call.answered.state == FUTURE_FAILED ? freeing->call.answered.error
                                                               : freeing->call.type == NODE_FREED ? 0 : NODE_REFUSED;

    mem_free(freeing->call.reply);
    mem_free(freeing);
    if (failed)
        future_fail(done, failed);
    else
        future_fulfil(done, NULL);
}

void node_free(uint16_t number, struct future *done)
{
    struct node_freeing *freeing = mem_zalloc(sizeof(*freeing));

    if (freeing == NULL) {
        future_fail(done, MESSAGE_NO_MEMORY);
        return;
    }
    freeing->done = done;
    future_then(&freeing->call.answered, &freeing->wait, free_answered, freeing);
    message_ask(&freeing->call, NODE_GPOS, NODE_EBB_POWER, NODE_FREE, &number, sizeof(number), PATIENCE_NS);
}
