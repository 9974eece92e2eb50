/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 9P2000 server's requests (Plan 9 manual, section 5). No authentication: the client sees what the process sees below the root. Everything in a
 * frame is looked at before it is used.
 */
#include "server.h"

#define EPERM 1
#define ENOENT 2
#define EEXIST 17
#define ENOTDIR 20
#define EISDIR 21

struct request {
    struct server *server;
    struct ninep_reader in;
    struct ninep_writer out;
    const char *error;
};

static const char version[] = "9P2000", owner[] = "cyclescope";

/* ---- small things ---- */

static uint32_t text_length(const char *text)
{
    uint32_t length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

static void *fail(struct request *q, const char *why)
{
    if (q->error == NULL)
        q->error = why;
    return NULL;
}

static bool failed(struct request *q, long result)
{
    if (result < 0)
        fail(q, files_error(result));
    return result < 0;
}

static struct server_fid *find(struct server *server, uint32_t fid)
{
    for (uint32_t i = 0; i < SERVER_FIDS; i++) {
        if (server->fids[i].used && server->fids[i].fid == fid)
            return &server->fids[i];
    }
    return NULL;
}

/* The fid that the request names next. */
static struct server_fid *named(struct request *q)
{
    struct server_fid *file = find(q->server, (uint32_t)ninep_get(&q->in, 4));
    return file != NULL ? file : fail(q, "unknown fid");
}

static struct server_fid *new_fid(struct request *q, uint32_t fid)
{
    if (fid == NINEP_NO_FID || find(q->server, fid) != NULL)
        return fail(q, "fid already in use");
    for (uint32_t i = 0; i < SERVER_FIDS; i++) {
        struct server_fid *file = &q->server->fids[i];
        if (!file->used) {
            *file = (struct server_fid){.fid = fid, .used = true, .fd = -1};
            return file;
        }
    }
    return fail(q, "too many fids");
}

static void close_fid(struct server_fid *file)
{
    if (file->fd >= 0)
        files_close(file->fd);
    file->used = false;
}

/* path + "/" + name, or its parent for "..". False: too long, or no name of a file. */
static bool step(char *path, struct ninep_string name)
{
    uint32_t length = text_length(path);
    if (name.length == 2 && name.text[0] == '.' && name.text[1] == '.') {
        while (length > 0 && path[--length] != '/')
            ;
        path[length] = '\0';
        return true;
    }
    if (name.length == 0 || name.length > NINEP_NAME_MOST || (name.length == 1 && name.text[0] == '.') || length + name.length + 2 > FILES_PATH_MOST)
        return false;
    for (uint32_t i = 0; i < name.length; i++) {
        if (name.text[i] == '/' || name.text[i] == '\0')
            return false;
    }
    if (length > 0)
        path[length++] = '/';
    for (uint32_t i = 0; i < name.length; i++)
        path[length++] = name.text[i];
    path[length] = '\0';
    return true;
}

static void copy_path(char *to, const char *from)
{
    for (uint32_t i = 0; i < FILES_PATH_MOST; i++)
        to[i] = from[i];
}

static bool same_string(struct ninep_string a, struct ninep_string b)
{
    uint32_t i = 0;
    while (i < a.length && i < b.length && a.text[i] == b.text[i])
        i++;
    return i == a.length && i == b.length;
}

/* What lies at or below `from` lies at or below `to`; a path that would get too long stays, and is of nothing any more. */
static void move_path(char *path, const char *from, const char *to)
{
    uint32_t length = text_length(from), more = text_length(to);
    char moved[FILES_PATH_MOST];
    for (uint32_t i = 0; i < length; i++) {
        if (path[i] != from[i])
            return;
    }
    uint32_t rest = text_length(path + length);
    if ((rest > 0 && path[length] != '/') || more + rest + 1 > FILES_PATH_MOST)
        return;
    for (uint32_t i = 0; i < more; i++)
        moved[i] = to[i];
    for (uint32_t i = 0; i <= rest; i++)
        moved[more + i] = path[length + i];
    for (uint32_t i = 0; i <= more + rest; i++)
        path[i] = moved[i];
}

static void put_stat(struct ninep_writer *w, const char *name, uint32_t length, const struct files_entry *entry)
{
    uint32_t own = sizeof owner - 1;
    ninep_put(w, 2 + 4 + NINEP_QID + 4 + 4 + 4 + 8 + 2 + length + 3 * (2 + own), 2);
    ninep_put(w, 0, 2);                 /* type and dev are the kernel's */
    ninep_put(w, 0, 4);
    ninep_put_qid(w, &entry->qid);
    ninep_put(w, entry->mode, 4);
    ninep_put(w, entry->accessed, 4);
    ninep_put(w, entry->modified, 4);
    ninep_put(w, entry->length, 8);
    ninep_put_string(w, name, length);
    for (int i = 0; i < 3; i++)
        ninep_put_string(w, owner, own);
}

/* ---- requests ---- */

static void do_version(struct request *q)
{
    uint32_t msize = (uint32_t)ninep_get(&q->in, 4);
    struct ninep_string theirs = ninep_get_string(&q->in);
    bool known = theirs.length >= sizeof version - 1;
    for (uint32_t i = 0; known && i < sizeof version - 1; i++)
        known = theirs.text[i] == version[i];
    known = known && (theirs.length == sizeof version - 1 || theirs.text[sizeof version - 1] == '.');
    if (msize < SERVER_FRAME_LEAST) {
        fail(q, "msize too small");
        return;
    }
    if (q->in.bad)
        return;
    server_end(q->server);              /* a new session */
    q->server->msize = msize < q->server->most ? msize : q->server->most;
    q->server->agreed = known;
    ninep_put(&q->out, q->server->msize, 4);
    ninep_put_string(&q->out, known ? version : "unknown", known ? sizeof version - 1 : 7);
}

static void do_attach(struct request *q)
{
    uint32_t fid = (uint32_t)ninep_get(&q->in, 4), afid = (uint32_t)ninep_get(&q->in, 4);
    ninep_get_string(&q->in);
    struct ninep_string tree = ninep_get_string(&q->in);
    if (q->in.bad)
        return;
    if (afid != NINEP_NO_FID || (tree.length > 0 && !(tree.length == 1 && tree.text[0] == '/'))) {
        fail(q, afid != NINEP_NO_FID ? "no authentication here" : "there is one tree, with no name");
        return;
    }
    struct server_fid *file = new_fid(q, fid);
    if (file == NULL)
        return;
    if (failed(q, files_stat("", &file->entry)))
        close_fid(file);
    else
        ninep_put_qid(&q->out, &file->entry.qid);
}

/* The names as far as there are such; all of them, or the new fid is not made. */
static void do_walk(struct request *q)
{
    struct server_fid *from = named(q), place;
    uint32_t fid = (uint32_t)ninep_get(&q->in, 4), names = (uint32_t)ninep_get(&q->in, 2), walked = 0;
    if (from == NULL || q->in.bad)
        return;
    if (names > NINEP_WALK_MOST || from->fd >= 0) {
        fail(q, names > NINEP_WALK_MOST ? "too many names" : "fid is open");
        return;
    }
    place = *from;
    uint8_t *count = ninep_room(&q->out, 2);
    for (; walked < names; walked++) {
        struct ninep_string name = ninep_get_string(&q->in);
        bool named_well = !q->in.bad && step(place.path, name);
        long result = !named_well ? -ENOENT : place.entry.qid.type != QID_DIRECTORY ? -ENOTDIR : files_stat(place.path, &place.entry);
        if (result < 0) {
            if (walked == 0)
                failed(q, result);
            break;
        }
        ninep_put_qid(&q->out, &place.entry.qid);
    }
    if (q->in.bad || q->error != NULL)
        return;
    ninep_set(count, walked, 2);
    if (walked < names)
        return;
    struct server_fid *to = fid == from->fid ? from : new_fid(q, fid);
    if (to == NULL)
        return;
    place.fid = fid;
    *to = place;
}

static void opened(struct request *q, struct server_fid *file, long fd, uint8_t mode)
{
    if (failed(q, fd))
        return;
    file->fd = (int)fd;
    file->mode = mode;
    file->remove = mode & OPEN_REMOVE;
    if (failed(q, files_stat(file->path, &file->entry)))
        return;
    ninep_put_qid(&q->out, &file->entry.qid);
    ninep_put(&q->out, q->server->msize - NINEP_IO_HEADER, 4);
}

static void do_open(struct request *q)
{
    struct server_fid *file = named(q);
    uint8_t mode = (uint8_t)ninep_get(&q->in, 1);
    if (file == NULL || q->in.bad)
        return;
    if (file->fd >= 0)
        fail(q, "fid is open");
    else if (file->entry.qid.type == QID_DIRECTORY && (mode & ~OPEN_REMOVE) != OPEN_READ)
        failed(q, -EISDIR);
    else
        opened(q, file, files_open(file->path, mode), mode);
}

static void do_create(struct request *q)
{
    struct server_fid *file = named(q);
    struct ninep_string name = ninep_get_string(&q->in);
    uint32_t perm = (uint32_t)ninep_get(&q->in, 4);
    uint8_t mode = (uint8_t)ninep_get(&q->in, 1);
    bool up = name.length == 2 && name.text[0] == '.' && name.text[1] == '.';
    char path[FILES_PATH_MOST];
    if (file == NULL || q->in.bad)
        return;
    copy_path(path, file->path);
    if (file->fd >= 0 || file->entry.qid.type != QID_DIRECTORY) {
        fail(q, file->fd >= 0 ? "fid is open" : files_error(-ENOTDIR));
    } else if (up || !step(path, name)) {
        fail(q, "no name for a file");
    } else {
        long fd = files_create(path, perm, mode);
        if (failed(q, fd))
            return;
        copy_path(file->path, path);
        opened(q, file, fd, mode);
    }
}

/* What a read of a directory gives: whole entries, from where the last read ended. */
struct listing {
    struct request *q;
    struct server_fid *file;
    uint32_t seen;
    bool over;
};

static bool list_one(void *ctx, const char *name, uint32_t length)
{
    struct listing *list = ctx;
    struct server_fid *file = list->file;
    struct files_entry entry;
    char path[FILES_PATH_MOST];
    if (list->seen++ < file->entries)
        return true;
    copy_path(path, file->path);
    if (step(path, (struct ninep_string){name, length}) && files_stat(path, &entry) >= 0) {
        struct ninep_writer before = list->q->out;
        put_stat(&list->q->out, name, length, &entry);
        if (list->q->out.full) {
            list->q->out = before;
            return false;
        }
    }
    file->entries++;                    /* what vanished or has no business here is passed over */
    return true;
}

static void read_directory(struct request *q, struct server_fid *file, uint64_t offset, uint32_t count)
{
    struct listing list = {q, file, 0, false};
    uint8_t *size = ninep_room(&q->out, 4), *end = q->out.end;
    if (offset == 0)
        file->listed = file->entries = 0;
    if (offset != file->listed) {
        fail(q, "a directory is read from its start, or on");
        return;
    }
    if ((size_t)(end - q->out.at) > count)
        q->out.end = q->out.at + count;
    long result = files_list(file->fd, list_one, &list);
    q->out.end = end;
    if (failed(q, result))
        return;
    uint32_t got = (uint32_t)(q->out.at - size) - 4;
    file->listed += got;
    ninep_set(size, got, 4);
}

static void do_read(struct request *q)
{
    struct server_fid *file = named(q);
    uint64_t offset = ninep_get(&q->in, 8);
    uint32_t count = (uint32_t)ninep_get(&q->in, 4), most = q->server->msize - NINEP_IO_HEADER;
    if (file == NULL || q->in.bad)
        return;
    if (count > most)
        count = most;
    if (file->fd < 0 || (file->mode & 3) == OPEN_WRITE) {
        fail(q, "fid is not open for reading");
    } else if (file->entry.qid.type == QID_DIRECTORY) {
        read_directory(q, file, offset, count);
    } else {
        uint8_t *size = ninep_room(&q->out, 4), *data = ninep_room(&q->out, count);
        long got = size != NULL && data != NULL ? files_read(file->fd, offset, data, count) : -EPERM;
        if (failed(q, got))
            return;
        q->out.at = data + got;
        ninep_set(size, (uint32_t)got, 4);
    }
}

static void do_write(struct request *q)
{
    struct server_fid *file = named(q);
    uint64_t offset = ninep_get(&q->in, 8);
    uint32_t count = (uint32_t)ninep_get(&q->in, 4);
    const uint8_t *data = ninep_take(&q->in, count);
    if (file == NULL || data == NULL)
        return;
    if (file->fd < 0 || (file->mode & 3) == OPEN_READ || (file->mode & 3) == OPEN_EXECUTE) {
        fail(q, "fid is not open for writing");
        return;
    }
    long put = files_write(file->fd, offset, data, count);
    if (!failed(q, put))
        ninep_put(&q->out, (uint64_t)put, 4);
}

static void do_clunk(struct request *q, bool remove)
{
    struct server_fid *file = named(q);
    if (file == NULL)
        return;
    remove |= file->remove;
    close_fid(file);                    /* whatever else happens */
    if (remove && file->path[0] == '\0')
        fail(q, "the root stays");
    else if (remove)
        failed(q, files_remove(file->path));
}

static void do_stat(struct request *q)
{
    struct server_fid *file = named(q);
    uint8_t *size = ninep_room(&q->out, 2);
    if (file == NULL || failed(q, files_stat(file->path, &file->entry)))
        return;
    const char *name = file->path;
    for (const char *at = file->path; *at != '\0'; at++) {
        if (*at == '/')
            name = at + 1;
    }
    if (file->path[0] == '\0')
        name = "/";
    put_stat(&q->out, name, text_length(name), &file->entry);
    ninep_set(size, (uint64_t)(q->out.at - size) - 2, 2);
}

/* A new last name. Fids of this session that lie at or below the file go with it. */
static void rename_to(struct request *q, struct server_fid *file, struct ninep_string name)
{
    static const struct ninep_string up = {"..", 2};
    struct files_entry entry;
    char to[FILES_PATH_MOST];
    copy_path(to, file->path);
    if (file->path[0] == '\0') {
        fail(q, "the root stays");
        return;
    }
    if (same_string(name, up) || !step(to, up) || !step(to, name)) {
        fail(q, "no name for a file");
        return;
    }
    long there = files_stat(to, &entry);
    if (there != -ENOENT) {
        failed(q, there < 0 ? there : -EEXIST);
        return;
    }
    char from[FILES_PATH_MOST];
    copy_path(from, file->path);
    if (failed(q, files_rename(from, to)))
        return;
    for (uint32_t i = 0; i < SERVER_FIDS; i++) {
        if (q->server->fids[i].used)
            move_path(q->server->fids[i].path, from, to);
    }
}

/*
 * Permissions, times and length, or a name alone. What was changed before one of them was refused stays changed. A stat of which nothing is to change is a request
 * to write everything to disk.
 */
static void do_wstat(struct request *q)
{
    struct server_fid *file = named(q);
    ninep_get(&q->in, 2 + 2);
    uint64_t type = ninep_get(&q->in, 2), device = ninep_get(&q->in, 4);
    ninep_take(&q->in, NINEP_QID);
    uint32_t mode = (uint32_t)ninep_get(&q->in, 4), accessed = (uint32_t)ninep_get(&q->in, 4), modified = (uint32_t)ninep_get(&q->in, 4);
    uint64_t length = ninep_get(&q->in, 8);
    struct ninep_string name = ninep_get_string(&q->in);
    bool owners = ninep_get_string(&q->in).length > 0;
    owners |= ninep_get_string(&q->in).length > 0;
    ninep_get_string(&q->in);           /* who changed it last: Linux says it, and nobody keeps it */
    if (file == NULL || q->in.bad)
        return;
    bool others = mode != FILES_SAME || accessed != FILES_SAME || modified != FILES_SAME || length != UINT64_MAX;
    if (type != 0xFFFF || device != FILES_SAME || owners || (name.length > 0 && others))
        fail(q, "only a name, or permissions, times and length can be changed");
    else if (name.length > 0)
        rename_to(q, file, name);
    else if (mode == FILES_SAME || !failed(q, files_permit(file->path, mode))) {
        if (length != UINT64_MAX && failed(q, files_truncate(file->path, length)))
            return;
        if (accessed != FILES_SAME || modified != FILES_SAME)
            failed(q, files_date(file->path, accessed, modified));
    }
}

static void dispatch(struct request *q, uint8_t type)
{
    if (type != TVERSION && !q->server->agreed) {
        fail(q, "no version is agreed on");
        return;
    }
    switch (type) {
    case TVERSION: do_version(q); return;
    case TAUTH: fail(q, "no authentication here"); return;
    case TATTACH: do_attach(q); return;
    case TFLUSH: ninep_get(&q->in, 2); return;  /* requests are answered in order: there is nothing to flush */
    case TWALK: do_walk(q); return;
    case TOPEN: do_open(q); return;
    case TCREATE: do_create(q); return;
    case TREAD: do_read(q); return;
    case TWRITE: do_write(q); return;
    case TCLUNK: do_clunk(q, false); return;
    case TREMOVE: do_clunk(q, true); return;
    case TSTAT: do_stat(q); return;
    case TWSTAT: do_wstat(q); return;
    default: fail(q, "unknown request"); return;
    }
}

void server_init(struct server *server, uint32_t most)
{
    server->msize = server->most = most;
}

void server_end(struct server *server)
{
    for (uint32_t i = 0; i < SERVER_FIDS; i++) {
        if (server->fids[i].used)
            close_fid(&server->fids[i]);
    }
}

uint32_t server_answer(struct server *server, const uint8_t *frame, uint32_t size, uint8_t *reply)
{
    struct request q = {.server = server, .in = {frame, frame + size, false}, .out = {reply, reply, reply + server->msize, false}};
    uint32_t said = (uint32_t)ninep_get(&q.in, 4);
    uint8_t type = (uint8_t)ninep_get(&q.in, 1);
    uint16_t tag = (uint16_t)ninep_get(&q.in, 2);
    if (q.in.bad || said != size || size > server->msize)
        return 0;
    ninep_room(&q.out, NINEP_HEADER);
    dispatch(&q, type);
    if (q.in.bad)
        fail(&q, "request too short");
    if (q.out.full)
        fail(&q, "answer too long");
    if (q.error != NULL) {
        q.out = (struct ninep_writer){reply, reply + NINEP_HEADER, reply + server->msize, false};
        ninep_put_string(&q.out, q.error, text_length(q.error));
    }
    ninep_set(reply, (uint64_t)(q.out.at - reply), 4);
    reply[4] = q.error != NULL ? RERROR : (uint8_t)(type + 1);
    ninep_set(reply + 5, tag, 2);
    return (uint32_t)(q.out.at - reply);
}
