/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared objects in distributed shared memory: an object is a run of pages of its home, a block of it a page. Who opens it asks the home where it is; from then on reading and
 * writing are copying, in a context of its own for each call, which waits for the page where that is not here.
 */
#include "cpu.h"
#include "dsm.h"
#include "messenger.h"
#include "shared_parts.h"

#define OBJECTS 256u
#define LOCKS 64u

_Static_assert(SHARED_BLOCK == DSM_PAGE, "a block is a page");

enum { ASK_WHERE = 1, ANSWER_HERE, ANSWER_NOWHERE };    /* to NODE_EBB_OBJECTS: a name -> struct shared_memory_place, or nothing */
enum { OWN_ADDRESS, OWN_LIFE };                         /* in shared.own */

struct shared_memory_place {
    uint64_t size;
    uint32_t page;
    uint32_t life;              /* of the home */
} __attribute__((packed));

struct shared_memory_object {
    struct shared_memory_place place;
    char name[SHARED_NAME_MOST + 1];
};

struct shared_memory_asking {
    struct message_call call;
    struct future_wait wait;
};

static struct shared_memory_object shared_memory_objects[OBJECTS];
static uint32_t shared_memory_count;           /* grows when the next is whole */
static struct spinlock shared_memory_lock;
static struct spinlock shared_memory_locks[LOCKS];     /* of pages, against other vCPUs of this node */

/* ---- at home ---- */

static const struct shared_memory_object *shared_memory_find(const char *name, size_t length)
{
    uint32_t count = __atomic_load_n(&shared_memory_count, __ATOMIC_ACQUIRE), i = 0;

    while (i < count && !(strlen(shared_memory_objects[i].name) == length && memcmp(shared_memory_objects[i].name, name, length) == 0))
        i++;
    return i < count ? &shared_memory_objects[i] : NULL;
}

static void shared_memory_question(void *ctx, const struct message *question)
{
    const struct shared_memory_object *object = shared_memory_find((const char *)question->body, question->length);

    (void)ctx;
    if (question->call == 0)
        return;                         /* whoever does not wait for an answer knows nothing of us */
    if (object && question->type == ASK_WHERE)
        message_answer(question, ANSWER_HERE, &object->place, sizeof(object->place));
    else
        message_answer(question, ANSWER_NOWHERE, NULL, 0);
}

static int shared_memory_serve(void)
{
    dsm_start(0);
    return messenger_target(NODE_EBB_OBJECTS, shared_memory_question, NULL) ? 0 : SHARED_NO_MEMORY;
}

static int shared_memory_host(const char *name, uint64_t size)
{
    uint64_t pages = (size + DSM_PAGE - 1) / DSM_PAGE;
    int error = 0;

    spin_lock(&shared_memory_lock);
    if (shared_memory_count == OBJECTS || shared_memory_find(name, strlen(name)))
        error = SHARED_REFUSED;

    uint8_t *at = error || pages == 0 ? dsm_address(messenger_own(), 0) : dsm_share((uint32_t)pages);
    struct shared_memory_object *object = &shared_memory_objects[shared_memory_count];

    if (at == NULL)
        error = SHARED_NO_MEMORY;
    if (error == 0) {
        memcpy(object->name, name, strlen(name));
        object->place = (struct shared_memory_place){
            size, (uint32_t)((uint64_t)(at - (uint8_t *)dsm_address(messenger_own(), 0)) / DSM_PAGE), messenger_session(),
        };
        __atomic_store_n(&shared_memory_count, shared_memory_count + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&shared_memory_lock);
    return error;
}

/* ---- opening ---- */

static void shared_memory_opened(void *arg)
{
    struct shared_call *call = arg;
    struct shared *object = call->object;
    struct message_call *answer = &((struct shared_memory_asking *)call->own)->call;
    struct shared_memory_place place = { 0 };
    int error = 0;

    if (answer->answered.state == FUTURE_FAILED)
        error = shared_error_of_message(answer->answered.error);
    else if (answer->type == ANSWER_NOWHERE)
        error = SHARED_ABSENT;
    else if (answer->type != ANSWER_HERE || answer->length != sizeof(place))
        error = SHARED_NONSENSE;
    else
        memcpy(&place, answer->reply, sizeof(place));
    mem_free(answer->reply);
    if (place.size > SHARED_SIZE_MOST || place.page + (place.size + DSM_PAGE - 1) / DSM_PAGE > DSM_HOME_PAGES || (error == 0 && place.life == 0))
        error = SHARED_NONSENSE;
    if (error == 0) {
        if (object->home != messenger_own() && dsm_life(object->home) != place.life)
            dsm_accept(object->home, place.life);
        object->size = place.size;
        object->own[OWN_ADDRESS] = (uint64_t)dsm_address(object->home, place.page);
        object->own[OWN_LIFE] = place.life;
    }
    shared_done(call, error);
}

static void shared_memory_open(struct shared_call *call)
{
    struct shared_memory_asking *asking = (struct shared_memory_asking *)call->own;

    dsm_start(0);
    future_then(&asking->call.answered, &asking->wait, shared_memory_opened, call);
    message_ask(&asking->call, call->object->home, NODE_EBB_OBJECTS, ASK_WHERE, call->object->name, (uint32_t)strlen(call->object->name),
                SHARED_PATIENCE_NS);
}

/* ---- reading and writing ---- */

static int shared_memory_error(const struct shared *object, int error)
{
    switch (error) {
    case 0:
        return 0;
    case DSM_LOST:
        return SHARED_LOST;
    case DSM_NO_MEMORY:
        return SHARED_NO_MEMORY;
    case DSM_HOME_LOST:
        return dsm_life(object->home) == object->own[OWN_LIFE] ? SHARED_UNREACHABLE : SHARED_STALE;
    default:
        return SHARED_NONSENSE;
    }
}

/* Calls end at blocks, so it is one page's. From its coming to the copy's end nobody takes it away. */
static int shared_memory_copy(const struct shared_call *call, bool write)
{
    const struct shared *object = call->object;
    uint8_t *at = (uint8_t *)object->own[OWN_ADDRESS] + call->offset;
    struct spinlock *lock = &shared_memory_locks[(uint64_t)at / DSM_PAGE % LOCKS];

    if (dsm_life(object->home) != object->own[OWN_LIFE] && dsm_life(object->home))
        return SHARED_STALE;            /* the addresses are another life's by now */

    int error = shared_memory_error(object, dsm_acquire(at, write));

    if (error)
        return error;
    if (dsm_life(object->home) != object->own[OWN_LIFE])
        return SHARED_STALE;
    spin_lock(lock);
    if (write)
        memcpy(at, call->data, call->length);
    else
        memcpy(call->data, at, call->length);
    spin_unlock(lock);
    return 0;
}

static void shared_memory_reads(void *call)
{
    shared_done(call, shared_memory_copy(call, false));
}

static void shared_memory_writes(void *call)
{
    shared_done(call, shared_memory_copy(call, true));
}

static void shared_memory_read(struct shared_call *call)
{
    if (!context_run(shared_memory_reads, call))
        shared_done(call, SHARED_NO_MEMORY);
}

static void shared_memory_write(struct shared_call *call)
{
    if (!context_run(shared_memory_writes, call))
        shared_done(call, SHARED_NO_MEMORY);
}

static void shared_memory_close(struct shared_call *call)
{
    shared_done(call, 0);
}

const struct shared_integration shared_memory = {
    .word = "memory",
    .most = SHARED_BLOCK,
    .call_bytes = sizeof(struct shared_memory_asking),
    .serve = shared_memory_serve,
    .host = shared_memory_host,
    .open = shared_memory_open,
    .read = shared_memory_read,
    .write = shared_memory_write,
    .close = shared_memory_close,
};
