/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 9P2000 client (Plan 9 manual, section 5): files of another node, or of any 9P server that a stream leads to. A session has one tree, whose root is fid
 * 0; what it asks goes out at once, up to NINEP_TAGS questions at a time over messages, one over a stream. Servers are not trusted: a reply
 * that is none ends the session, and so does a carrier that fails.
 */
#ifndef NINEP_H
#define NINEP_H

#include "messenger.h"

#define NINEP_TAGS 16u
#define NINEP_FIDS 128u
#define NINEP_MSIZE MESSAGE_MAX         /* what is asked for; servers may give less, but not less than NINEP_MSIZE_LEAST */
#define NINEP_MSIZE_LEAST 256u

/* Why a future fails. */
enum {
    NINEP_LOST = 1,             /* the server does not answer, or the carrier has ended */
    NINEP_OVER,                 /* the session has ended before, or the server has forgotten it: begin another */
    NINEP_REFUSED,              /* by the server, whose words are in `why` */
    NINEP_ABSENT,               /* a walk that did not get to its end */
    NINEP_NONSENSE,             /* the reply is none; the session is over */
    NINEP_NO_MEMORY,
    NINEP_TOO_LONG,             /* a name or path, or too many names in it */
};

/* A question: the caller's, all zero, untouched until `done` is decided. */
struct ninep_call {
    struct future done;         /* fulfilled with the call */
    uint32_t count;             /* of a read or write: bytes, at most those asked for */
    uint32_t most;              /* open, create: bytes that one read or write may have */
    uint32_t mode;              /* stat: NINEP_DIRECTORY and permissions */
    uint64_t length;            /* stat */
    char why[64];               /* NINEP_REFUSED: the beginning of it */
    /* the client's */
    struct ninep *session;
    struct ninep_call *next;
    uint8_t *frame;
    uint32_t size;
    uint16_t tag;
    uint16_t names;             /* of a walk */
    uint8_t *to;
    uint32_t asked;
    struct message_call message;
    struct future_wait wait;
};

#define NINEP_DIRECTORY 0x80000000u

struct ninep_carrier;

/* A session: the caller's, all zero when it begins. */
struct ninep {
    uint32_t msize;             /* agreed on */
    uint32_t ended;             /* 0: not yet; else why */
    /* the client's */
    const struct ninep_carrier *by;
    uint16_t node;              /* by messages */
    uint16_t life;
    void *stream;               /* by a stream */
    bool up;
    struct spinlock lock;
    struct ninep_call *under_way[NINEP_TAGS];
    struct ninep_call *waiting, **last;
    uint64_t fids[NINEP_FIDS / 64];
    struct ninep_call call;
    struct future_wait wait;
    struct future *begun;
};

/*
 * To the server of a node (the Ebb NODE_EBB_NINEP there), or, hosted, of a stream: descriptors to read from and to write to, which no other
 * may use meanwhile; such a session is the calling vCPU's alone.
 */
void ninep_begin(struct ninep *session, uint16_t node, struct future *begun);
void ninep_begin_stream(struct ninep *session, int from, int to, struct future *begun);

/* No questions of it are under way any more, or ever will be. */
bool ninep_is_quiet(struct ninep *session);

/* A fid that is not in use; 0: there is none. After a walk that failed, a clunk or a remove it is given back. */
uint32_t ninep_fid(struct ninep *session);
void ninep_fid_free(struct ninep *session, uint32_t fid);

/* `path`: names with / between them, none for `from` itself. */
void ninep_walk(struct ninep *session, struct ninep_call *call, uint32_t from, uint32_t to, const char *path);
/* `mode`: 0 to read, 1 to write, 2 both; 0x10: emptied first. */
void ninep_open(struct ninep *session, struct ninep_call *call, uint32_t fid, uint8_t mode);
void ninep_create(struct ninep *session, struct ninep_call *call, uint32_t fid, const char *name, uint32_t permissions, uint8_t mode);
/* Of more than one reply's or question's bytes, the first. `to` and `from` are the caller's until then. */
void ninep_read(struct ninep *session, struct ninep_call *call, uint32_t fid, uint64_t offset, void *to, uint32_t count);
void ninep_write(struct ninep *session, struct ninep_call *call, uint32_t fid, uint64_t offset, const void *from, uint32_t count);
void ninep_stat(struct ninep *session, struct ninep_call *call, uint32_t fid);
void ninep_clunk(struct ninep *session, struct ninep_call *call, uint32_t fid);
void ninep_remove(struct ninep *session, struct ninep_call *call, uint32_t fid);

/* Hosted alone: other nodes get the files below ninep_root=DIRECTORY, by messages. 0, or one of shared.h's errors. Once, after messenger_start. */
int ninep_serve(void);

const char *ninep_error(int error);     /* in words */

#endif
