/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operation that is under way: what it waits for, what it asked nodes, how it failed. */
#include "front.h"

struct front_operation front;
uint64_t front_limit = 1u << 24;
uint64_t front_patience_ns = 5000000000ull;

static struct event front_later;

void front_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (front.failed[0] == '\0')
        format_vstring(front.failed, sizeof(front.failed), format, args);
    va_end(args);
}

void front_wait(void)
{
    front.waiting++;
}

static void front_go_on(void *arg)
{
    (void)arg;
    if (front.failed[0])
        front.done();
    else
        front.step();
}

void front_step(void)
{
    if (--front.waiting == 0)
        event_post(cpu_id(), &front_later, front_go_on, NULL);
}

/* What is asked for in the same event, after this, is waited for, too: the first wait is this one, and ends when the event loop comes by. */
static void front_opened(void *arg)
{
    (void)arg;
    front_step();
}

void front_next(void (*step)(void))
{
    static struct event opened;

    front.step = step;
    front_wait();
    event_post(cpu_id(), &opened, front_opened, NULL);
}

void front_begin(void (*step)(void), void (*done)(void))
{
    front.done = done;
    front.waiting = 0;
    front.failed[0] = '\0';
    front_next(step);
}

struct asking {
    struct message_call call;
    struct future_wait wait;
    struct matrix_rect rect;
    uint16_t node;
    uint32_t answer_bytes;
    front_take take;
    void *arg;
};

static const char *front_why(int error)
{
    switch (error) {
    case MESSAGE_UNREACHABLE:
        return "unreachable";
    case MESSAGE_RESTARTED:
        return "it has started anew";
    case MESSAGE_LATE:
        return "late";
    case MESSAGE_NO_TARGET:
        return "it knows no matrices";
    default:
        return "no memory here";
    }
}

static void front_answered(void *arg)
{
    struct asking *asking = arg;
    struct message_call *call = &asking->call;
    const struct matrix_done *done = (const struct matrix_done *)call->reply;

    if (call->answered.state != FUTURE_FULFILLED) {
        if (call->error != MESSAGE_NO_MEMORY)
            front_nodes[asking->node].lost = true;
        front_fail("node %u does not answer (%s): what it had of the matrix is lost; fill or randomize starts anew", asking->node,
                   front_why(call->error));
    } else if (call->type == MATRIX_REFUSED) {
        front_fail("%.*s", (int)call->length, (const char *)call->reply);
    } else if (call->type != MATRIX_DONE || call->length != sizeof(*done) + asking->answer_bytes) {
        front_fail("node %u answers nonsense (%u bytes of type %u)", asking->node, call->length, call->type);
    } else {
        front.figures.messages++;
        front.figures.bytes += call->length;
        front.figures.node_ns += done->ns;
        front.figures.generated += done->generated;
        front_nodes[asking->node].last = *done;
        if (asking->take)
            asking->take(asking->arg, &asking->rect, (const uint8_t *)(done + 1), asking->answer_bytes);
    }
    mem_free(call->reply);
    mem_free(asking);
    front_step();
}

void front_ask(struct front_matrix *matrix, uint64_t tile, uint16_t type, const struct matrix_rect *rect, const void *more, uint32_t more_bytes,
               uint32_t answer_bytes, front_take take, void *arg)
{
    uint16_t node = matrix->nodes[tile];
    struct asking *asking = NULL;
    struct matrix_request *request = NULL;

    if (front_nodes[node].lost) {
        front_fail("node %u is lost, and with it what it had of the matrix; fill or randomize starts anew", node);
        return;
    }
    asking = mem_zalloc(sizeof(*asking));
    request = mem_alloc(sizeof(*request) + more_bytes);
    if (asking == NULL || request == NULL) {
        front_fail("the front end has no memory");
        mem_free(asking);
        mem_free(request);
        return;
    }
    asking->rect = *rect;
    asking->node = node;
    asking->answer_bytes = answer_bytes;
    asking->take = take;
    asking->arg = arg;
    *request = (struct matrix_request){ matrix->base, *rect };
    if (more_bytes)
        memcpy(request + 1, more, more_bytes);
    front.figures.messages++;
    front.figures.bytes += sizeof(*request) + more_bytes;
    front_wait();
    future_then(&asking->call.answered, &asking->wait, front_answered, asking);
    message_ask(&asking->call, node, matrix->id, type, request, (uint32_t)sizeof(*request) + more_bytes, front_patience_ns);
    mem_free(request);
}
