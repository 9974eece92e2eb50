/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared objects by messages, at home: their bytes, and an Ebb that reads and writes them. Clients of different vCPUs meet at an object's lock. */
#include "shared_messages.h"
#include "messenger.h"
#include "shared_parts.h"

#define OBJECTS 256u

struct home_object {
    struct spinlock lock;
    uint64_t size;
    uint8_t *bytes;
    char name[SHARED_NAME_MOST + 1];
};

static struct home_object *home_objects[OBJECTS];
static uint32_t home_count;             /* grows when the next is whole */
static struct spinlock home_lock;

static uint32_t home_find(const char *name, size_t length)
{
    uint32_t count = __atomic_load_n(&home_count, __ATOMIC_ACQUIRE), i = 0;

    while (i < count && !(strlen(home_objects[i]->name) == length && memcmp(home_objects[i]->name, name, length) == 0))
        i++;
    return i < count ? i : OBJECTS;
}

static void home_refuse(const struct message *question, uint32_t error)
{
    message_answer(question, ANSWER_REFUSED, &error, sizeof(error));
}

static void home_open(const struct message *question)
{
    uint32_t number = home_find((const char *)question->body, question->length);

    if (number == OBJECTS) {
        home_refuse(question, SHARED_ABSENT);
        return;
    }

    struct opened opened = { number, messenger_session(), home_objects[number]->size };

    message_answer(question, ANSWER_DONE, &opened, sizeof(opened));
}

/* The object that the question names; NULL: refused. */
static struct home_object *home_of(const struct message *question, struct place *place)
{
    uint32_t error = 0;

    memcpy(place, question->body, sizeof(*place));
    if (place->life != messenger_session() || place->number >= __atomic_load_n(&home_count, __ATOMIC_ACQUIRE))
        error = SHARED_STALE;
    else if (place->offset > home_objects[place->number]->size || place->length > home_objects[place->number]->size - place->offset ||
             place->length > MESSAGE_MAX)
        error = SHARED_RANGE;
    if (error)
        home_refuse(question, error);
    return error ? NULL : home_objects[place->number];
}

static void home_read(const struct message *question)
{
    struct place place;
    struct home_object *object = home_of(question, &place);

    if (object == NULL)
        return;
    spin_lock(&object->lock);
    message_answer(question, ANSWER_DONE, object->bytes + place.offset, place.length);
    spin_unlock(&object->lock);
}

static void home_write(const struct message *question)
{
    struct place place;
    struct home_object *object = home_of(question, &place);

    if (object == NULL)
        return;
    if (question->length != sizeof(place) + place.length) {
        home_refuse(question, SHARED_NONSENSE);
        return;
    }
    spin_lock(&object->lock);
    memcpy(object->bytes + place.offset, question->body + sizeof(place), place.length);
    spin_unlock(&object->lock);
    message_answer(question, ANSWER_DONE, NULL, 0);
}

static void home_message(void *ctx, const struct message *question)
{
    (void)ctx;
    if (question->call == 0)
        return;                         /* whoever does not wait for an answer knows nothing of us */
    if (question->type == ASK_OPEN)
        home_open(question);
    else if (question->type == ASK_READ && question->length == sizeof(struct place))
        home_read(question);
    else if (question->type == ASK_WRITE && question->length >= sizeof(struct place))
        home_write(question);
    else
        home_refuse(question, SHARED_NONSENSE);
}

int shared_messages_serve(void)
{
    return messenger_target(NODE_EBB_SHARED, home_message, NULL) ? 0 : SHARED_NO_MEMORY;
}

int shared_messages_host(const char *name, uint64_t size)
{
    struct home_object *object = mem_zalloc(sizeof(*object));
    uint8_t *bytes = mem_zalloc(size ? size : 1);
    int error = object && bytes ? 0 : SHARED_NO_MEMORY;

    spin_lock(&home_lock);
    if (error == 0 && (home_count == OBJECTS || home_find(name, strlen(name)) != OBJECTS))
        error = SHARED_REFUSED;
    if (error == 0) {
        object->size = size;
        object->bytes = bytes;
        memcpy(object->name, name, strlen(name));
        home_objects[home_count] = object;
        __atomic_store_n(&home_count, home_count + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&home_lock);
    if (error) {
        mem_free(object);
        mem_free(bytes);
    }
    return error;
}
