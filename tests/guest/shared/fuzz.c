/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `fuzz WHAT COUNT PORT`, one node that asks itself. replies: a home whose answers are nearly right; ninep: a 9P server whose replies are; questions: a real home that is
 * asked nonsense. Whatever comes, each operation ends, nothing outside its buffer is written, and no memory is lost.
 */
#include "check.h"
#include "context.h"
#include "fuzz.h"
#include "shared.h"
#include "shared_messages.h"
#include "wire.h"
#include "words.h"

#define GUARD 64u
#define MOST 40000u

uint32_t fuzz_state = 7;

static struct {
    uint32_t cases, ended[SHARED_NONSENSE + 1];
    uint8_t bytes[GUARD + MOST + GUARD];
} fuzz;

/* ---- operations, and what may come of them ---- */

static int fuzz_count(struct future *future)
{
    int error = future_wait(future);

    CHECK(error >= 0 && error <= SHARED_NONSENSE, "error %d", error);
    fuzz.ended[error]++;
    return error;
}

static int fuzz_open(struct shared *object, const struct shared_integration *with, const char *name)
{
    struct future opened = { 0 };

    shared_open(object, with, 0, name, &opened);

    int error = fuzz_count(&opened);

    CHECK(error || object->size <= SHARED_SIZE_MOST, "size %lu", object->size);
    return error;
}

static int fuzz_move(struct shared *object)
{
    uint32_t most = object->size < MOST ? (uint32_t)object->size : MOST;
    uint32_t length = fuzz_random() % (most + 1);
    uint64_t offset = object->size > length ? fuzz_random() % (object->size - length + 1) : 0;
    bool writes = fuzz_random() % 2;
    struct future done = { 0 };

    memset(fuzz.bytes, 0xA5, sizeof(fuzz.bytes));
    if (writes)
        shared_write(object, offset, fuzz.bytes + GUARD, length, &done);
    else
        shared_read(object, offset, fuzz.bytes + GUARD, length, &done);

    int error = fuzz_count(&done);

    for (uint32_t i = 0; i < GUARD; i++)
        CHECK(fuzz.bytes[i] == 0xA5 && fuzz.bytes[GUARD + length + i] == 0xA5, "a %s of %u bytes wrote outside", writes ? "write" : "read", length);
    return error;
}

static void fuzz_close(struct shared *object)
{
    struct future closed = { 0 };

    shared_close(object, &closed);
    fuzz_count(&closed);
}

/* `count` replies by the server of `with`, which answers `fuzz_asked` questions. */
static void fuzz_replies(const struct shared_integration *with, uint32_t count)
{
    struct shared object;

    while (fuzz_asked < count) {
        if (fuzz_open(&object, with, "object"))
            continue;
        for (unsigned i = 0; i < 4 && fuzz_move(&object) != SHARED_STALE; i++)
            ;
        fuzz_close(&object);
    }
}

/* ---- a real home ---- */

static void fuzz_questions(const struct shared_integration *with, ebb_id ebb, uint32_t count)
{
    struct shared guard, object;
    uint32_t done = 0;

    CHECK(shared_serve(with) == 0 && shared_host(with, "object", 5000) == 0 && shared_host(with, "guard", 5000) == 0, "home");
    while (fuzz_asked < count) {
        struct message_call call = { 0 };
        uint16_t type;
        uint32_t length = fuzz_question(fuzz.bytes, &type, ebb == NODE_EBB_NINEP);

        message_ask(&call, 0, ebb, type, fuzz.bytes, length, 4000000000ull);
        CHECK(future_wait(&call.answered) == 0, "question %u got no answer", fuzz_asked);
        done += ebb == NODE_EBB_NINEP ? call.length > 4 && call.reply[4] != RERROR : call.type == ANSWER_DONE;
        mem_free(call.reply);
    }
    console_printf("%u of them made sense\n", done);
    CHECK(fuzz_open(&guard, with, "guard") == 0, "guard");
    CHECK(fuzz_open(&object, with, "object") == 0 && object.size == 5000, "object of %lu bytes", object.size);

    struct future read = { 0 };

    shared_read(&guard, 0, fuzz.bytes, 5000, &read);
    CHECK(future_wait(&read) == 0, "guard");
    for (uint32_t i = 0; i < 5000; i++)
        CHECK(fuzz.bytes[i] == 0, "byte %u of an object that nobody named", i);
    fuzz_close(&guard);
    fuzz_close(&object);
}

static void fuzz_run(void *arg)
{
    char **words = arg;
    const struct shared_integration *messages = shared_integration("messages"), *ninep = shared_integration("ninep");
    uint32_t count = test_number(words[2]);
    size_t before = 0;

    for (unsigned round = 0; round < 2; round++) {      /* what the first took and kept, the second needs no more of */
        fuzz_asked = 0;
        if (strcmp(words[1], "replies") == 0)
            fuzz_replies(messages, count / 2);
        else if (strcmp(words[1], "ninep") == 0)
            fuzz_replies(ninep, count / 2);
        else if (strcmp(words[1], "questions") == 0 && round == 0)
            fuzz_questions(messages, NODE_EBB_SHARED, count);
        else if (strcmp(words[1], "frames") == 0 && round == 0)
            fuzz_questions(ninep, NODE_EBB_NINEP, count);
        if (round == 0)
            before = mem_free_bytes();
    }
    CHECK(mem_free_bytes() == before, "%zu bytes are free, before %zu", mem_free_bytes(), before);
    console_printf("fulfilled %u unreachable %u stale %u absent %u range %u refused %u nonsense %u\n", fuzz.ended[0], fuzz.ended[SHARED_UNREACHABLE],
                   fuzz.ended[SHARED_STALE], fuzz.ended[SHARED_ABSENT], fuzz.ended[SHARED_RANGE], fuzz.ended[SHARED_REFUSED],
                   fuzz.ended[SHARED_NONSENSE]);
    test_success();
}

void app_main(int argc, char **argv)
{
    CHECK(argc == 4, "%d words", argc);
    CHECK(messenger_start(0, (uint16_t)test_number(argv[3]), 3), "port");
    if (strcmp(argv[1], "replies") == 0)
        CHECK(messenger_target(NODE_EBB_SHARED, fuzz_home, NULL), "target");
    else if (strcmp(argv[1], "ninep") == 0)
        CHECK(messenger_target(NODE_EBB_NINEP, fuzz_server, NULL), "target");
    CHECK(context_run(fuzz_run, argv), "no memory");
}
