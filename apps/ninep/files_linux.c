/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree below a directory of a Linux system, by system calls. Symbolic links are never followed, devices never opened. Whoever may rename
 * directories below the root while it is served could lead a request out of it: serve trees of your own.
 */
#include "files.h"
#include "runtime.h"

enum {
    O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0x40, O_EXCL = 0x80, O_TRUNC = 0x200, O_NOFOLLOW = 0x20000, O_DIRECTORY = 0x10000, O_CLOEXEC = 0x80000,
    S_IFMT = 0xF000, S_IFDIR = 0x4000, S_IFREG = 0x8000,
    EEXIST = 17, ENOTDIR = 20, EISDIR = 21, ENAMETOOLONG = 36, ELOOP = 40,
    ROOT_MOST = 256,
};

/* struct stat of x86-64 (Linux UAPI asm/stat.h). */
struct linux_stat {
    uint64_t device, inode, links;
    uint32_t mode, user, group, pad;
    uint64_t special;
    int64_t size, block_size, blocks;
    struct rt_timespec accessed, modified, changed;
    int64_t unused[3];
};

static char root[ROOT_MOST + FILES_PATH_MOST + 1], other[ROOT_MOST + FILES_PATH_MOST + 1];
static uint32_t root_length;

void files_root(const char *path)
{
    while (path[root_length] != '\0' && root_length < ROOT_MOST) {
        root[root_length] = path[root_length];
        root_length++;
    }
    root[root_length++] = '/';
}

/* The whole path; valid until the next one. */
static const char *whole(const char *path)
{
    uint32_t i = 0;
    for (; path[i] != '\0'; i++)
        root[root_length + i] = path[i];
    root[root_length + i] = '\0';
    return root;
}

long files_stat(const char *path, struct files_entry *entry)
{
    struct linux_stat s;
    long result = rt_syscall(RT_NR_LSTAT, (long)whole(path), (long)&s, 0, 0, 0, 0);
    if (result < 0)
        return result;
    bool directory = (s.mode & S_IFMT) == S_IFDIR;
    if (!directory && (s.mode & S_IFMT) != S_IFREG)
        return -ELOOP;
    *entry = (struct files_entry){
        .qid = {s.inode, (uint32_t)(s.modified.seconds * 1000 + s.modified.nanoseconds / 1000000), directory ? QID_DIRECTORY : 0},
        .mode = (s.mode & 0777) | (directory ? DIRECTORY_MODE : 0),
        .accessed = (uint32_t)s.accessed.seconds,
        .modified = (uint32_t)s.modified.seconds,
        .length = directory ? 0 : (uint64_t)s.size,
    };
    return 0;
}

static long flags_of(uint8_t mode)
{
    static const long ways[] = {[OPEN_READ] = 0, [OPEN_WRITE] = O_WRONLY, [OPEN_BOTH] = O_RDWR, [OPEN_EXECUTE] = 0};
    return ways[mode & 3] | (mode & OPEN_TRUNCATE ? O_TRUNC : 0) | O_NOFOLLOW | O_CLOEXEC;
}

long files_open(const char *path, uint8_t mode)
{
    return rt_syscall(RT_NR_OPEN, (long)whole(path), flags_of(mode), 0, 0, 0, 0);
}

long files_create(const char *path, uint32_t perm, uint8_t mode)
{
    if (perm & DIRECTORY_MODE) {
        long result = rt_syscall(RT_NR_MKDIR, (long)whole(path), perm & 0777, 0, 0, 0, 0);
        return result < 0 ? result : files_open(path, OPEN_READ);
    }
    return rt_syscall(RT_NR_OPEN, (long)whole(path), flags_of(mode) | O_CREAT | O_EXCL, perm & 0777, 0, 0, 0);
}

long files_read(int fd, uint64_t offset, void *to, uint32_t size)
{
    return offset > INT64_MAX ? 0 : rt_syscall(RT_NR_PREAD64, fd, (long)to, size, (long)offset, 0, 0);
}

long files_write(int fd, uint64_t offset, const void *from, uint32_t size)
{
    return rt_syscall(RT_NR_PWRITE64, fd, (long)from, size, (long)offset, 0, 0);
}

/* struct linux_dirent64: inode, offset, record length (2 bytes), type (1), name. */
long files_list(int fd, files_each each, void *ctx)
{
    enum { LENGTH_AT = 16, NAME_AT = 19 };
    static uint8_t buffer[4096] __attribute__((aligned(8)));
    long got = rt_syscall(RT_NR_LSEEK, fd, 0, 0, 0, 0, 0);
    if (got < 0)
        return got;
    while ((got = rt_syscall(RT_NR_GETDENTS64, fd, (long)buffer, sizeof buffer, 0, 0, 0)) > 0) {
        for (long at = 0; at < got; at += buffer[at + LENGTH_AT] | buffer[at + LENGTH_AT + 1] << 8) {
            const char *name = (const char *)buffer + at + NAME_AT;
            uint32_t length = 0;
            while (name[length] != '\0')
                length++;
            bool dots = name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'));
            if (!dots && !each(ctx, name, length))
                return 0;
        }
    }
    return got;
}

long files_truncate(const char *path, uint64_t length)
{
    long fd = files_open(path, OPEN_WRITE);
    if (fd < 0)
        return fd;
    long result = rt_syscall(RT_NR_FTRUNCATE, fd, (long)length, 0, 0, 0, 0);
    files_close((int)fd);
    return result;
}

long files_permit(const char *path, uint32_t mode)
{
    struct files_entry entry;
    long result = files_stat(path, &entry);     /* no links, which chmod would follow */
    return result < 0 ? result : rt_syscall(RT_NR_CHMOD, (long)whole(path), mode & 0777, 0, 0, 0, 0);
}

long files_date(const char *path, uint32_t accessed, uint32_t modified)
{
    enum { AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x100, UTIME_OMIT = 0x3FFFFFFE };
    struct rt_timespec times[2] = {
        {accessed, accessed == FILES_SAME ? UTIME_OMIT : 0},
        {modified, modified == FILES_SAME ? UTIME_OMIT : 0},
    };
    return rt_syscall(RT_NR_UTIMENSAT, AT_FDCWD, (long)whole(path), (long)times, AT_SYMLINK_NOFOLLOW, 0, 0);
}

long files_rename(const char *from, const char *to)
{
    uint32_t i = 0;
    for (const char *at = whole(to); at[i] != '\0'; i++)
        other[i] = at[i];
    other[i] = '\0';
    return rt_syscall(RT_NR_RENAME, (long)whole(from), (long)other, 0, 0, 0, 0);
}

long files_remove(const char *path)
{
    struct files_entry entry;
    long result = files_stat(path, &entry);
    if (result < 0)
        return result;
    return rt_syscall(entry.qid.type == QID_DIRECTORY ? RT_NR_RMDIR : RT_NR_UNLINK, (long)whole(path), 0, 0, 0, 0, 0);
}

void files_close(int fd)
{
    rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
}

/* In Linux's own words: its 9P client knows errors by them. */
const char *files_error(long error)
{
    switch (-error) {
    case 1: return "Operation not permitted";
    case 2: return "No such file or directory";
    case 12: return "Cannot allocate memory";
    case 13: return "Permission denied";
    case EEXIST: return "File exists";
    case ENOTDIR: return "Not a directory";
    case EISDIR: return "Is a directory";
    case 22: return "Invalid argument";
    case 24: return "Too many open files";
    case 27: return "File too large";
    case 28: return "No space left on device";
    case 30: return "Read-only file system";
    case ENAMETOOLONG: return "File name too long";
    case 38: return "Function not implemented";
    case 39: return "Directory not empty";
    case ELOOP: return "Too many levels of symbolic links";   /* or a device: neither a file nor a directory */
    default: return "Input/output error";
    }
}
