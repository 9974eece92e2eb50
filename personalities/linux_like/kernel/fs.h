/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files: an in-memory tree of inodes, open files, descriptors. */
#pragma once
#include "lock.h"
#include "mm.h"
#include "uapi.h"

struct file;
struct dir_item;
struct pipe;
struct poll_table { void (*queue)(struct poll_table *pt, struct file *f, struct wait_queue *q); };
static inline void poll_wait(struct file *f, struct wait_queue *q, struct poll_table *pt)
{
    if (pt)
        pt->queue(pt, f, q);
}

/* Buffers are user addresses; results are bytes or -errno. */
struct file_ops {
    ssize_t (*read)(struct file *f, u64 buf, u64 n, u64 *pos);
    ssize_t (*write)(struct file *f, u64 buf, u64 n, u64 *pos);
    u32 (*poll)(struct file *f, struct poll_table *pt);
    long (*ioctl)(struct file *f, u32 cmd, u64 arg);
    long (*mmap)(struct file *f, u32 prot); /* address, or -errno; the whole of it */
    void (*release)(struct file *f);
    long (*open)(struct file *f, u32 flags);   /* flags as open has them; 0 or -errno */
};

/* Directories and links that are made up as they are looked at: /proc. Inodes come with a reference. */
struct inode_ops {
    struct inode *(*lookup)(struct inode *dir, const char *name, u32 len); /* NULL: no such entry */
    bool (*next)(struct inode *dir, u64 *cookie, struct dir_item *item);   /* the first entry beyond *cookie, which becomes its own */
    long (*readlink)(struct inode *i, char *buf, u32 n);                   /* length, or -errno */
    struct inode *(*follow)(struct inode *i);                              /* leads there by itself; NULL: by its text */
    void (*release)(struct inode *i);
};

struct dirent {
    struct list sibling;         /* in its directory's entries */
    struct inode *inode;
    u64 cookie;                  /* where readers of the directory are; rises in the order of creation */
    u32 len;
    char name[];
};
struct dir_item { const char *name; u64 ino; u32 mode; char buf[16]; };

struct inode {
    u32 mode, refs, nlink, dev, uid, gid;
    u64 ino, size, rdev;
    u64 atime, mtime, ctime;     /* ns since 1970 */
    const u8 *data;              /* contents that stay where they are (the boot archive's), or a symbolic link's target; else: */
    struct page *first;          /* contents' first page, and the others by 512s; NULL: a hole */
    struct page ***map;
    u64 pages;                   /* of its contents */
    struct spinlock page_lock;   /* first, map, pages, size */
    struct rwsem write_lock;     /* one writer at a time */
    const struct file_ops *ops;  /* of devices and /proc */
    const struct inode_ops *iops;
    void *priv;                  /* iops's */
    struct inode *parent;        /* of directories, and of what /proc makes up; NULL: removed */
    struct dirent *entry;        /* a name it has; NULL: removed */
    struct list entries;         /* of a directory; tree_lock */
    u64 next_cookie;
    bool made_up;                /* by iops: owns entry, holds parent */
    struct pipe *pipe;           /* a FIFO's, while it is open */
};

struct file {
    u32 refs;
    u32 flags;                   /* O_* */
    u64 pos;
    const struct file_ops *ops;
    struct inode *inode;         /* or NULL: sockets, pipes, epoll ... */
    void *priv;
    struct spinlock ep_lock;
    struct list epitems;         /* epoll items that watch this file */
};

struct files {
    u32 refs;
    struct spinlock lock;
    u32 next_fd;                 /* no free descriptor below */
    u32 max_fd;                  /* none in use at or above */
    u64 cloexec[MAX_FDS / 64];
    struct file *fd[MAX_FDS];
};

/* file.c */
void file_init(void);
struct file *file_new(const struct file_ops *ops, void *priv, u32 flags);
struct file *file_get(int fd);       /* of current, with a reference; NULL = EBADF */
void file_put(struct file *f);
int fd_install(struct file *f, int from, bool cloexec); /* takes over the reference; -EMFILE drops it */
long fd_close(struct files *fs, int fd);
struct files *files_new(void);
struct files *files_copy(struct files *from);
void files_put(struct files *fs);
void files_close_on_exec(struct files *fs);

/* inode.c */
enum { DEV_TMPFS = 1, DEV_PROC };
#define COOKIE_FIRST 2           /* "." and ".." come before */
extern struct inode *root_inode;
extern struct rwsem tree_lock;   /* names: read to walk, written to change them */
void inode_init(void);
struct inode *inode_new(u32 mode);
static inline struct inode *inode_get(struct inode *i) { atomic_add(&i->refs, 1); return i; }
void inode_put(struct inode *i);
void inode_touch(struct inode *i);   /* changed now: contents */
static inline u32 inode_kind(const struct inode *i) { return i->mode & S_IFMT; }
struct dirent *dirent_new(const char *name, u32 len, struct inode *i);
struct inode *dir_lookup(struct inode *dir, const char *name, u32 len);  /* with a reference; NULL: no such name */
long dir_link(struct inode *dir, const char *name, u32 len, struct inode *i);
void dir_unlink(struct inode *dir, const char *name);
bool dir_empty(const struct inode *dir);
struct inode *inode_make(const char *path, u32 mode);  /* while booting: with the directories above it; the tree holds it */
struct inode *inode_make_text(const char *path, const char *text);

/* path.c */
struct path {
    struct inode *dir, *inode;   /* references, or NULL: no name in a directory; nothing of that name */
    char name[NAME_MAX + 1];
    bool slash;                  /* the path ends in one */
};
long path_walk(struct inode *base, const char *path, bool follow, struct path *p); /* tree_lock held */
void path_put(struct path *p);
long path_open(struct inode *base, const char *path, bool follow, struct inode **i); /* of something that exists; with a reference */
int path_name(struct inode *i, char *buf, u32 n);

/* tmpfs.c: contents in pages */
extern const struct file_ops tmpfs_ops;
ssize_t inode_read(struct inode *i, void *dst, u64 n, u64 pos);  /* into kernel memory */
long inode_truncate(struct inode *i, u64 size);
void inode_drop_pages(struct inode *i, u64 from);
u64 tmpfs_pages(void);
u64 tmpfs_limit(void);

ssize_t dir_getdents(struct file *f, u64 buf, u64 n);  /* getdents.c */
void cpio_unpack(const u8 *p, u64 size);  /* cpio.c */
void console_make_nodes(void);            /* console.c, tty */
void dev_init(void);                      /* dev.c: null, zero, urandom */
void epoll_release_file(struct file *f);  /* epoll.c */
struct file *open_inode(struct inode *i, u32 flags); /* open.c */
long pipe_open_fifo(struct inode *i, u32 flags, struct file **f); /* pipe.c */
long open_path(char *path, u64 upath, int dirfd, struct inode **base); /* reads a path, and finds where it starts, with a reference */
