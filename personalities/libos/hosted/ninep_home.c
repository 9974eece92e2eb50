/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 9P server of a hosted node (apps/ninep) over messages: a session for each client node, and the files below ninep_root=DIRECTORY. One request at a time,
 * whichever vCPU it comes to: the server's files have one buffer for paths, and a request is atomic for all others.
 */
#include "ninep.h"
#include "runtime.h"
#include "server.h"
#include "shared_parts.h"

#define EXISTS (-17)

static struct server *servers[MESSENGER_NODES];
static uint8_t reply[SERVER_FRAME_MOST];
static struct spinlock ninep_lock;

/* What this life has made: files of earlier lives are removed. */
static struct made {
    struct made *next;
    char name[SHARED_NAME_MOST + 1];
} *made;

static struct server *server_of(uint16_t node)
{
    if (servers[node] == NULL) {
        servers[node] = mem_zalloc(sizeof(struct server));
        if (servers[node])
            server_init(servers[node], SERVER_FRAME_MOST);
    }
    return servers[node];
}

/* Frames of sessions with an earlier life, and what is no frame at all, are answered by nothing. */
static void ninep_question(void *ctx, const struct message *question)
{
    uint16_t life = (uint16_t)messenger_session();
    bool first = question->type == 0 && question->length > 4 && question->body[4] == TVERSION;
    uint32_t size = 0;

    (void)ctx;
    if (question->call == 0)
        return;
    spin_lock(&ninep_lock);

    struct server *server = server_of(question->from);

    if (server && (first || question->type == life) && question->length <= server->msize)
        size = server_answer(server, question->body, question->length, reply);
    message_answer(question, life, reply, size);
    spin_unlock(&ninep_lock);
}

int ninep_serve(void)
{
    const char *root = cmdline_get("ninep_root", NULL);
    struct files_entry entry;

    if (root == NULL)
        return SHARED_REFUSED;
    files_root(root);
    if (files_stat("", &entry) < 0 || entry.qid.type != QID_DIRECTORY)
        return SHARED_REFUSED;
    return messenger_target(NODE_EBB_NINEP, ninep_question, NULL) ? 0 : SHARED_NO_MEMORY;
}

static bool made_before(const char *name)
{
    const struct made *one = made;

    while (one && strcmp(one->name, name) != 0)
        one = one->next;
    return one != NULL;
}

/* Zeros are written, not only a length: not every system lets a file grow by ftruncate. */
static long file_fill(int fd, uint64_t size)
{
    static const uint8_t zeros[SHARED_BLOCK];
    long put = 0;

    for (uint64_t at = 0; at < size && put >= 0; at += (uint64_t)put) {
        put = files_write(fd, at, zeros, size - at < sizeof(zeros) ? (uint32_t)(size - at) : sizeof(zeros));
        if (put == 0)
            return -1;
    }
    return put;
}

/* A new file of that size; a negative number of Linux's. */
static long file_make(const char *name, uint64_t size)
{
    long fd = files_create(name, 0600, OPEN_BOTH), result;

    if (fd == EXISTS && (fd = files_remove(name)) >= 0)
        fd = files_create(name, 0600, OPEN_BOTH);
    if (fd < 0)
        return fd;
    result = file_fill((int)fd, size);
    files_close((int)fd);
    return result;
}

int shared_ninep_host(const char *name, uint64_t size)
{
    struct made *one = mem_zalloc(sizeof(*one));
    int error = one ? 0 : SHARED_NO_MEMORY;

    spin_lock(&ninep_lock);
    if (error == 0 && (made_before(name) || file_make(name, size) < 0))
        error = SHARED_REFUSED;
    if (error == 0) {
        memcpy(one->name, name, strlen(name));
        one->next = made;
        made = one;
    }
    spin_unlock(&ninep_lock);
    if (error)
        mem_free(one);
    return error;
}
