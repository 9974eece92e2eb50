/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared objects by 9P: each is a file of the home's tree. One session with a home for all handles of this node; when it ends they are stale, and the
 * next opening begins another. A 9P read or write is atomic at the server, so calls are cut at blocks.
 */
#include "ninep.h"
#include "shared_parts.h"

#define MOST (8u * SHARED_BLOCK)

struct home {
    struct ninep session;
    struct future begun;
    uint32_t users;             /* handles, and openings under way */
};

struct step {
    struct ninep_call call;
    struct future_wait wait;
    struct home *home;
    uint32_t fid;
    int error;                  /* of an opening that is given up */
    bool writes;
};

enum { OWN_HOME, OWN_FID, OWN_MOST };   /* in shared.own */

static struct home *homes[MESSENGER_NODES];
static struct spinlock homes_lock;

static struct step *ninep_step_of(struct shared_call *call)
{
    return (struct step *)call->own;
}

static int ninep_step_error(const struct step *step)
{
    if (step->call.done.state == FUTURE_FULFILLED)
        return 0;
    switch (step->call.done.error) {
    case NINEP_LOST:
        return SHARED_UNREACHABLE;
    case NINEP_OVER:
        return SHARED_STALE;
    case NINEP_ABSENT:
        return SHARED_ABSENT;
    case NINEP_NONSENSE:
        return SHARED_NONSENSE;
    case NINEP_NO_MEMORY:
        return SHARED_NO_MEMORY;
    default:
        return SHARED_REFUSED;
    }
}

/* What comes next when the step's question is decided. */
static struct ninep_call *ninep_step_then(struct shared_call *call, event_fn then)
{
    struct step *step = ninep_step_of(call);

    step->call = (struct ninep_call){ 0 };
    future_then(&step->call.done, &step->wait, then, call);
    return &step->call;
}

/* ---- sessions ---- */

/* The home's session, begun unless there is one that lives. NULL: no memory. */
static struct home *home_enter(uint16_t node)
{
    bool begins = false;

    spin_lock(&homes_lock);

    struct home *home = homes[node];

    if (home == NULL || home->session.ended) {  /* one that has ended has users still */
        home = mem_zalloc(sizeof(*home));
        begins = home != NULL;
        if (home)
            homes[node] = home;
    }
    if (home)
        home->users++;
    spin_unlock(&homes_lock);
    if (begins)
        ninep_begin(&home->session, node, &home->begun);
    return home;
}

/* One that has ended goes with its last user. */
static void home_leave(struct home *home)
{
    spin_lock(&homes_lock);

    bool last = --home->users == 0 && home->session.ended;

    for (unsigned node = 0; last && node < MESSENGER_NODES; node++)
        if (homes[node] == home)
            homes[node] = NULL;
    spin_unlock(&homes_lock);
    if (last)
        mem_free(home);
}

/* ---- opening: the session, a walk to the file, its opening, its length ---- */

static void ninep_open_end(struct shared_call *call, int error)
{
    struct step *step = ninep_step_of(call);

    if (error)
        home_leave(step->home);
    shared_done(call, error);
}

/* The fid is of no use, but the server has it. */
static void ninep_open_gave_up(void *arg)
{
    struct shared_call *call = arg;
    struct step *step = ninep_step_of(call);

    ninep_fid_free(&step->home->session, step->fid);
    ninep_open_end(call, step->error);
}

static void ninep_open_give_up(struct shared_call *call, int error)
{
    struct step *step = ninep_step_of(call);

    step->error = error;
    ninep_clunk(&step->home->session, ninep_step_then(call, ninep_open_gave_up), step->fid);
}

static void ninep_open_measured(void *arg)
{
    struct shared_call *call = arg;
    struct step *step = ninep_step_of(call);
    int error = ninep_step_error(step);

    if (error == 0 && (step->call.mode & NINEP_DIRECTORY || step->call.length > SHARED_SIZE_MOST))
        error = SHARED_REFUSED;
    if (error) {
        ninep_open_give_up(call, error);
        return;
    }
    call->object->size = step->call.length;
    call->object->own[OWN_HOME] = (uintptr_t)step->home;
    call->object->own[OWN_FID] = step->fid;
    ninep_open_end(call, 0);
}

static void ninep_open_opened(void *arg)
{
    struct shared_call *call = arg;
    struct step *step = ninep_step_of(call);
    int error = ninep_step_error(step);
    uint32_t most = step->call.most / SHARED_BLOCK * SHARED_BLOCK;

    if (error == 0 && most == 0)
        error = SHARED_REFUSED;         /* a block would not go in one question */
    if (error) {
        ninep_open_give_up(call, error);
        return;
    }
    call->object->own[OWN_MOST] = most < MOST ? most : MOST;
    ninep_stat(&step->home->session, ninep_step_then(call, ninep_open_measured), step->fid);
}

static bool ninep_says_absent(const char *why)
{
    static const char *const ways[] = { "No such", "no such", "not found", "does not exist" };

    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        for (const char *at = why; *at; at++)
            if (strncmp(at, ways[i], strlen(ways[i])) == 0)
                return true;
    return false;
}

static void ninep_open_walked(void *arg)
{
    struct shared_call *call = arg;
    struct step *step = ninep_step_of(call);
    int error = ninep_step_error(step);

    if (error) {
        ninep_fid_free(&step->home->session, step->fid);
        ninep_open_end(call, error == SHARED_REFUSED && ninep_says_absent(step->call.why) ? SHARED_ABSENT : error);
        return;
    }
    ninep_open(&step->home->session, ninep_step_then(call, ninep_open_opened), step->fid, 2);
}

static void ninep_open_begun(void *arg)
{
    struct shared_call *call = arg;
    struct step *step = ninep_step_of(call);

    if (step->home->begun.state == FUTURE_FAILED) {
        step->call.done = step->home->begun;    /* whose error it is */
        ninep_open_end(call, ninep_step_error(step));
        return;
    }
    step->fid = ninep_fid(&step->home->session);
    if (step->fid == 0)
        ninep_open_end(call, SHARED_REFUSED);
    else
        ninep_walk(&step->home->session, ninep_step_then(call, ninep_open_walked), 0, step->fid, call->object->name);
}

static void shared_ninep_open(struct shared_call *call)
{
    struct step *step = ninep_step_of(call);

    step->home = home_enter(call->object->home);
    if (step->home == NULL)
        shared_done(call, SHARED_NO_MEMORY);
    else
        future_then(&step->home->begun, &step->wait, ninep_open_begun, call);
}

/* ---- reading and writing: as many questions as it takes, each of whole blocks ---- */

static void ninep_move_next(struct shared_call *call);

static void ninep_move_moved(void *arg)
{
    struct shared_call *call = arg;
    struct step *step = ninep_step_of(call);
    int error = ninep_step_error(step);

    if (error == 0 && step->call.count != step->call.asked)
        error = SHARED_NONSENSE;        /* an object does not end within itself */
    call->offset += step->call.count;
    call->data += step->call.count;
    call->length -= step->call.count;
    if (error || call->length == 0)
        shared_done(call, error);
    else
        ninep_move_next(call);
}

static void ninep_move_next(struct shared_call *call)
{
    const uint64_t *own = call->object->own;
    struct ninep *session = &((struct home *)(uintptr_t)own[OWN_HOME])->session;
    uint32_t room = (uint32_t)(own[OWN_MOST] - call->offset % own[OWN_MOST]);
    uint32_t count = call->length < room ? call->length : room;
    struct ninep_call *question = ninep_step_then(call, ninep_move_moved);

    if (ninep_step_of(call)->writes)
        ninep_write(session, question, (uint32_t)own[OWN_FID], call->offset, call->data, count);
    else
        ninep_read(session, question, (uint32_t)own[OWN_FID], call->offset, call->data, count);
}

static void shared_ninep_write(struct shared_call *call)
{
    ninep_step_of(call)->writes = true;
    ninep_move_next(call);
}

static void shared_ninep_read(struct shared_call *call)
{
    ninep_move_next(call);
}

/* ---- closing ---- */

static void ninep_close_closed(void *arg)
{
    struct shared_call *call = arg;
    struct step *step = ninep_step_of(call);
    int error = ninep_step_error(step);

    ninep_fid_free(&step->home->session, step->fid);
    home_leave(step->home);
    shared_done(call, error);
}

static void shared_ninep_close(struct shared_call *call)
{
    struct step *step = ninep_step_of(call);

    step->home = (struct home *)(uintptr_t)call->object->own[OWN_HOME];
    step->fid = (uint32_t)call->object->own[OWN_FID];
    ninep_clunk(&step->home->session, ninep_step_then(call, ninep_close_closed), step->fid);
}

const struct shared_integration shared_ninep = {
    .word = "ninep",
    .most = MOST,
    .call_bytes = sizeof(struct step),
    .serve = ninep_serve,
    .host = shared_ninep_host,
    .open = shared_ninep_open,
    .read = shared_ninep_read,
    .write = shared_ninep_write,
    .close = shared_ninep_close,
};
