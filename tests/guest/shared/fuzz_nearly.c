/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz.h"
#include "shared_messages.h"
#include "shared.h"
#include "wire.h"

#define SIZE 100000u            /* of the object that all are asked for */

uint32_t fuzz_asked;

static uint32_t fuzz_of(const uint32_t *values, uint32_t count)
{
    return values[fuzz_random() % count];
}

#define FUZZ_OF(...) fuzz_of((const uint32_t[]){ __VA_ARGS__ }, sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* Often as it is; else cut, made longer, or with some bytes changed. The new length, at most `room`. */
static uint32_t fuzz_change(uint8_t *bytes, uint32_t length, uint32_t room)
{
    uint32_t more;

    switch (fuzz_random() % 8) {
    case 0:
        return length ? fuzz_random() % length : 0;
    case 1:
        more = fuzz_random() % 40;
        if (more > room - length)
            more = room - length;
        for (uint32_t i = 0; i < more; i++)
            bytes[length + i] = (uint8_t)fuzz_random();
        return length + more;
    case 2:
        for (unsigned i = 0; length && i < 3; i++)
            bytes[fuzz_random() % (length < 24 ? length : 24)] ^= (uint8_t)(1u << fuzz_random() % 8);
        return length;
    default:
        return length;
    }
}

/* ---- messages ---- */

void fuzz_home(void *ctx, const struct message *question)
{
    static uint8_t answer[MESSAGE_MAX];
    uint32_t length = 0;
    uint16_t type = ANSWER_DONE;

    (void)ctx;
    fuzz_asked++;
    if (question->type == ASK_OPEN) {
        struct opened opened = { 1, 2, fuzz_random() % 16 ? SIZE : (uint64_t)fuzz_random() << fuzz_random() % 40 };

        length = sizeof(opened);
        memcpy(answer, &opened, length);
    } else if (question->type == ASK_READ) {
        length = ((const struct place *)question->body)->length;
    }
    if (fuzz_random() % 8 == 0) {
        uint32_t error = FUZZ_OF(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x80000000u, 0xFFFFFFFFu);

        type = ANSWER_REFUSED;
        length = sizeof(error);
        memcpy(answer, &error, length);
    } else if (fuzz_random() % 32 == 0) {
        type = (uint16_t)fuzz_random();
    }
    length = fuzz_change(answer, length, sizeof(answer));
    message_answer(question, type, answer, length);
}

/* ---- 9P replies ---- */

static void fuzz_qid(struct ninep_writer *w)
{
    ninep_put_qid(w, &(struct ninep_qid){ .type = fuzz_random() % 8 ? 0 : QID_DIRECTORY, .path = 1 });
}

static void fuzz_stat(struct ninep_writer *w)
{
    ninep_put(w, 49 + 6, 2);
    ninep_put(w, 47 + 6, 2);
    ninep_put(w, 0, 6);
    fuzz_qid(w);
    ninep_put(w, fuzz_random() % 16 ? 0644 : DIRECTORY_MODE, 4);
    ninep_put(w, 0, 8);
    ninep_put(w, fuzz_random() % 16 ? SIZE : (uint64_t)fuzz_random() << fuzz_random() % 40, 8);
    ninep_put_string(w, "object", 6);
    for (unsigned i = 0; i < 3; i++)
        ninep_put_string(w, "", 0);
}

static void fuzz_body(struct ninep_writer *w, struct ninep_reader *r, uint8_t type)
{
    uint32_t count;

    switch (type) {
    case TVERSION:
        ninep_put(w, fuzz_random() % 8 ? (uint32_t)ninep_get(r, 4) : FUZZ_OF(0, 255, 256, 4096, 4120, 8192, 65535, 65537, 0xFFFFFFFFu), 4);
        ninep_put_string(w, "9P2000", fuzz_random() % 16 ? 6 : fuzz_random() % 6);
        break;
    case TATTACH:
        fuzz_qid(w);
        break;
    case TWALK:
        count = fuzz_random() % 16 ? 1 : FUZZ_OF(0, 2, 16, 17, 5042, 65535);
        ninep_put(w, count, 2);
        for (uint32_t i = 0; i < count && i < 17; i++)
            fuzz_qid(w);
        break;
    case TOPEN:
        fuzz_qid(w);
        ninep_put(w, FUZZ_OF(0, 0, 0, 8192, 4096, 4095, 1, 65512, 0xFFFFFFFFu), 4);
        break;
    case TREAD:
        ninep_get(r, 12);
        count = (uint32_t)ninep_get(r, 4);
        if (fuzz_random() % 16 == 0)
            count = fuzz_random() % (count + 100);
        ninep_put(w, fuzz_random() % 16 ? count : fuzz_random(), 4);
        ninep_room(w, count);
        break;
    case TWRITE:
        ninep_get(r, 12);
        count = (uint32_t)ninep_get(r, 4);
        ninep_put(w, fuzz_random() % 16 ? count : fuzz_random() % (2 * count + 1), 4);
        break;
    case TSTAT:
        fuzz_stat(w);
        break;
    default:
        break;
    }
}

void fuzz_server(void *ctx, const struct message *question)
{
    static uint8_t reply[MESSAGE_MAX];
    struct ninep_reader r = { question->body, question->body + question->length, false };
    struct ninep_writer w = { reply, reply, reply + sizeof(reply), false };
    uint8_t type;
    uint16_t tag;

    (void)ctx;
    fuzz_asked++;
    ninep_get(&r, 4);
    type = (uint8_t)ninep_get(&r, 1);
    tag = (uint16_t)ninep_get(&r, 2);
    ninep_put(&w, 0, 4);
    ninep_put(&w, (uint64_t)type + 1, 1);
    ninep_put(&w, fuzz_random() % 64 ? tag : fuzz_random(), 2);
    if (fuzz_random() % 16 == 0) {
        uint32_t length = fuzz_random() % 200;

        reply[4] = RERROR;
        ninep_put(&w, fuzz_random() % 8 ? length : fuzz_random(), 2);
        ninep_room(&w, length);
    } else {
        fuzz_body(&w, &r, type);
    }
    ninep_set(reply, (uint64_t)(w.at - reply), 4);

    uint32_t length = fuzz_random() % 4 ? (uint32_t)(w.at - reply) : fuzz_change(reply, (uint32_t)(w.at - reply), sizeof(reply));

    message_answer(question, fuzz_random() % 64 ? 3 : (uint16_t)fuzz_random(), reply, length);
}

/* ---- questions ---- */

static uint32_t fuzz_ask_home(uint8_t *body, uint16_t *type)
{
    struct place place = { FUZZ_OF(0, 0, 0, 2, 255, 256, 0xFFFFFFFFu), FUZZ_OF(3, 3, 3, 3, 2, 0), FUZZ_OF(0, 1, 4096, 4999, 5000, 5001, 0xFFFFFFFFu),
                           FUZZ_OF(0, 1, 100, 4096, 5000, 65516, 0xFFFFFFFFu) };

    if (fuzz_random() % 16 == 0)
        place.offset = UINT64_MAX - fuzz_random() % 5000;
    *type = (uint16_t)FUZZ_OF(ASK_OPEN, ASK_READ, ASK_WRITE, ASK_WRITE, 0, 4, 0x80, 0xFF00);
    memcpy(body, &place, sizeof(place));
    if (*type == ASK_OPEN)
        return fuzz_random() % 80;
    return sizeof(place) + (*type == ASK_WRITE && place.length < 6000 ? place.length : 0);
}

static uint32_t fuzz_ask_server(uint8_t *body, uint16_t *type)
{
    struct ninep_writer w = { body, body, body + 8000, false };
    uint8_t kind = (uint8_t)FUZZ_OF(TVERSION, TATTACH, TATTACH, TWALK, TWALK, TOPEN, TCREATE, TREAD, TWRITE, TCLUNK, TSTAT, TWSTAT, TFLUSH, TREMOVE, 99, 255);
    const char *name = fuzz_random() % 2 ? "object" : "..";

    ninep_put(&w, 0, 4);
    ninep_put(&w, kind, 1);
    ninep_put(&w, fuzz_random(), 2);
    if (kind == TVERSION) {
        ninep_put(&w, FUZZ_OF(8192, 65536, 256, 100), 4);
        ninep_put_string(&w, "9P2000", 6);
    } else {
        ninep_put(&w, fuzz_random() % 4, 4);
        ninep_put(&w, kind == TATTACH ? NINEP_NO_FID : fuzz_random() % 4, kind == TOPEN ? 1 : 4);
        if (kind == TWALK)
            ninep_put(&w, 1, 2);
        ninep_put_string(&w, name, (uint32_t)strlen(name));
        for (uint32_t i = fuzz_random() % 60; i > 0; i--)
            ninep_put(&w, fuzz_random(), 1);
    }
    ninep_set(body, (uint64_t)(w.at - body), 4);
    *type = kind == TVERSION ? 0 : (uint16_t)FUZZ_OF(3, 3, 3, 3, 3, 3, 0, 2);
    return (uint32_t)(w.at - body);
}

uint32_t fuzz_question(uint8_t *body, uint16_t *type, bool ninep)
{
    fuzz_asked++;

    uint32_t length = ninep ? fuzz_ask_server(body, type) : fuzz_ask_home(body, type);

    return fuzz_change(body, length, 8000);
}
