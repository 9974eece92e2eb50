/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel to each other node, over UDP: segments are numbered, acknowledged (all before N have come), sent again when that takes too long or
 * when three answers say that one is missing, and put in order by the receiver. A channel belongs to one vCPU; nothing in it needs a lock.
 *
 * Numbers are those of a pair of sessions, lives of the two ends. Data go only to an end whose session is known, which a bare segment asks
 * for; whoever is spoken to under another session than its own says so. A new session of the other end, or giving it up, starts anew at 0.
 */
#include "channel_parts.h"

static struct channel *channels[MESSENGER_NODES];
static struct messenger_counts channel_counted[LIBOS_MAX_CPUS];
uint16_t channel_own, channel_port;
static uint32_t channel_session;        /* where own_session starts */
messenger_stranger_fn channel_on_stranger;

struct messenger_counts *channel_counts(void)
{
    return &channel_counted[cpu_id()];
}

struct messenger_counts channel_total(void)
{
    struct messenger_counts total = { 0 };

    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        for (unsigned i = 0; i < sizeof(total) / sizeof(uint64_t); i++)
            ((uint64_t *)&total)[i] += ((uint64_t *)&channel_counted[cpu])[i];
    return total;
}

unsigned channel_cpu(unsigned node)
{
    return node % cpu_count();
}

void channel_start(uint16_t own, uint16_t port, uint32_t session)
{
    channel_own = own;
    channel_port = port;
    channel_session = session << SESSION_SHIFT;
}

struct channel *channel_to(unsigned node)
{
    return node < MESSENGER_NODES ? channels[node] : NULL;
}

bool channel_known(uint16_t node)
{
    return channel_to(node) != NULL;
}

/*
 * Whether the segment is of this pair of sessions. A new life of the other end counts once it knows ours, so nobody who does not see our
 * datagrams can end a session. An echo of an earlier life is nothing.
 */
static bool channel_session_of(struct channel *channel, const struct segment *segment)
{
    if (segment->session < channel->session)
        return false;
    if (segment->your_session != channel->own_session) {
        channel_bare(channel, segment->session);
        return false;
    }
    if (segment->session > channel->session) {
        bool known = channel->session != 0;

        channel->session = segment->session;
        channel_forget_incoming(channel);
        if (known)
            channel_fail(channel, MESSAGE_RESTARTED);
        channel->tries = 0;
        timer_cancel(&channel->timer);
        channel_push(channel);
    }
    return true;
}

static void channel_input(struct iobuf *buf, void *arg)
{
    struct channel *channel = arg;
    const struct segment *segment = (const struct segment *)buf->data;
    bool kept = false;

    if (channel_session_of(channel, segment)) {
        channel_acknowledged(channel, segment);
        if (segment->flags & SEGMENT_DATA)
            kept = channel_data(channel, buf);
    }
    if (!kept)
        iobuf_free(buf);
}

static bool channel_well_formed(const struct iobuf *buf)
{
    const struct segment *segment = (const struct segment *)buf->data;

    if (buf->len < SEGMENT_ACK_BYTES || segment->magic != SEGMENT_MAGIC || segment->version != SEGMENT_VERSION ||
        segment->flags > (SEGMENT_DATA | SEGMENT_LAST) || segment->session == 0 || segment->to != channel_own)
        return false;
    return segment->flags & SEGMENT_DATA ? buf->len >= sizeof(*segment) && buf->len == sizeof(*segment) + segment->length &&
                                               segment->length <= SEGMENT_BODY && segment->total <= MESSAGE_MAX
                                         : buf->len == SEGMENT_ACK_BYTES;
}

void channel_datagram(void *ctx, const struct udp_peer *from, struct iobuf *buf)
{
    const struct segment *segment = (const struct segment *)buf->data;
    struct channel *channel = NULL;

    (void)ctx;
    if (!channel_well_formed(buf)) {
        channel_counts()->malformed++;
        iobuf_free(buf);
        return;
    }
    if (channel_to(segment->from) == NULL && channel_on_stranger && segment->from < MESSENGER_NODES)
        channel_on_stranger(segment->from, from->ip, __builtin_bswap16(from->port));
    if ((channel = channel_to(segment->from)) == NULL || channel->ip != from->ip || channel->port != from->port) {
        channel = NULL;
        channel_counts()->strangers++;
    }
    if (channel == NULL)
        iobuf_free(buf);
    else if (channel_cpu(channel->node) == cpu_id())
        channel_input(buf, channel);
    else
        iobuf_move(channel_cpu(channel->node), buf, channel_input, channel);
}

void channel_peer(uint16_t node, uint32_t ip, uint16_t port)
{
    if (node >= MESSENGER_NODES || channels[node] || ip == 0)
        panic("messenger: node %u cannot be named, or is already", node);

    struct channel *channel = mem_zalloc(sizeof(*channel));

    if (channel == NULL)
        panic("messenger: no memory for node %u", node);
    channel->ip = ip;
    channel->port = __builtin_bswap16(port);
    channel->node = node;
    channel->last = &channel->first;
    channel->timeout_ns = FIRST_TIMEOUT_NS;
    channel->own_session = channel_session;
    channel->answer.fn = channel_answer;
    channel->answer.arg = channel;
    __atomic_store_n(&channels[node], channel, __ATOMIC_RELEASE);
}
