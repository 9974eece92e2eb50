/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 9P's replies, read against the questions they answer. A reply has to be whole, of the right kind and tag, and end where it says. */
#include "ninep_parts.h"

/* The beginning of the server's words, printable. */
static void ninep_reply_error(struct ninep_call *call, struct ninep_reader *r)
{
    struct ninep_string text = ninep_get_string(r);
    uint32_t length = text.length < sizeof(call->why) - 1 ? text.length : (uint32_t)sizeof(call->why) - 1;

    for (uint32_t i = 0; i < length; i++)
        call->why[i] = text.text[i] >= ' ' && text.text[i] <= '~' ? text.text[i] : '?';
    call->why[length] = '\0';
}

static int ninep_reply_version(struct ninep_call *call, struct ninep_reader *r)
{
    static const char version[] = "9P2000";
    uint32_t msize = (uint32_t)ninep_get(r, 4);
    struct ninep_string text = ninep_get_string(r);

    if (r->bad || msize > NINEP_MSIZE || msize < NINEP_MSIZE_LEAST)
        return NINEP_NONSENSE;
    if (text.length != sizeof(version) - 1 || memcmp(text.text, version, sizeof(version) - 1) != 0) {
        memcpy(call->why, "no 9P2000", sizeof("no 9P2000"));
        return NINEP_REFUSED;
    }
    call->session->msize = msize;
    return 0;
}

static int ninep_reply_walk(struct ninep_call *call, struct ninep_reader *r)
{
    uint32_t names = (uint32_t)ninep_get(r, 2);

    ninep_take(r, names * NINEP_QID);
    if (names > call->names)
        return NINEP_NONSENSE;
    return names < call->names ? NINEP_ABSENT : 0;
}

static int ninep_reply_open(struct ninep_call *call, struct ninep_reader *r)
{
    uint32_t most = call->session->msize - NINEP_IO_HEADER;

    ninep_take(r, NINEP_QID);
    call->most = (uint32_t)ninep_get(r, 4);
    if (call->most == 0 || call->most > most)   /* 0: no promise */
        call->most = most;
    return 0;
}

static int ninep_reply_read(struct ninep_call *call, struct ninep_reader *r)
{
    uint32_t count = (uint32_t)ninep_get(r, 4);
    const uint8_t *data = ninep_take(r, count);

    if (count > call->asked || data == NULL)
        return NINEP_NONSENSE;
    memcpy(call->to, data, count);
    call->count = count;
    return 0;
}

static int ninep_reply_write(struct ninep_call *call, struct ninep_reader *r)
{
    call->count = (uint32_t)ninep_get(r, 4);
    return call->count > call->asked ? NINEP_NONSENSE : 0;
}

/* n[2], and in so many bytes size[2] type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] name[s] uid[s] gid[s] muid[s]. */
static int ninep_reply_stat(struct ninep_call *call, struct ninep_reader *r)
{
    uint32_t whole = (uint32_t)ninep_get(r, 2), size = (uint32_t)ninep_get(r, 2);

    ninep_take(r, 2 + 4 + NINEP_QID);
    call->mode = (uint32_t)ninep_get(r, 4);
    ninep_take(r, 4 + 4);
    call->length = ninep_get(r, 8);
    for (unsigned i = 0; i < 4; i++)
        ninep_get_string(r);
    return whole == size + 2 ? 0 : NINEP_NONSENSE;
}

static int ninep_reply_of(struct ninep_call *call, struct ninep_reader *r, uint8_t type)
{
    switch (type) {
    case RVERSION:
        return ninep_reply_version(call, r);
    case RATTACH:
        ninep_take(r, NINEP_QID);
        return 0;
    case RWALK:
        return ninep_reply_walk(call, r);
    case ROPEN:
    case RCREATE:
        return ninep_reply_open(call, r);
    case RREAD:
        return ninep_reply_read(call, r);
    case RWRITE:
        return ninep_reply_write(call, r);
    case RSTAT:
        return ninep_reply_stat(call, r);
    default:                            /* Rclunk, Rremove */
        return 0;
    }
}

int ninep_reply(struct ninep_call *call, const uint8_t *frame, uint32_t size)
{
    struct ninep_reader r = { frame, frame + size, false };
    uint32_t said = (uint32_t)ninep_get(&r, 4);
    uint8_t type = (uint8_t)ninep_get(&r, 1), asked = call->frame[4];
    uint16_t tag = (uint16_t)ninep_get(&r, 2);
    int error;

    if (r.bad || said != size || tag != (asked == TVERSION ? NINEP_NO_TAG : call->tag))
        return NINEP_NONSENSE;
    if (type == RERROR) {
        ninep_reply_error(call, &r);
        error = NINEP_REFUSED;
    } else if (type == asked + 1) {
        error = ninep_reply_of(call, &r, type);
    } else {
        return NINEP_NONSENSE;
    }
    return r.bad || r.at != r.end ? NINEP_NONSENSE : error;
}
