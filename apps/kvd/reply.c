/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers. Each datagram's frame header tells how many there are, so an answer is first a list of parts, whose length is
 * known, and its bytes are laid down last: straight from the items into the sender's buffers, copied once.
 */
#include "internal.h"

static const char kvd_reply_too_long[] = "SERVER_ERROR out of memory writing get response\r\n";

static size_t kvd_reply_length(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

static void kvd_reply_push(struct kvd_worker *worker, const struct kvd_part *part)
{
    worker->part[worker->parts++] = *part;
    worker->reply_bytes += part->length;
}

/* One place stays free for the error. */
static bool kvd_reply_add(struct kvd_worker *worker, const struct kvd_part *part)
{
    if (worker->parts < KVD_REPLY_PARTS - 1 && worker->reply_bytes + part->length <= KVD_REPLY_BYTES) {
        kvd_reply_push(worker, part);
        return true;
    }
    struct kvd_part error = {.text = kvd_reply_too_long, .length = sizeof kvd_reply_too_long - 1};
    if (part->item != NULL)
        kvd_store_release(worker->kvd, part->item);
    kvd_reply_push(worker, &error);
    return false;
}

bool kvd_reply_text(struct kvd_worker *worker, const char *text)
{
    struct kvd_part part = {.text = text, .length = (uint32_t)kvd_reply_length(text)};
    return kvd_reply_add(worker, &part);
}

bool kvd_reply_number(struct kvd_worker *worker, uint64_t number)
{
    struct kvd_part part = {.number = number, .length = (uint32_t)kvd_digits(number)};
    return kvd_reply_add(worker, &part);
}

bool kvd_reply_value(struct kvd_worker *worker, struct kvd_item *item, bool with_cas)
{
    size_t header = sizeof "VALUE " - 1 + item->key_length + 1 + kvd_digits(item->flags) + 1 +
                    kvd_digits(item->value_length) + KVD_CRLF;
    if (with_cas)
        header += 1 + kvd_digits(item->cas);
    struct kvd_part part = {.item = item, .number = item->cas, .with_cas = with_cas};
    part.length = (uint32_t)(header + item->value_length + KVD_CRLF);
    return kvd_reply_add(worker, &part);
}

void kvd_reply_cut(struct kvd_worker *worker, uint32_t parts)
{
    while (worker->parts > parts) {
        struct kvd_part *part = &worker->part[--worker->parts];
        worker->reply_bytes -= part->length;
        if (part->item != NULL)
            kvd_store_release(worker->kvd, part->item);
    }
}

/* An answer on its way out. */
struct kvd_stream {
    const struct kvd_sink *sink;
    const uint8_t *request_id;
    uint8_t *buffer;
    size_t filled, room; /* room: bytes a datagram may hold */
    uint32_t sequence, total;
};

static void kvd_reply_frame(struct kvd_stream *stream)
{
    uint8_t *header = stream->buffer;
    header[0] = stream->request_id[0];
    header[1] = stream->request_id[1];
    header[2] = (uint8_t)(stream->sequence >> 8);
    header[3] = (uint8_t)stream->sequence;
    header[4] = (uint8_t)(stream->total >> 8);
    header[5] = (uint8_t)stream->total;
    header[6] = 0;
    header[7] = 0;
    stream->filled = KVD_UDP_HEADER;
    stream->sequence++;
}

static bool kvd_reply_next(struct kvd_stream *stream)
{
    size_t cap;
    stream->sink->end(stream->sink->ctx, stream->buffer, stream->filled);
    stream->buffer = stream->sink->begin(stream->sink->ctx, &cap);
    if (stream->buffer == NULL)
        return false;
    kvd_reply_frame(stream);
    return true;
}

static bool kvd_reply_write(struct kvd_stream *stream, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t room = stream->room - stream->filled, piece = length < room ? length : room;
        if (room == 0) {
            if (!kvd_reply_next(stream))
                return false;
            continue;
        }
        kvd_copy(stream->buffer + stream->filled, bytes, piece);
        stream->filled += piece;
        bytes += piece;
        length -= piece;
    }
    return true;
}

static bool kvd_reply_write_value(struct kvd_stream *stream, const struct kvd_part *part)
{
    static const uint8_t value[] = {'V', 'A', 'L', 'U', 'E', ' '};
    const struct kvd_item *item = part->item;
    uint8_t line[sizeof value + KVD_KEY_MAX + 3 * (1 + KVD_DECIMAL) + KVD_CRLF];
    size_t at = sizeof value;
    kvd_copy(line, value, sizeof value);
    kvd_copy(line + at, item->bytes, item->key_length);
    at += item->key_length;
    line[at++] = ' ';
    at += kvd_decimal(line + at, item->flags);
    line[at++] = ' ';
    at += kvd_decimal(line + at, item->value_length);
    if (part->with_cas) {
        line[at++] = ' ';
        at += kvd_decimal(line + at, part->number);
    }
    line[at++] = '\r';
    line[at++] = '\n';
    return kvd_reply_write(stream, line, at) &&
           kvd_reply_write(stream, item->bytes + item->key_length, item->value_length + KVD_CRLF);
}

static bool kvd_reply_write_part(struct kvd_stream *stream, const struct kvd_part *part)
{
    uint8_t digits[KVD_DECIMAL];
    if (part->text != NULL)
        return kvd_reply_write(stream, (const uint8_t *)part->text, part->length);
    if (part->item != NULL)
        return kvd_reply_write_value(stream, part);
    return kvd_reply_write(stream, digits, kvd_decimal(digits, part->number));
}

static void kvd_reply_stream(struct kvd_worker *worker, const uint8_t *request_id, const struct kvd_sink *sink)
{
    size_t cap;
    struct kvd_stream stream = {.sink = sink, .request_id = request_id, .buffer = sink->begin(sink->ctx, &cap)};
    if (stream.buffer == NULL)
        return;
    stream.room = cap < KVD_UDP_PAYLOAD ? cap : KVD_UDP_PAYLOAD;
    size_t each = stream.room - KVD_UDP_HEADER;
    stream.total = (uint32_t)((worker->reply_bytes + each - 1) / each);
    kvd_reply_frame(&stream);
    for (uint32_t i = 0; i < worker->parts; i++) {
        if (!kvd_reply_write_part(&stream, &worker->part[i]))
            return;
    }
    sink->end(sink->ctx, stream.buffer, stream.filled);
}

void kvd_reply_send(struct kvd_worker *worker, const uint8_t *request_id, const struct kvd_sink *sink)
{
    if (worker->parts > 0)
        kvd_reply_stream(worker, request_id, sink);
    kvd_reply_cut(worker, 0);
    worker->settled = 0;
}
