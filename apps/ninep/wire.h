/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 9P2000 on the wire (Plan 9 manual, section 5): little-endian integers, strings with their length in front, in a frame
 * size[4] type[1] tag[2] ... Readers and writers stop at the end of what they have, and say so once, at the end.
 */
#ifndef NINEP_WIRE_H
#define NINEP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ninep_type {
    TVERSION = 100, RVERSION, TAUTH, RAUTH, TATTACH, RATTACH, RERROR = 107, TFLUSH, RFLUSH, TWALK, RWALK, TOPEN, ROPEN, TCREATE, RCREATE,
    TREAD, RREAD, TWRITE, RWRITE, TCLUNK, RCLUNK, TREMOVE, RREMOVE, TSTAT, RSTAT, TWSTAT, RWSTAT,
};

enum {
    NINEP_NO_TAG = 0xFFFF,
    NINEP_HEADER = 7,           /* size, type, tag */
    NINEP_IO_HEADER = 24,       /* most that a read or write needs besides its data */
    NINEP_QID = 13,
    NINEP_WALK_MOST = 16,       /* names in one walk */
    NINEP_NAME_MOST = 255,

    QID_DIRECTORY = 0x80,
    OPEN_READ = 0, OPEN_WRITE = 1, OPEN_BOTH = 2, OPEN_EXECUTE = 3, OPEN_TRUNCATE = 0x10, OPEN_REMOVE = 0x40,
};

#define NINEP_NO_FID 0xFFFFFFFFu
#define DIRECTORY_MODE 0x80000000u

struct ninep_qid {
    uint64_t path;
    uint32_t version;
    uint8_t type;
};

struct ninep_string {
    const char *text;           /* not terminated */
    uint32_t length;
};

struct ninep_reader {
    const uint8_t *at, *end;
    bool bad;                   /* something was asked for that is not there */
};

struct ninep_writer {
    uint8_t *start, *at, *end;
    bool full;
};

static inline const uint8_t *ninep_take(struct ninep_reader *r, uint32_t bytes)
{
    if (r->bad || (size_t)(r->end - r->at) < bytes) {
        r->bad = true;
        return NULL;
    }
    r->at += bytes;
    return r->at - bytes;
}

static inline uint64_t ninep_get(struct ninep_reader *r, uint32_t bytes)
{
    const uint8_t *from = ninep_take(r, bytes);
    uint64_t value = 0;
    for (uint32_t i = 0; from != NULL && i < bytes; i++)
        value |= (uint64_t)from[i] << 8 * i;
    return value;
}

static inline struct ninep_string ninep_get_string(struct ninep_reader *r)
{
    uint32_t length = (uint32_t)ninep_get(r, 2);
    const uint8_t *text = ninep_take(r, length);
    return (struct ninep_string){(const char *)text, text != NULL ? length : 0};
}

static inline uint8_t *ninep_room(struct ninep_writer *w, uint32_t bytes)
{
    if (w->full || (size_t)(w->end - w->at) < bytes) {
        w->full = true;
        return NULL;
    }
    w->at += bytes;
    return w->at - bytes;
}

static inline void ninep_set(uint8_t *to, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static inline void ninep_put(struct ninep_writer *w, uint64_t value, uint32_t bytes)
{
    uint8_t *to = ninep_room(w, bytes);
    if (to != NULL)
        ninep_set(to, value, bytes);
}

static inline void ninep_put_bytes(struct ninep_writer *w, const void *bytes, uint32_t size)
{
    uint8_t *to = ninep_room(w, size);
    for (uint32_t i = 0; to != NULL && i < size; i++)
        to[i] = ((const uint8_t *)bytes)[i];
}

static inline void ninep_put_string(struct ninep_writer *w, const char *text, uint32_t length)
{
    ninep_put(w, length, 2);
    ninep_put_bytes(w, text, length);
}

static inline void ninep_put_qid(struct ninep_writer *w, const struct ninep_qid *qid)
{
    ninep_put(w, qid->type, 1);
    ninep_put(w, qid->version, 4);
    ninep_put(w, qid->path, 8);
}

#endif
