/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages: to whom they go, and calls with their answers. channel.c carries them. */
#include "channel.h"

#define CALL_BUCKETS 64u
#define ANSWER 0x80000000u      /* in `call`: this is the answer to it */

enum { CALL_SENT = 1, CALL_ANSWERED = 2 };

struct target {
    message_handler handler;
    void *ctx;
    ebb_id ebb;
};

static struct target targets[MESSENGER_TARGETS];
static unsigned target_count;
static struct spinlock target_lock;
static struct target target_otherwise;

/* Open calls, of all vCPUs. */
static struct message_call *calls[CALL_BUCKETS];
static struct spinlock call_lock;
static uint32_t call_last;

static uint16_t messenger_node;
static uint32_t messenger_life;

bool messenger_start(uint16_t own, uint16_t port, uint32_t session)
{
    messenger_node = own;
    messenger_life = session;
    channel_start(own, port, session);
    return udp_bind(port, channel_datagram, NULL);
}

uint16_t messenger_own(void)
{
    return messenger_node;
}

uint32_t messenger_session(void)
{
    return messenger_life;
}

void messenger_on_stranger(messenger_stranger_fn fn)
{
    channel_on_stranger = fn;
}

bool messenger_knows(uint16_t node)
{
    return channel_known(node);
}

void messenger_peer(uint16_t node, uint32_t ip, uint16_t port)
{
    channel_peer(node, ip, port);
}

bool messenger_target(ebb_id ebb, message_handler handler, void *ctx)
{
    spin_lock(&target_lock);

    bool room = target_count < MESSENGER_TARGETS;

    if (room) {
        targets[target_count] = (struct target){ handler, ctx, ebb };
        __atomic_store_n(&target_count, target_count + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&target_lock);
    return room;
}

void messenger_otherwise(message_handler handler, void *ctx)
{
    target_otherwise = (struct target){ handler, ctx, EBB_NONE };
}

struct messenger_counts messenger_counts(void)
{
    return channel_total();
}

static void messenger_send(uint16_t node, ebb_id ebb, uint32_t call, uint16_t type, const void *body, uint32_t length, struct future *delivered)
{
    if (length > MESSAGE_MAX)
        panic("messenger: a message of %u bytes", length);

    struct outgoing *message = mem_alloc(sizeof(*message) + length);

    if (message == NULL) {
        if (delivered)
            future_fail(delivered, MESSAGE_NO_MEMORY);
        return;
    }
    *message = (struct outgoing){ .delivered = delivered, .length = length, .ebb = ebb, .call = call, .type = type, .node = node };
    if (length)
        memcpy(message->body, body, length);
    channel_counts()->sent++;
    channel_send(message);
}

void message_send(uint16_t node, ebb_id ebb, uint16_t type, const void *body, uint32_t length, struct future *delivered)
{
    messenger_send(node, ebb, 0, type, body, length, delivered);
}

void message_answer(const struct message *question, uint16_t type, const void *body, uint32_t length)
{
    messenger_send(question->from, question->ebb, question->call | ANSWER, type, body, length, NULL);
}

/* ---- calls ---- */

/* Takes an open call out; NULL: it is not open. */
static struct message_call *call_take(uint32_t number, unsigned node)
{
    spin_lock(&call_lock);

    struct message_call **link = &calls[number % CALL_BUCKETS];

    while (*link && !((*link)->number == number && (*link)->node == node))
        link = &(*link)->next;

    struct message_call *call = *link;

    if (call)
        *link = call->next;
    spin_unlock(&call_lock);
    return call;
}

/*
 * A call is decided on the vCPU that asked, when both its question's fate is known (until then the channel knows the call) and it has an answer, or
 * will have none.
 */
static void call_step(struct message_call *call, uint32_t done)
{
    call->done |= done;
    if (call->done != (CALL_SENT | CALL_ANSWERED))
        return;
    timer_cancel(&call->timer);
    if (call->error)
        future_fail(&call->answered, call->error);
    else
        future_fulfil(&call->answered, call);
}

static void call_sent(void *arg)
{
    struct message_call *call = arg;
    bool lost = call->sent.state == FUTURE_FAILED && call_take(call->number, call->node);

    if (lost)
        call->error = call->sent.error;
    call_step(call, lost ? CALL_SENT | CALL_ANSWERED : CALL_SENT);
}

static void call_answered(void *arg)
{
    call_step(arg, CALL_ANSWERED);
}

static void call_late(void *arg)
{
    struct message_call *call = arg;

    if (!call_take(call->number, call->node))
        return;                         /* its answer is on its way from another vCPU */
    call->error = MESSAGE_LATE;
    call_step(call, CALL_ANSWERED);
}

void message_ask(struct message_call *call, uint16_t node, ebb_id ebb, uint16_t type, const void *body, uint32_t length, uint64_t patience_ns)
{
    spin_lock(&call_lock);
    call->number = ++call_last & ~ANSWER;
    if (call->number == 0)
        call->number = call_last = 1;
    call->node = node;
    call->cpu = cpu_id();
    call->next = calls[call->number % CALL_BUCKETS];
    calls[call->number % CALL_BUCKETS] = call;
    spin_unlock(&call_lock);
    if (!timer_start(&call->timer, patience_ns, call_late, call))
        panic("messenger: no memory for a timer");
    future_then(&call->sent, &call->wait, call_sent, call);
    messenger_send(node, ebb, call->number, type, body, length, &call->sent);
}

/* An answer came to this vCPU; whoever asked may be on another. */
static void call_take_answer(const struct message *answer)
{
    struct message_call *call = call_take(answer->call & ~ANSWER, answer->from);

    if (call == NULL) {
        channel_counts()->undeliverable++;      /* it came too late */
        return;
    }
    call->type = answer->type;
    call->length = answer->length;
    call->reply = answer->length ? mem_alloc(answer->length) : NULL;
    if (answer->type == MESSAGE_NO_TARGET_TYPE)
        call->error = MESSAGE_NO_TARGET;
    else if (answer->length && call->reply == NULL)
        call->error = MESSAGE_NO_MEMORY;
    else if (answer->length)
        memcpy(call->reply, answer->body, answer->length);
    event_post(call->cpu, &call->event, call_answered, call);
}

void messenger_deliver(const struct message *message)
{
    channel_counts()->received++;
    if (message->call & ANSWER) {
        call_take_answer(message);
        return;
    }
    for (unsigned i = 0; i < __atomic_load_n(&target_count, __ATOMIC_ACQUIRE); i++)
        if (targets[i].ebb == message->ebb) {
            targets[i].handler(targets[i].ctx, message);
            return;
        }
    if (target_otherwise.handler) {
        target_otherwise.handler(target_otherwise.ctx, message);
        return;
    }
    channel_counts()->undeliverable++;
    if (message->call)
        message_answer(message, MESSAGE_NO_TARGET_TYPE, NULL, 0);
}
