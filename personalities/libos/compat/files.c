/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors: the console as 0, 1 and 2, sockets, and files, which are the general-purpose node's; without one there are none. */
#include "compat.h"

#define FILES 256u
#define LINUX_TCGETS 0x5401u
#define LINUX_F_GETFL 3
#define LINUX_F_SETFL 4
#define LINUX_SEEK_CUR 1u
#define LINUX_S_IFREG 0100000u
#define LINUX_S_IFDIR 0040000u
#define LINUX_S_IFCHR 0020000u
#define LINUX_S_IFSOCK 0140000u
#define CONSOLE_PIECE 256u
#define MOST_VECTORS 1024u

struct linux_vector {
    const uint8_t *base;
    uint64_t bytes;
};

static struct file files[FILES] = { { .kind = FILE_CONSOLE }, { .kind = FILE_CONSOLE }, { .kind = FILE_CONSOLE } };
static struct spinlock files_lock;

int64_t linux_read(uint64_t fd, void *into, uint64_t bytes);
int64_t linux_write(uint64_t fd, const uint8_t *bytes, uint64_t count);
int64_t linux_writev(uint64_t fd, const struct linux_vector *vectors, uint64_t count);
int64_t linux_close(uint64_t fd);
int64_t linux_ioctl(uint64_t fd, uint64_t request, uint64_t argument);
int64_t linux_fcntl(uint64_t fd, uint64_t command, uint64_t argument);
int64_t linux_fstat(uint64_t fd, struct linux_stat *stat);
int64_t linux_newfstatat(uint64_t fd, const char *path, struct linux_stat *stat);
int64_t linux_lseek(uint64_t fd, int64_t offset, uint64_t from);
int64_t linux_open(const char *path, uint64_t flags);
int64_t linux_openat(uint64_t folder, const char *path, uint64_t flags);
int64_t linux_stat(const char *path, struct linux_stat *stat);
int64_t linux_sendto(uint64_t fd, const void *bytes, uint64_t count, uint64_t flags, const void *to, uint64_t to_bytes);
int64_t linux_recvfrom(uint64_t fd, void *into, uint64_t room, uint64_t flags, void *from, uint32_t *from_bytes);

_Static_assert(sizeof(struct linux_stat) == 144, "the ABI's");

struct file *file_get(uint64_t fd)
{
    return fd < FILES && files[fd].kind != FILE_FREE ? &files[fd] : NULL;
}

int64_t file_new(int kind, struct socket *socket, uint32_t flags)
{
    int64_t fd = -LINUX_EMFILE;

    spin_lock(&files_lock);
    for (unsigned i = 0; i < FILES && fd < 0; i++)
        if (files[i].kind == FILE_FREE) {
            files[i].flags = flags;
            files[i].socket = socket;
            files[i].kind = kind;
            fd = i;
        }
    spin_unlock(&files_lock);
    return fd;
}

static void file_print(const uint8_t *bytes, uint64_t count)
{
    char piece[CONSOLE_PIECE + 1];

    /* The console takes text. */
    for (uint64_t at = 0; at < count;) {
        uint64_t length = 0;

        while (length < CONSOLE_PIECE && at < count) {
            piece[length++] = bytes[at] ? (char)bytes[at] : '?';
            if (bytes[at++] == '\n')
                break;
        }
        piece[length] = '\0';
        console_printf("%s", piece);
    }
}

int64_t linux_write(uint64_t fd, const uint8_t *bytes, uint64_t count)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -LINUX_EBADF;
    if (file->kind == FILE_SOCKET)
        return linux_sendto(fd, bytes, count, 0, NULL, 0);
    if (file->kind == FILE_REMOTE)
        return remote_write(file, bytes, count);
    file_print(bytes, count);
    return (int64_t)count;
}

int64_t linux_writev(uint64_t fd, const struct linux_vector *vectors, uint64_t count)
{
    int64_t written = 0;

    if (count > MOST_VECTORS)
        return -LINUX_EINVAL;
    /* A call that waits returns once: what a file takes of one vector is all that is written. */
    for (uint64_t i = 0; file_get(fd) && file_get(fd)->kind == FILE_REMOTE && i < count; i++)
        if (vectors[i].bytes)
            return linux_write(fd, vectors[i].base, vectors[i].bytes);
    for (uint64_t i = 0; i < count; i++) {
        int64_t part = vectors[i].bytes ? linux_write(fd, vectors[i].base, vectors[i].bytes) : 0;

        if (part < 0)
            return written ? written : part;
        written += part;
    }
    return written;
}

/* Nobody types at the console. */
int64_t linux_read(uint64_t fd, void *into, uint64_t bytes)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -LINUX_EBADF;
    if (file->kind == FILE_REMOTE)
        return remote_read(file, into, bytes);
    return file->kind == FILE_SOCKET ? linux_recvfrom(fd, into, bytes, 0, NULL, NULL) : 0;
}

int64_t linux_close(uint64_t fd)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -LINUX_EBADF;
    if (file->kind == FILE_SOCKET)
        socket_close(file->socket);

    bool remote = file->kind == FILE_REMOTE;
    uint32_t fid = file->fid;

    file->kind = FILE_FREE;
    return remote ? remote_close(fid) : 0;
}

int64_t linux_ioctl(uint64_t fd, uint64_t request, uint64_t argument)
{
    (void)argument;
    if (file_get(fd) == NULL)
        return -LINUX_EBADF;
    if (request != LINUX_TCGETS)
        linux_say_once(8, "linux: ioctl %lx is not there: ENOTTY\n", request);
    return -LINUX_ENOTTY;
}

int64_t linux_fcntl(uint64_t fd, uint64_t command, uint64_t argument)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -LINUX_EBADF;
    if (command == LINUX_F_SETFL)
        file->flags = (uint32_t)argument & LINUX_O_NONBLOCK;
    else if (command == LINUX_F_GETFL)
        return 2 | file->flags;     /* O_RDWR */
    return 0;
}

void file_stat(struct linux_stat *stat, bool folder, uint32_t rights, uint64_t bytes)
{
    *stat = (struct linux_stat){
        .links = 1, .mode = (rights & 0777) | (folder ? LINUX_S_IFDIR : LINUX_S_IFREG), .bytes = bytes, .block_bytes = PAGE_BYTES, .blocks = (bytes + 511) / 512,
    };
}

int64_t linux_fstat(uint64_t fd, struct linux_stat *stat)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -LINUX_EBADF;
    if (file->kind == FILE_REMOTE)
        return remote_stat(file, stat);
    *stat = (struct linux_stat){ .inode = fd + 1, .links = 1, .mode = 0600 | (file->kind == FILE_SOCKET ? LINUX_S_IFSOCK : LINUX_S_IFCHR) };
    return 0;
}

static int64_t file_absent(const char *path)
{
    linux_say_once(9, "linux: there are no files without a general-purpose node (gpos=); %s was not found, nor will others be\n", (uint64_t)path);
    return -LINUX_ENOENT;
}

int64_t linux_stat(const char *path, struct linux_stat *stat)
{
    return remote_is_there() ? remote_open(path, 0, stat) : file_absent(path);
}

/* With an empty path (AT_EMPTY_PATH) it is fstat. */
int64_t linux_newfstatat(uint64_t fd, const char *path, struct linux_stat *stat)
{
    return *path ? linux_stat(path, stat) : linux_fstat(fd, stat);
}

int64_t linux_lseek(uint64_t fd, int64_t offset, uint64_t from)
{
    struct file *file = file_get(fd);

    if (file == NULL)
        return -LINUX_EBADF;
    if (file->kind != FILE_REMOTE)
        return -LINUX_ESPIPE;

    uint64_t to = from == LINUX_SEEK_CUR ? file->offset + (uint64_t)offset : (uint64_t)offset;

    if (from > LINUX_SEEK_CUR || (int64_t)to < 0)
        return -LINUX_EINVAL;
    file->offset = to;
    return (int64_t)to;
}

int64_t linux_open(const char *path, uint64_t flags)
{
    return remote_is_there() ? remote_open(path, (uint32_t)flags, NULL) : file_absent(path);
}

int64_t linux_openat(uint64_t folder, const char *path, uint64_t flags)
{
    (void)folder;
    return linux_open(path, flags);
}
