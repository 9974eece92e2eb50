/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a channel sends: segments into a window, again when they are not acknowledged in time. */
#include "channel_parts.h"

/* A segment of `message`, from byte `at` on; NULL: a bare one. */
static void channel_put(struct channel *channel, const struct outgoing *message, uint32_t session, uint32_t sequence, uint32_t at)
{
    struct iobuf *buf = iobuf_alloc_tx();
    struct udp_peer peer = { .ip = channel->ip, .port = channel->port };

    if (buf == NULL)
        return;                         /* as if it had been lost */

    struct segment *segment = (struct segment *)buf->data;

    *segment = (struct segment){
        .magic = SEGMENT_MAGIC,
        .version = SEGMENT_VERSION,
        .from = channel_own,
        .to = channel->node,
        .session = channel->own_session,
        .your_session = session,
        .sequence = sequence,
        .expected = channel->expected,
    };
    buf->len = SEGMENT_ACK_BYTES;
    if (message) {
        uint32_t length = message->length - at < SEGMENT_BODY ? message->length - at : SEGMENT_BODY;

        segment->flags = SEGMENT_DATA | (at + length == message->length ? SEGMENT_LAST : 0);
        segment->ebb = message->ebb;
        segment->call = message->call;
        segment->total = message->length;
        segment->type = message->type;
        segment->length = (uint16_t)length;
        memcpy(segment + 1, message->body + at, length);
        buf->len = sizeof(*segment) + length;
    }
    channel->owes = 0;
    udp_send(channel_port, &peer, buf);
}

static void channel_late(void *arg);

static bool channel_waits(const struct channel *channel)
{
    return channel->unacknowledged != channel->sequence || (channel->session == 0 && channel->next);
}

static void channel_arm(struct channel *channel)
{
    if (!channel_waits(channel))
        timer_cancel(&channel->timer);
    else if (!timer_start(&channel->timer, channel->timeout_ns, channel_late, channel))
        panic("messenger: no memory for a timer");
}

/* To an end that says its session is this one. */
void channel_bare(struct channel *channel, uint32_t session)
{
    channel_put(channel, NULL, session, channel->sequence, 0);
}

/* Fills the window. */
void channel_push(struct channel *channel)
{
    bool idle = channel->timer.slot == 0;

    if (channel->session == 0 && channel->next && idle)
        channel_bare(channel, channel->session);
    while (channel->session && channel->next && channel->sequence - channel->unacknowledged < WINDOW) {
        struct outgoing *message = channel->next;

        if (channel->next_at == 0)
            message->first = channel->sequence;
        channel->sent_at[channel->sequence % WINDOW] = clock_ns() | 1;
        channel_put(channel, message, channel->session, channel->sequence, channel->next_at);
        channel->sequence++;
        channel->next_at += SEGMENT_BODY;
        if (channel->next_at >= message->length) {
            channel->next = message->next;
            channel->next_at = 0;
        }
    }
    if (idle)
        channel_arm(channel);
}

/* The first segment that is not acknowledged. */
static void channel_repeat(struct channel *channel)
{
    const struct outgoing *message = channel->first;

    channel->sent_at[channel->unacknowledged % WINDOW] = 0;
    channel_counts()->resent++;
    channel_put(channel, message, channel->session, channel->unacknowledged, (channel->unacknowledged - message->first) * SEGMENT_BODY);
}

static void channel_done(struct outgoing *message, int error)
{
    struct future *delivered = message->delivered;

    mem_free(message);
    if (delivered && error)
        future_fail(delivered, error);
    else if (delivered)
        future_fulfil(delivered, NULL);
}

/* All that is under way is lost, and numbers start again. */
void channel_fail(struct channel *channel, int error)
{
    struct outgoing *message = channel->first;

    channel->first = channel->next = NULL;
    channel->last = &channel->first;
    channel->next_at = channel->unacknowledged = channel->sequence = channel->tries = channel->repeats = 0;
    channel->timeout_ns = FIRST_TIMEOUT_NS;
    channel_arm(channel);
    while (message) {
        struct outgoing *next = message->next;

        channel_done(message, error);
        message = next;
    }
}

static void channel_late(void *arg)
{
    struct channel *channel = arg;

    if (++channel->tries == TRIES) {
        channel->own_session++;         /* what the other end may still have of ours is of the old one */
        channel_forget_incoming(channel);
        channel_fail(channel, MESSAGE_UNREACHABLE);
        return;
    }
    channel->timeout_ns = channel->timeout_ns * 2 < MOST_TIMEOUT_NS ? channel->timeout_ns * 2 : MOST_TIMEOUT_NS;
    if (channel->session)
        channel_repeat(channel);
    else
        channel_bare(channel, channel->session);
    channel_arm(channel);
}

/* RFC 6298, with a shorter least. */
static void channel_measure(struct channel *channel, uint64_t ns)
{
    uint64_t apart = ns > channel->smooth_ns ? ns - channel->smooth_ns : channel->smooth_ns - ns;

    if (channel->smooth_ns == 0) {
        channel->smooth_ns = ns;
        channel->varies_ns = ns / 2;
    } else {
        channel->varies_ns = (3 * channel->varies_ns + apart) / 4;
        channel->smooth_ns = (7 * channel->smooth_ns + ns) / 8;
    }

    uint64_t timeout = channel->smooth_ns + 4 * channel->varies_ns;

    channel->timeout_ns = timeout < LEAST_TIMEOUT_NS ? LEAST_TIMEOUT_NS : timeout > MOST_TIMEOUT_NS ? MOST_TIMEOUT_NS : timeout;
}

void channel_acknowledged(struct channel *channel, const struct segment *segment)
{
    uint32_t expected = segment->expected, under_way = channel->sequence - channel->unacknowledged;
    uint32_t more = expected - channel->unacknowledged;

    if (more > under_way)
        return;                         /* older than what we know, or a lie */
    if (more == 0) {
        if (under_way && !(segment->flags & SEGMENT_DATA) && ++channel->repeats == REPEATS)
            channel_repeat(channel);
        return;
    }

    uint64_t sent_at = channel->sent_at[(expected - 1) % WINDOW];

    if (sent_at)
        channel_measure(channel, clock_ns() - sent_at + 1);
    channel->unacknowledged = expected;
    channel->repeats = channel->tries = 0;
    while (channel->first && channel->first != channel->next &&
           (int32_t)(channel->first->first + channel->first->segments - expected) <= 0) {
        struct outgoing *message = channel->first;

        channel->first = message->next;
        if (channel->first == NULL)
            channel->last = &channel->first;
        channel_done(message, 0);
    }
    channel_arm(channel);
    channel_push(channel);
}

static void channel_queue(void *arg)
{
    struct outgoing *message = arg;
    struct channel *channel = channel_to(message->node);

    message->next = NULL;
    *channel->last = message;
    channel->last = &message->next;
    if (channel->next == NULL)
        channel->next = message;
    channel_push(channel);
}

static void channel_home(void *arg)
{
    struct outgoing *message = arg;
    struct message here = { message->body, message->length, message->ebb, message->call, message->type, channel_own };

    messenger_deliver(&here);
    channel_done(message, 0);
}

void channel_send(struct outgoing *message)
{
    if (message->node == channel_own) {
        event_post(channel_cpu(message->node), &message->event, channel_home, message);
        return;
    }
    if (channel_to(message->node) == NULL) {
        channel_done(message, MESSAGE_UNREACHABLE);
        return;
    }
    message->segments = message->length ? (message->length + SEGMENT_BODY - 1) / SEGMENT_BODY : 1;
    event_post(channel_cpu(message->node), &message->event, channel_queue, message);
}
