/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared objects, whatever carries them: operations are checked, cut into calls that an integration takes, a few of which are under way at a time,
 * and decided when the last has ended. An operation belongs to the vCPU that asked; the handle's state to all of them, under its lock.
 */
#include "messenger.h"
#include "shared_parts.h"

#define AT_ONCE 4u

enum { HANDLE_NEW, HANDLE_OPEN, HANDLE_CLOSING };

/* An operation. */
struct shared_transfer {
    struct shared *object;
    struct future *done;
    void (*begin)(struct shared_call *call);
    enum { OPENING, MOVING, CLOSING } kind;
    uint64_t offset;
    uint8_t *data;
    uint32_t left;
    bool whole;                 /* one call is to begin, whatever its length */
    bool begins;                /* transfer_go is at it */
    uint32_t under_way, slots, slot_bytes;
    int error;
    uint8_t calls[] __attribute__((aligned(16)));
};

const char *shared_error(int error)
{
    static const char *const words[] = {
        [0] = "nothing is wrong",
        [SHARED_UNREACHABLE] = "its home cannot be reached",
        [SHARED_STALE] = "its home has started anew or forgotten us; open it again",
        [SHARED_ABSENT] = "its home has no such object",
        [SHARED_RANGE] = "beyond the object's end",
        [SHARED_CLOSED] = "it is not open",
        [SHARED_NO_MEMORY] = "no memory",
        [SHARED_REFUSED] = "its home refuses",
        [SHARED_NONSENSE] = "its home answers nonsense",
        [SHARED_LOST] = "its contents died with the node that had last written them",
    };

    return error >= 0 && (unsigned)error < sizeof(words) / sizeof(words[0]) ? words[error] : "an unknown error";
}

int shared_error_of_message(int error)
{
    switch (error) {
    case 0:
        return 0;
    case MESSAGE_NO_TARGET:
        return SHARED_REFUSED;
    case MESSAGE_NO_MEMORY:
        return SHARED_NO_MEMORY;
    default:
        return SHARED_UNREACHABLE;
    }
}

static bool shared_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool shared_name_is_one(const char *name)
{
    size_t length = 0;

    for (; name[length]; length++)
        if (length == SHARED_NAME_MOST ||
            !(shared_letter(name[length]) || (length && (name[length] == '.' || name[length] == '-' || name[length] == '_'))))
            return false;
    return length > 0;
}

int shared_serve(const struct shared_integration *with)
{
    return with->serve();
}

int shared_host(const struct shared_integration *with, const char *name, uint64_t size)
{
    return shared_name_is_one(name) && size <= SHARED_SIZE_MOST ? with->host(name, size) : SHARED_REFUSED;
}

/* ---- the handle ---- */

/* False: it is not open, so nothing may begin. */
static bool handle_enter(struct shared *object)
{
    spin_lock(&object->lock);

    bool open = object->state == HANDLE_OPEN;

    object->under_way += open;
    spin_unlock(&object->lock);
    return open;
}

static void handle_close(struct shared *object);

static void handle_leave(struct shared *object)
{
    spin_lock(&object->lock);

    bool last = --object->under_way == 0 && object->state == HANDLE_CLOSING;

    spin_unlock(&object->lock);
    if (last)
        handle_close(object);
}

/* ---- operations ---- */

static struct shared_call *transfer_slot(struct shared_transfer *transfer)
{
    for (uint32_t i = 0;; i++) {
        struct shared_call *call = (struct shared_call *)(transfer->calls + (size_t)i * transfer->slot_bytes);

        if (!call->used)
            return call;
    }
}

static uint32_t transfer_next(const struct shared_transfer *transfer)
{
    uint32_t most = transfer->object->with->most;
    uint64_t room = most == UINT32_MAX ? transfer->left : most - transfer->offset % most;

    return transfer->left < room ? transfer->left : (uint32_t)room;
}

static void transfer_end(struct shared_transfer *transfer)
{
    struct shared *object = transfer->object;
    struct future *done = transfer->done;
    bool moved = transfer->kind == MOVING;
    int error = transfer->error;

    if (transfer->kind == CLOSING)
        __atomic_store_n(&object->state, HANDLE_NEW, __ATOMIC_RELEASE);
    else if (transfer->kind == OPENING && error == 0)
        __atomic_store_n(&object->state, HANDLE_OPEN, __ATOMIC_RELEASE);
    mem_free(transfer);
    if (error)
        future_fail(done, error);
    else
        future_fulfil(done, NULL);
    if (moved)
        handle_leave(object);           /* which may close it: after all that was under way */
}

/* Begins what there is room for. Calls may end before they have begun: then they come here again, and find it at work. */
static void transfer_go(struct shared_transfer *transfer)
{
    if (transfer->begins)
        return;
    transfer->begins = true;
    while ((transfer->whole || transfer->left) && transfer->error == 0 && transfer->under_way < transfer->slots) {
        struct shared_call *call = transfer_slot(transfer);
        uint32_t length = transfer_next(transfer);

        memset(call, 0, transfer->slot_bytes);
        *call = (struct shared_call){ transfer->object, transfer->offset, transfer->data, length, true, transfer };
        transfer->offset += length;
        transfer->data += length;
        transfer->left -= length;
        transfer->whole = false;
        transfer->under_way++;
        transfer->begin(call);
    }
    transfer->begins = false;
    if (transfer->under_way == 0)
        transfer_end(transfer);
}

void shared_done(struct shared_call *call, int error)
{
    struct shared_transfer *transfer = call->transfer;

    call->used = false;
    transfer->under_way--;
    if (transfer->error == 0)
        transfer->error = error;
    transfer_go(transfer);
}

/* `slots` calls at most at a time. NULL: no memory. */
static struct shared_transfer *transfer_new(struct shared *object, struct future *done, uint64_t length)
{
    uint32_t most = object->with->most, slot_bytes = (sizeof(struct shared_call) + object->with->call_bytes + 15) & ~15u;
    uint64_t slots = most == UINT32_MAX || length <= most ? 1 : AT_ONCE;
    struct shared_transfer *transfer = mem_zalloc(sizeof(*transfer) + slots * slot_bytes);

    if (transfer) {
        transfer->object = object;
        transfer->done = done;
        transfer->slots = (uint32_t)slots;
        transfer->slot_bytes = slot_bytes;
    }
    return transfer;
}

static void shared_move(struct shared *object, uint64_t offset, uint8_t *data, uint32_t length, struct future *done, bool writes)
{
    if (!handle_enter(object)) {
        future_fail(done, SHARED_CLOSED);
        return;
    }

    bool within = offset <= object->size && length <= object->size - offset;
    struct shared_transfer *transfer = within ? transfer_new(object, done, length) : NULL;

    if (transfer == NULL) {
        handle_leave(object);
        future_fail(done, within ? SHARED_NO_MEMORY : SHARED_RANGE);
        return;
    }
    transfer->begin = writes ? object->with->write : object->with->read;
    transfer->kind = MOVING;
    transfer->offset = offset;
    transfer->data = data;
    transfer->left = length;
    transfer_go(transfer);
}

void shared_read(struct shared *object, uint64_t offset, void *to, uint32_t length, struct future *done)
{
    shared_move(object, offset, to, length, done, false);
}

void shared_write(struct shared *object, uint64_t offset, const void *from, uint32_t length, struct future *done)
{
    shared_move(object, offset, (uint8_t *)from, length, done, true);
}

void shared_open(struct shared *object, const struct shared_integration *with, uint16_t home, const char *name, struct future *opened)
{
    *object = (struct shared){ .with = with, .home = home };

    struct shared_transfer *transfer = shared_name_is_one(name) ? transfer_new(object, opened, 0) : NULL;

    if (transfer == NULL) {
        future_fail(opened, shared_name_is_one(name) ? SHARED_NO_MEMORY : SHARED_ABSENT);
        return;
    }
    memcpy(object->name, name, strlen(name));
    transfer->begin = with->open;
    transfer->kind = OPENING;
    transfer->whole = true;
    transfer_go(transfer);
}

/* Nothing is under way any more. */
static void handle_close(struct shared *object)
{
    struct shared_transfer *transfer = transfer_new(object, object->closed, 0);

    if (transfer == NULL) {             /* the home is not told */
        struct future *closed = object->closed;

        __atomic_store_n(&object->state, HANDLE_NEW, __ATOMIC_RELEASE);
        future_fail(closed, SHARED_NO_MEMORY);
        return;
    }
    transfer->begin = object->with->close;
    transfer->kind = CLOSING;
    transfer->whole = true;
    transfer_go(transfer);
}

void shared_close(struct shared *object, struct future *closed)
{
    spin_lock(&object->lock);

    bool open = object->state == HANDLE_OPEN, last = open && object->under_way == 0;

    if (open) {
        object->state = HANDLE_CLOSING;
        object->closed = closed;
    }
    spin_unlock(&object->lock);
    if (!open)
        future_fail(closed, SHARED_CLOSED);
    else if (last)
        handle_close(object);
}
