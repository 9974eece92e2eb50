/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a channel receives: segments in order, messages out of them, an acknowledgement for what came. */
#include "channel_parts.h"
#include "event.h"

void channel_forget_incoming(struct channel *channel)
{
    for (unsigned i = 0; i < WINDOW; i++) {
        if (channel->early[i])
            iobuf_free(channel->early[i]);
        channel->early[i] = NULL;
    }
    mem_free(channel->body);
    channel->body = NULL;
    channel->have = 0;
    channel->expected = 0;
}

/* The next segment in order. False: it cannot be taken now, and comes again. */
static bool channel_take(struct channel *channel, const struct segment *segment)
{
    if (channel->body == NULL && segment->length == segment->total) {   /* the usual case: a message in one datagram */
        struct message message = { (const uint8_t *)(segment + 1), segment->total, segment->ebb, segment->call, segment->type, channel->node };

        channel->expected++;
        messenger_deliver(&message);
        return true;
    }
    if (channel->body == NULL && (channel->body = mem_alloc(segment->total)) == NULL)
        return false;
    channel->total = segment->total;
    memcpy(channel->body + channel->have, segment + 1, segment->length);
    channel->have += segment->length;
    channel->expected++;
    if (segment->flags & SEGMENT_LAST) {
        struct message message = { channel->body, segment->total, segment->ebb, segment->call, segment->type, channel->node };

        messenger_deliver(&message);
        mem_free(channel->body);
        channel->body = NULL;
        channel->have = 0;
    }
    return true;
}

/* Whether this segment continues what has come of its message: peers may be mad, and then are as good as lost. */
static bool channel_fits(const struct channel *channel, const struct segment *segment)
{
    if (channel->body && segment->total != channel->total)
        return false;

    uint32_t left = segment->total - channel->have;

    return segment->length == (left < SEGMENT_BODY ? left : SEGMENT_BODY) && (segment->length == left) == !!(segment->flags & SEGMENT_LAST);
}

static bool channel_in_order(struct channel *channel, const struct segment *segment)
{
    if (!channel_fits(channel, segment)) {
        channel_counts()->malformed++;
        return false;
    }
    return channel_take(channel, segment);
}

void channel_answer(void *arg)
{
    struct channel *channel = arg;

    if (channel->owes == 1)
        channel_bare(channel, channel->session);
    else if (channel->owes) {
        channel->owes--;
        event_raise(&channel->answer);
    }
}

/* True: the buffer is kept. */
bool channel_data(struct channel *channel, struct iobuf *buf)
{
    const struct segment *segment = (const struct segment *)buf->data;
    uint32_t ahead = segment->sequence - channel->expected;

    if (channel->owes == 0) {
        channel->owes = ACK_ROUNDS;
        event_raise(&channel->answer);
    }
    if (ahead >= WINDOW || (ahead && channel->early[segment->sequence % WINDOW])) {
        channel_counts()->duplicates++;
        return false;
    }
    if (ahead) {
        channel->early[segment->sequence % WINDOW] = buf;
        return true;
    }
    if (!channel_in_order(channel, segment))
        return false;
    for (struct iobuf **slot; *(slot = &channel->early[channel->expected % WINDOW]);) {
        struct iobuf *next = *slot;
        bool taken = channel_in_order(channel, (const struct segment *)next->data);

        *slot = NULL;
        iobuf_free(next);
        if (!taken)
            break;
    }
    return false;
}
