/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files are another node's: a call on one becomes questions of the 9P client to the general-purpose node (gpos=, with ninep_root=), and its thread waits.
 * The node's joining, by which console lines reach gpos's log and the program is listed there as a process, is here, too.
 */
#include "compat.h"
#include "node.h"
#include "ninep.h"

#define LINUX_O_ACCMODE 3u
#define LINUX_O_CREAT 0100u
#define LINUX_O_TRUNC 01000u
#define NINEP_TRUNCATE 0x10u
#define NEW_FILE 0644u
#define PATH_MOST 256u

/* One call on its way. */
struct remote {
    struct ninep_call call;
    struct future_wait wait;
    struct thread *thread;
    void (*next)(struct remote *remote);
    struct file *file;              /* of an open one */
    struct linux_stat *stat;
    uint32_t fid;
    uint32_t flags;
    char path[PATH_MOST];
};

static struct ninep remote_session;
static struct future remote_joined, remote_begun;
static struct future_wait remote_joined_wait;
static bool remote_there;

static void remote_join(void *arg)
{
    (void)arg;
    if (remote_joined.state == FUTURE_FULFILLED)
        ninep_begin(&remote_session, NODE_GPOS, &remote_begun);
    else
        future_fail(&remote_begun, NINEP_LOST);
}

void remote_start(const char *name)
{
    remote_there = node_start(name, &remote_joined);
    if (remote_there)
        future_then(&remote_joined, &remote_joined_wait, remote_join, NULL);
}

bool remote_is_there(void)
{
    return remote_there;
}

static int64_t remote_error(int error)
{
    if (error != NINEP_ABSENT && error != NINEP_REFUSED)
        linux_say_once(11, "linux: files: %s\n", (uint64_t)ninep_error(error));
    return error == NINEP_ABSENT ? -LINUX_ENOENT : error == NINEP_REFUSED ? -LINUX_EACCES : -LINUX_EIO;
}

static void remote_event(void *arg)
{
    struct remote *remote = arg;

    remote->next(remote);
}

static void remote_after(struct remote *remote, struct future *future, void (*next)(struct remote *))
{
    remote->next = next;
    future_then(future, &remote->wait, remote_event, remote);
}

static struct ninep_call *remote_ask(struct remote *remote)
{
    memset(&remote->call, 0, sizeof(remote->call));
    return &remote->call;
}

static void remote_return(struct remote *remote, int64_t result)
{
    struct thread *thread = remote->thread;

    mem_free(remote);
    thread_go_on(thread, result);
}

static bool remote_failed(struct remote *remote)
{
    return remote->call.done.state == FUTURE_FAILED;
}

/* A walk's first name that is not there is refused, in the server's words: Linux's, or Plan 9's. */
static int remote_why(const struct remote *remote)
{
    static const char linux_words[] = "No such file", plan9_words[] = "file does not exist";
    const char *why = remote->call.why;
    bool absent = strncmp(why, linux_words, sizeof(linux_words) - 1) == 0 || strncmp(why, plan9_words, sizeof(plan9_words) - 1) == 0;

    return remote->call.done.error == NINEP_REFUSED && absent ? NINEP_ABSENT : remote->call.done.error;
}

static void remote_fail(struct remote *remote)
{
    remote_return(remote, remote_error(remote_why(remote)));
}

/* ---- open ---- */

static void remote_opened(struct remote *remote)
{
    if (remote_failed(remote)) {
        ninep_fid_free(&remote_session, remote->fid);
        remote_fail(remote);
        return;
    }

    int64_t fd = file_new(FILE_REMOTE, NULL, remote->flags & LINUX_O_NONBLOCK);

    if (fd >= 0) {
        file_get((uint64_t)fd)->fid = remote->fid;
        file_get((uint64_t)fd)->offset = 0;
    }
    remote_return(remote, fd);
}

static uint8_t remote_mode(const struct remote *remote)
{
    return (uint8_t)((remote->flags & LINUX_O_ACCMODE) | (remote->flags & LINUX_O_TRUNC ? NINEP_TRUNCATE : 0));
}

static char *remote_name(char *path)
{
    char *name = path;

    for (char *at = path; *at; at++)
        if (*at == '/')
            name = at + 1;
    return name;
}

static void remote_at_folder(struct remote *remote)
{
    if (remote_failed(remote)) {
        remote_fail(remote);
        return;
    }
    ninep_create(&remote_session, remote_ask(remote), remote->fid, remote_name(remote->path), NEW_FILE, remote_mode(remote));
    remote_after(remote, &remote->call.done, remote_opened);
}

static void remote_walked(struct remote *remote)
{
    if (!remote_failed(remote)) {
        ninep_open(&remote_session, remote_ask(remote), remote->fid, remote_mode(remote));
        remote_after(remote, &remote->call.done, remote_opened);
    } else if (remote_why(remote) == NINEP_ABSENT && remote->flags & LINUX_O_CREAT) {
        char folder[PATH_MOST];
        size_t length = (size_t)(remote_name(remote->path) - remote->path);

        memcpy(folder, remote->path, length);
        folder[length ? length - 1 : 0] = '\0';
        remote->fid = ninep_fid(&remote_session);
        ninep_walk(&remote_session, remote_ask(remote), 0, remote->fid, folder);
        remote_after(remote, &remote->call.done, remote_at_folder);
    } else {
        remote_fail(remote);
    }
}

static void remote_clunked(struct remote *remote)
{
    remote_return(remote, remote->flags ? -(int64_t)remote->flags : 0);
}

/* The file's own answer is in; its fid is given back, if it was for this alone. */
static void remote_known(struct remote *remote)
{
    bool failed = remote_failed(remote);

    if (!failed)
        file_stat(remote->stat, remote->call.mode & NINEP_DIRECTORY, remote->call.mode, remote->call.length);
    if (remote->file) {
        if (failed)
            remote_fail(remote);
        else
            remote_return(remote, 0);
        return;
    }
    remote->flags = failed ? LINUX_EIO : 0;
    ninep_clunk(&remote_session, remote_ask(remote), remote->fid);
    remote_after(remote, &remote->call.done, remote_clunked);
}

static void remote_found(struct remote *remote)
{
    if (remote_failed(remote)) {
        remote_fail(remote);
        return;
    }
    ninep_stat(&remote_session, remote_ask(remote), remote->fid);
    remote_after(remote, &remote->call.done, remote_known);
}

/* Joined, and the session has begun, or not. */
static void remote_ready(struct remote *remote)
{
    if (remote_begun.state == FUTURE_FAILED) {
        remote_return(remote, remote_error(remote_begun.error));
        return;
    }
    remote->fid = ninep_fid(&remote_session);
    if (remote->fid == 0) {
        remote_return(remote, -LINUX_EMFILE);
        return;
    }
    ninep_walk(&remote_session, remote_ask(remote), 0, remote->fid, remote->path);
    remote_after(remote, &remote->call.done, remote->stat ? remote_found : remote_walked);
}

static struct remote *remote_new(struct file *file)
{
    struct remote *remote = mem_zalloc(sizeof(*remote));

    if (remote) {
        remote->thread = thread_current();
        remote->file = file;
    }
    return remote;
}

/* The path from the root, without "." and slashes that say nothing. False: too long, or one with "..", which is not resolved. */
static bool remote_path(char *to, const char *path)
{
    size_t length = 0;

    while (*path) {
        size_t name = 0;

        while (*path == '/')
            path++;
        while (path[name] && path[name] != '/')
            name++;
        if (name == 2 && path[0] == '.' && path[1] == '.')
            return false;
        if (name && !(name == 1 && path[0] == '.')) {
            if (length + name + 2 > PATH_MOST)
                return false;
            if (length)
                to[length++] = '/';
            memcpy(to + length, path, name);
            length += name;
        }
        path += name;
    }
    to[length] = '\0';
    return true;
}

int64_t remote_open(const char *path, uint32_t flags, struct linux_stat *stat)
{
    struct remote *remote = remote_new(NULL);

    if (remote == NULL)
        return -LINUX_ENOMEM;
    if (!remote_path(remote->path, path)) {
        mem_free(remote);
        return -LINUX_ENOENT;
    }
    remote->flags = flags;
    remote->stat = stat;
    remote_after(remote, &remote_begun, remote_ready);
    return thread_wait_for_event(remote->thread);
}

/* ---- on an open file ---- */

static void remote_moved(struct remote *remote)
{
    if (remote_failed(remote)) {
        remote_fail(remote);
        return;
    }
    remote->file->offset += remote->call.count;
    remote_return(remote, remote->call.count);
}

int64_t remote_read(struct file *file, void *into, uint64_t bytes)
{
    struct remote *remote = remote_new(file);

    if (remote == NULL)
        return -LINUX_ENOMEM;
    ninep_read(&remote_session, &remote->call, file->fid, file->offset, into, bytes < MESSAGE_MAX ? (uint32_t)bytes : MESSAGE_MAX);
    remote_after(remote, &remote->call.done, remote_moved);
    return thread_wait_for_event(remote->thread);
}

int64_t remote_write(struct file *file, const void *from, uint64_t bytes)
{
    struct remote *remote = remote_new(file);

    if (remote == NULL)
        return -LINUX_ENOMEM;
    ninep_write(&remote_session, &remote->call, file->fid, file->offset, from, bytes < MESSAGE_MAX ? (uint32_t)bytes : MESSAGE_MAX);
    remote_after(remote, &remote->call.done, remote_moved);
    return thread_wait_for_event(remote->thread);
}

int64_t remote_stat(struct file *file, struct linux_stat *stat)
{
    struct remote *remote = remote_new(file);

    if (remote == NULL)
        return -LINUX_ENOMEM;
    remote->stat = stat;
    ninep_stat(&remote_session, &remote->call, file->fid);
    remote_after(remote, &remote->call.done, remote_known);
    return thread_wait_for_event(remote->thread);
}

int64_t remote_close(uint32_t fid)
{
    struct remote *remote = remote_new(NULL);

    if (remote == NULL)
        return -LINUX_ENOMEM;
    ninep_clunk(&remote_session, &remote->call, fid);
    remote_after(remote, &remote->call.done, remote_clunked);
    return thread_wait_for_event(remote->thread);
}
