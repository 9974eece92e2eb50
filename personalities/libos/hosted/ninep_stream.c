/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 9P over a stream: two descriptors, that may be one. One question at a time, so neither end can wait for the other to take what it has written. */
#include "hosted.h"
#include "ninep_parts.h"
#include "runtime.h"

struct stream {
    struct ninep *session;
    int from, to;
    struct event readable;
    struct timer patience;
    struct ninep_call *call;    /* under way */
    uint32_t have;
    uint8_t frame[NINEP_MSIZE];
};

/* Nothing is under way any more; what was, if anything. */
static struct ninep_call *stream_take(struct stream *stream)
{
    struct ninep_call *call = stream->call;

    stream->call = NULL;
    stream->have = 0;
    timer_cancel(&stream->patience);
    return call;
}

/* Here it ends, in the middle of a question or not. */
static void stream_end(struct stream *stream, int why)
{
    struct ninep_call *call = stream_take(stream);

    if (call)
        ninep_lost(call, why);
    else
        ninep_end(stream->session, why);
}

static void stream_late(void *arg)
{
    stream_end(arg, NINEP_LOST);
}

static uint32_t stream_size(const struct stream *stream)
{
    struct ninep_reader r = { stream->frame, stream->frame + 4, false };

    return (uint32_t)ninep_get(&r, 4);
}

/* What there is of the reply, never more than of one frame. What comes unasked is nonsense. */
static void stream_read(void *arg)
{
    struct stream *stream = arg;
    uint32_t want = stream->have < 4 ? 4 : stream_size(stream);
    long got = rt_syscall(RT_NR_READ, stream->from, (long)(stream->frame + stream->have), want - stream->have, 0, 0, 0);

    if (got == -RT_EINTR || got == -RT_EAGAIN)
        return;
    if (got <= 0 || stream->call == NULL) {
        stream_end(stream, got <= 0 ? NINEP_LOST : NINEP_NONSENSE);
        return;
    }
    stream->have += (uint32_t)got;
    if (stream->have < 4)
        return;

    uint32_t size = stream_size(stream);

    if (size < NINEP_HEADER || size > NINEP_MSIZE)
        stream_end(stream, NINEP_NONSENSE);
    else if (stream->have == size)
        ninep_have(stream_take(stream), stream->frame, size);     /* which may send the next question: not the next reply */
}

static void stream_send(struct ninep_call *call)
{
    struct stream *stream = call->session->stream;

    stream->call = call;
    for (uint32_t put = 0; put < call->size;) {
        long more = rt_syscall(RT_NR_WRITE, stream->to, (long)(call->frame + put), call->size - put, 0, 0, 0);

        if (more == -RT_EINTR)
            continue;
        if (more <= 0) {
            stream_end(stream, NINEP_LOST);
            return;
        }
        put += (uint32_t)more;
    }
    if (!timer_start(&stream->patience, NINEP_PATIENCE_NS, stream_late, stream))
        panic("ninep: no memory for a timer");
}

static void stream_over(struct ninep *session)
{
    struct stream *stream = session->stream;

    hosted_unwatch(&stream->readable);
}

static const struct ninep_carrier ninep_by_stream = { .tags = 1, .send = stream_send, .over = stream_over };

void ninep_begin_stream(struct ninep *session, int from, int to, struct future *begun)
{
    struct stream *stream = mem_zalloc(sizeof(*stream));

    *session = (struct ninep){ .stream = stream };
    if (stream == NULL) {
        session->ended = NINEP_NO_MEMORY;
        future_fail(begun, NINEP_NO_MEMORY);
        return;
    }
    stream->session = session;
    stream->from = from;
    stream->to = to;
    stream->readable = (struct event){ .fn = stream_read, .arg = stream };
    hosted_watch(from, &stream->readable);
    ninep_start(session, &ninep_by_stream, begun);
}
