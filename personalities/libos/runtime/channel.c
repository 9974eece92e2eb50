/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel to each other node, over UDP: segments are numbered, acknowledged (all before N have come), sent again when that takes too long or
 * when three answers say that one is missing, and put in order by the receiver. A channel belongs to one vCPU; nothing in it needs a lock.
 *
 * Numbers are those of a pair of sessions, lives of the two ends. Data go only to an end whose session is known, which a bare segment asks
 * for; whoever is spoken to under another session than its own says so. A new session of the other end, or giving it up, starts anew at 0.
 */
#include "channel.h"
#include "event.h"

#define WINDOW 32u                      /* segments under way; a power of two */
#define FIRST_TIMEOUT_NS 5000000ull
#define LEAST_TIMEOUT_NS 200000ull
#define MOST_TIMEOUT_NS 100000000ull
#define TRIES 12u                       /* then the other node is given up */
#define REPEATS 3u
#define SESSION_SHIFT 16u               /* below: how often we gave this node up */
#define ACK_ROUNDS 2u

struct channel {
    uint32_t ip;                        /* 0: no such node */
    uint16_t port;                      /* network byte order */
    uint16_t node;
    /* out */
    struct outgoing *first, **last;     /* not yet acknowledged whole */
    struct outgoing *next;              /* whose segments go next, */
    uint32_t next_at;                   /* from this byte on */
    uint32_t unacknowledged, sequence;  /* first and next number */
    uint64_t sent_at[WINDOW];           /* in ns; 0: sent again, so its answer says nothing of the time */
    uint32_t repeats;
    uint32_t tries;
    uint64_t smooth_ns, varies_ns, timeout_ns;
    struct timer timer;
    /* in */
    uint32_t session;                   /* the other's; 0: not heard of */
    uint32_t own_session;
    uint32_t expected;
    struct iobuf *early[WINDOW];        /* those behind a gap, by number */
    uint8_t *body;                      /* of the message that is coming, of several segments */
    uint32_t have, total;
    uint32_t owes;                      /* an acknowledgement, in so many rounds: answers to what came may carry it */
    struct event answer;
};

static struct channel *channels[MESSENGER_NODES];
static struct messenger_counts channel_counted[LIBOS_MAX_CPUS];
static uint16_t channel_own, channel_port;
static uint32_t channel_session;        /* where own_session starts */

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

static unsigned channel_cpu(unsigned node)
{
    return node % cpu_count();
}

void channel_start(uint16_t own, uint16_t port, uint32_t session)
{
    channel_own = own;
    channel_port = port;
    channel_session = session << SESSION_SHIFT;
}

static void channel_forget_incoming(struct channel *channel)
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

/* ---- out ---- */

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
static void channel_bare(struct channel *channel, uint32_t session)
{
    channel_put(channel, NULL, session, channel->sequence, 0);
}

/* Fills the window. */
static void channel_push(struct channel *channel)
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
static void channel_fail(struct channel *channel, int error)
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

static void channel_acknowledged(struct channel *channel, const struct segment *segment)
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
    struct channel *channel = channels[message->node];

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
    if (message->node >= MESSENGER_NODES || channels[message->node] == NULL) {
        channel_done(message, MESSAGE_UNREACHABLE);
        return;
    }
    message->segments = message->length ? (message->length + SEGMENT_BODY - 1) / SEGMENT_BODY : 1;
    event_post(channel_cpu(message->node), &message->event, channel_queue, message);
}

/* ---- in ---- */

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

static void channel_answer(void *arg)
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
static bool channel_data(struct channel *channel, struct iobuf *buf)
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
    if (!channel_well_formed(buf))
        channel_counts()->malformed++;
    else if (segment->from >= MESSENGER_NODES || (channel = channels[segment->from]) == NULL || channel->ip != from->ip || channel->port != from->port) {
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
