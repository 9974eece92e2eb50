/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 9P sessions. A question waits for a tag, goes out, and is decided by its reply or its carrier. A session ends once, for good: by a carrier that failed or a
 * reply that is none. Then what waits fails at once, and what is under way when its carrier says so.
 */
#include "ninep_parts.h"

const char *ninep_error(int error)
{
    static const char *const words[] = {
        [0] = "nothing is wrong",
        [NINEP_LOST] = "the server does not answer",
        [NINEP_OVER] = "the session is over",
        [NINEP_REFUSED] = "the server refuses",
        [NINEP_ABSENT] = "there is no such file",
        [NINEP_NONSENSE] = "the server answers nonsense",
        [NINEP_NO_MEMORY] = "no memory",
        [NINEP_TOO_LONG] = "the name is too long",
    };

    return error >= 0 && (unsigned)error < sizeof(words) / sizeof(words[0]) ? words[error] : "an unknown error";
}

/* ---- fids: 0 is the root ---- */

uint32_t ninep_fid(struct ninep *session)
{
    uint32_t fid = 0;

    spin_lock(&session->lock);
    for (uint32_t i = 1; i < NINEP_FIDS && fid == 0; i++)
        if (!(session->fids[i / 64] >> i % 64 & 1))
            fid = i;
    if (fid)
        session->fids[fid / 64] |= 1ull << fid % 64;
    spin_unlock(&session->lock);
    return fid;
}

void ninep_fid_free(struct ninep *session, uint32_t fid)
{
    spin_lock(&session->lock);
    session->fids[fid / 64] &= ~(1ull << fid % 64);
    spin_unlock(&session->lock);
}

/* ---- questions ---- */

static void ninep_decide(struct ninep_call *call, int error)
{
    mem_free(call->frame);
    call->frame = NULL;
    if (error)
        future_fail(&call->done, error);
    else
        future_fulfil(&call->done, call);
}

/* The next that waits gets this tag, and goes out; or nobody has it any more. */
static void ninep_pass_on(struct ninep *session, uint16_t tag)
{
    spin_lock(&session->lock);

    struct ninep_call *next = session->waiting;

    session->under_way[tag] = next;
    if (next) {
        session->waiting = next->next;
        if (session->waiting == NULL)
            session->last = &session->waiting;
        next->tag = tag;
    }
    spin_unlock(&session->lock);
    if (next) {
        ninep_set(next->frame + 5, tag, 2);
        session->by->send(next);
    }
}

void ninep_end(struct ninep *session, int why)
{
    spin_lock(&session->lock);

    bool first = session->ended == 0;
    struct ninep_call *call = session->waiting;

    session->waiting = NULL;
    session->last = &session->waiting;
    if (first)
        session->ended = (uint32_t)why;
    spin_unlock(&session->lock);
    while (call) {
        struct ninep_call *next = call->next;

        ninep_decide(call, why);
        call = next;
    }
    if (first && session->by->over)
        session->by->over(session);
}

void ninep_ask(struct ninep *session, struct ninep_call *call)
{
    uint16_t tag = 0;

    if (call->frame == NULL) {
        ninep_decide(call, NINEP_NO_MEMORY);
        return;
    }
    call->session = session;
    call->next = NULL;
    spin_lock(&session->lock);

    bool open = session->ended == 0 && (session->up || call == &session->call);

    while (open && tag < session->by->tags && session->under_way[tag])
        tag++;
    if (open && tag < session->by->tags) {
        session->under_way[tag] = call;
    } else if (open) {
        *session->last = call;
        session->last = &call->next;
    }
    spin_unlock(&session->lock);
    if (!open) {
        ninep_decide(call, NINEP_OVER);
    } else if (tag < session->by->tags) {
        call->tag = tag;
        if (call->frame[4] != TVERSION)
            ninep_set(call->frame + 5, tag, 2);
        session->by->send(call);
    }
}

void ninep_have(struct ninep_call *call, const uint8_t *frame, uint32_t size)
{
    struct ninep *session = call->session;
    int error = ninep_reply(call, frame, size);

    if (error == NINEP_NONSENSE)
        ninep_end(session, error);
    ninep_pass_on(session, call->tag);
    ninep_decide(call, error);
}

void ninep_lost(struct ninep_call *call, int error)
{
    struct ninep *session = call->session;

    ninep_end(session, error);
    ninep_pass_on(session, call->tag);
    ninep_decide(call, error);
}

bool ninep_is_quiet(struct ninep *session)
{
    bool quiet = true;

    spin_lock(&session->lock);
    for (unsigned i = 0; i < NINEP_TAGS; i++)
        quiet &= session->under_way[i] == NULL;
    quiet &= session->ended != 0;
    spin_unlock(&session->lock);
    return quiet;
}

/* ---- how a session begins ---- */

static void ninep_attached(void *arg)
{
    struct ninep *session = arg;
    struct future *begun = session->begun;
    int error = session->call.done.state == FUTURE_FAILED ? session->call.done.error : 0;

    if (error) {
        ninep_end(session, error);
        future_fail(begun, error);
        return;
    }
    session->up = true;
    future_fulfil(begun, session);
}

static void ninep_agreed(void *arg)
{
    struct ninep *session = arg;

    if (session->call.done.state == FUTURE_FAILED) {
        ninep_attached(arg);
        return;
    }
    session->call = (struct ninep_call){ 0 };
    future_then(&session->call.done, &session->wait, ninep_attached, session);
    ninep_put_attach(&session->call);
    ninep_ask(session, &session->call);
}

void ninep_start(struct ninep *session, const struct ninep_carrier *by, struct future *begun)
{
    session->by = by;
    session->begun = begun;
    session->last = &session->waiting;
    session->msize = NINEP_MSIZE;
    session->fids[0] = 1;
    future_then(&session->call.done, &session->wait, ninep_agreed, session);
    ninep_put_version(&session->call);
    ninep_ask(session, &session->call);
}
