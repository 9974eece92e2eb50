/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 9P's questions, as frames: size[4] type[1] tag[2] and what the manual's section 5 says. */
#include "ninep_parts.h"

static const char version[] = "9P2000";

/* A frame of `size` bytes at most, its header written but for size and tag. */
static bool ninep_frame_begin(struct ninep_call *call, struct ninep_writer *w, uint8_t type, uint32_t size)
{
    call->frame = mem_alloc(size);
    if (call->frame == NULL)
        return false;
    *w = (struct ninep_writer){ call->frame, call->frame, call->frame + size, false };
    ninep_put(w, 0, 4);
    ninep_put(w, type, 1);
    ninep_put(w, NINEP_NO_TAG, 2);
    return true;
}

static void ninep_frame_end(struct ninep_call *call, struct ninep_writer *w)
{
    if (w->full)
        panic("ninep: a frame of type %u is longer than was counted", call->frame[4]);
    call->size = (uint32_t)(w->at - w->start);
    ninep_set(w->start, call->size, 4);
}

bool ninep_put_version(struct ninep_call *call)
{
    struct ninep_writer w;

    if (!ninep_frame_begin(call, &w, TVERSION, 64))
        return false;
    ninep_put(&w, NINEP_MSIZE, 4);
    ninep_put_string(&w, version, sizeof(version) - 1);
    ninep_frame_end(call, &w);
    return true;
}

bool ninep_put_attach(struct ninep_call *call)
{
    struct ninep_writer w;

    if (!ninep_frame_begin(call, &w, TATTACH, 64))
        return false;
    ninep_put(&w, 0, 4);
    ninep_put(&w, NINEP_NO_FID, 4);
    ninep_put_string(&w, "libos", 5);
    ninep_put_string(&w, "", 0);
    ninep_frame_end(call, &w);
    return true;
}

static void ninep_call_too_long(struct ninep_call *call)
{
    future_fail(&call->done, NINEP_TOO_LONG);
}

void ninep_walk(struct ninep *session, struct ninep_call *call, uint32_t from, uint32_t to, const char *path)
{
    size_t length = strlen(path);
    struct ninep_writer w;

    if (length > 2 * NINEP_NAME_MOST) {
        ninep_call_too_long(call);
        return;
    }
    if (ninep_frame_begin(call, &w, TWALK, NINEP_HEADER + 10 + 2 * NINEP_WALK_MOST + (uint32_t)length)) {
        ninep_put(&w, from, 4);
        ninep_put(&w, to, 4);

        uint8_t *count = ninep_room(&w, 2);

        while (*path && call->names < NINEP_WALK_MOST) {
            uint32_t name = 0;

            while (path[name] && path[name] != '/')
                name++;
            if (name) {
                ninep_put_string(&w, path, name);
                call->names++;
            }
            path += name + (path[name] == '/');
        }
        if (*path) {
            mem_free(call->frame);
            ninep_call_too_long(call);
            return;
        }
        ninep_set(count, call->names, 2);
        ninep_frame_end(call, &w);
    }
    ninep_ask(session, call);
}

void ninep_open(struct ninep *session, struct ninep_call *call, uint32_t fid, uint8_t mode)
{
    struct ninep_writer w;

    if (ninep_frame_begin(call, &w, TOPEN, NINEP_HEADER + 5)) {
        ninep_put(&w, fid, 4);
        ninep_put(&w, mode, 1);
        ninep_frame_end(call, &w);
    }
    ninep_ask(session, call);
}

void ninep_create(struct ninep *session, struct ninep_call *call, uint32_t fid, const char *name, uint32_t permissions, uint8_t mode)
{
    size_t length = strlen(name);
    struct ninep_writer w;

    if (length > NINEP_NAME_MOST) {
        ninep_call_too_long(call);
        return;
    }
    if (ninep_frame_begin(call, &w, TCREATE, NINEP_HEADER + 4 + 2 + (uint32_t)length + 5)) {
        ninep_put(&w, fid, 4);
        ninep_put_string(&w, name, (uint32_t)length);
        ninep_put(&w, permissions, 4);
        ninep_put(&w, mode, 1);
        ninep_frame_end(call, &w);
    }
    ninep_ask(session, call);
}

static uint32_t ninep_call_fits(const struct ninep *session, uint32_t count)
{
    return count < session->msize - NINEP_IO_HEADER ? count : session->msize - NINEP_IO_HEADER;
}

void ninep_read(struct ninep *session, struct ninep_call *call, uint32_t fid, uint64_t offset, void *to, uint32_t count)
{
    struct ninep_writer w;

    call->to = to;
    call->asked = ninep_call_fits(session, count);
    if (ninep_frame_begin(call, &w, TREAD, NINEP_HEADER + 16)) {
        ninep_put(&w, fid, 4);
        ninep_put(&w, offset, 8);
        ninep_put(&w, call->asked, 4);
        ninep_frame_end(call, &w);
    }
    ninep_ask(session, call);
}

void ninep_write(struct ninep *session, struct ninep_call *call, uint32_t fid, uint64_t offset, const void *from, uint32_t count)
{
    struct ninep_writer w;

    call->asked = ninep_call_fits(session, count);
    if (ninep_frame_begin(call, &w, TWRITE, NINEP_HEADER + 16 + call->asked)) {
        ninep_put(&w, fid, 4);
        ninep_put(&w, offset, 8);
        ninep_put(&w, call->asked, 4);
        memcpy(ninep_room(&w, call->asked), from, call->asked);
        ninep_frame_end(call, &w);
    }
    ninep_ask(session, call);
}

static void ninep_call_of_fid(struct ninep *session, struct ninep_call *call, uint8_t type, uint32_t fid)
{
    struct ninep_writer w;

    if (ninep_frame_begin(call, &w, type, NINEP_HEADER + 4)) {
        ninep_put(&w, fid, 4);
        ninep_frame_end(call, &w);
    }
    ninep_ask(session, call);
}

void ninep_stat(struct ninep *session, struct ninep_call *call, uint32_t fid)
{
    ninep_call_of_fid(session, call, TSTAT, fid);
}

void ninep_clunk(struct ninep *session, struct ninep_call *call, uint32_t fid)
{
    ninep_call_of_fid(session, call, TCLUNK, fid);
}

void ninep_remove(struct ninep *session, struct ninep_call *call, uint32_t fid)
{
    ninep_call_of_fid(session, call, TREMOVE, fid);
}
