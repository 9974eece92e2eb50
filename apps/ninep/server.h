/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 9P2000 server for one client: frames in, frames out; it neither reads nor sends them. */
#ifndef NINEP_SERVER_H
#define NINEP_SERVER_H

#include "files.h"

#define SERVER_FIDS 128u
#define SERVER_FRAME_MOST 65536u        /* the largest msize agreed to */
#define SERVER_FRAME_LEAST 256u

struct server_fid {
    uint32_t fid;
    bool used;
    bool remove;                /* when it is clunked */
    int fd;                     /* -1: not open */
    uint8_t mode;
    uint64_t listed;            /* of a directory: the offset where the next read must begin */
    uint32_t entries;           /* and how many entries lie before it */
    struct files_entry entry;
    char path[FILES_PATH_MOST];
};

struct server {
    uint32_t msize, most;       /* agreed to; and what there is room for */
    bool agreed;                /* on a version */
    struct server_fid fids[SERVER_FIDS];
};

/* `server` is all zero; frames and answers are at most `most` bytes (SERVER_FRAME_LEAST to SERVER_FRAME_MOST). */
void server_init(struct server *server, uint32_t most);

/*
 * The answer to one whole frame, in `reply`, which has room for `most` bytes. Returns its size, or 0 for a frame that cannot be one: the
 * client is mad then and to be left.
 */
uint32_t server_answer(struct server *server, const uint8_t *frame, uint32_t size, uint8_t *reply);

void server_end(struct server *server);         /* closes what is open */

#endif
