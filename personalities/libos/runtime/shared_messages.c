/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared objects by messages: a question for each call, to the home (shared_messages_home.c). The home keeps nothing of its clients. */
#include "shared_messages.h"
#include "messenger.h"
#include "shared_parts.h"

#define MOST (8u * SHARED_BLOCK)

struct asking {
    struct message_call call;
    struct future_wait wait;
};

enum { OWN_NUMBER, OWN_LIFE };          /* in shared.own */

/* What the answer says: 0 when it is the one that was asked for, of `length` bytes. */
static int shared_answered(const struct message_call *call, uint32_t length)
{
    uint32_t error;

    if (call->answered.state == FUTURE_FAILED)
        return shared_error_of_message(call->answered.error);
    if (call->type == ANSWER_DONE)
        return call->length == length ? 0 : SHARED_NONSENSE;
    if (call->type != ANSWER_REFUSED || call->length != sizeof(error))
        return SHARED_NONSENSE;
    memcpy(&error, call->reply, sizeof(error));
    return error >= SHARED_UNREACHABLE && error <= SHARED_NONSENSE ? (int)error : SHARED_NONSENSE;
}

static void shared_ask(struct shared_call *call, uint16_t type, const void *body, uint32_t length, event_fn then)
{
    struct asking *asking = (struct asking *)call->own;

    future_then(&asking->call.answered, &asking->wait, then, call);
    message_ask(&asking->call, call->object->home, NODE_EBB_SHARED, type, body, length, SHARED_PATIENCE_NS);
}

static void shared_opened(void *arg)
{
    struct shared_call *call = arg;
    struct message_call *answer = &((struct asking *)call->own)->call;
    struct opened opened;
    int error = shared_answered(answer, sizeof(opened));

    if (error == 0) {
        memcpy(&opened, answer->reply, sizeof(opened));
        call->object->own[OWN_NUMBER] = opened.number;
        call->object->own[OWN_LIFE] = opened.life;
        call->object->size = opened.size;
        if (opened.size > SHARED_SIZE_MOST)
            error = SHARED_NONSENSE;
    }
    mem_free(answer->reply);
    shared_done(call, error);
}

static void shared_messages_open(struct shared_call *call)
{
    shared_ask(call, ASK_OPEN, call->object->name, (uint32_t)strlen(call->object->name), shared_opened);
}

static struct place shared_place(const struct shared_call *call)
{
    const uint64_t *own = call->object->own;

    return (struct place){ (uint32_t)own[OWN_NUMBER], (uint32_t)own[OWN_LIFE], call->offset, call->length };
}

static void shared_have_read(void *arg)
{
    struct shared_call *call = arg;
    struct message_call *answer = &((struct asking *)call->own)->call;
    int error = shared_answered(answer, call->length);

    if (error == 0)
        memcpy(call->data, answer->reply, call->length);
    mem_free(answer->reply);
    shared_done(call, error);
}

static void shared_messages_read(struct shared_call *call)
{
    struct place place = shared_place(call);

    shared_ask(call, ASK_READ, &place, sizeof(place), shared_have_read);
}

static void shared_have_written(void *arg)
{
    struct shared_call *call = arg;
    struct message_call *answer = &((struct asking *)call->own)->call;
    int error = shared_answered(answer, 0);

    mem_free(answer->reply);
    shared_done(call, error);
}

static void shared_messages_write(struct shared_call *call)
{
    struct place place = shared_place(call);
    uint8_t *body = mem_alloc(sizeof(place) + call->length);

    if (body == NULL) {
        shared_done(call, SHARED_NO_MEMORY);
        return;
    }
    memcpy(body, &place, sizeof(place));
    memcpy(body + sizeof(place), call->data, call->length);
    shared_ask(call, ASK_WRITE, body, sizeof(place) + call->length, shared_have_written);
    mem_free(body);
}

static void shared_messages_close(struct shared_call *call)
{
    shared_done(call, 0);
}


const struct shared_integration shared_messages = {
    .word = "messages",
    .most = MOST,
    .call_bytes = sizeof(struct asking),
    .serve = shared_messages_serve,
    .host = shared_messages_host,
    .open = shared_messages_open,
    .read = shared_messages_read,
    .write = shared_messages_write,
    .close = shared_messages_close,
};
