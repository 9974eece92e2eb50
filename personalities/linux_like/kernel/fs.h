/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files: an in-memory tree of inodes, open files, descriptors. */
#pragma once
#include "lock.h"
#include "mm.h"
#include "uapi.h"

struct file;
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
};

struct inode {
    u32 mode;
    u64 ino, size, capacity;
    u8 *data;                    /* contents, or a symbolic link's target */
    const struct file_ops *ops;  /* of devices */
    u64 rdev;
    char *name;
    struct inode *parent;
    struct list children, sibling;
    struct rwsem lock;           /* contents and children */
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
extern struct inode *root_inode;
void inode_init(void);
struct inode *inode_create(struct inode *dir, const char *name, u32 mode);
struct inode *inode_lookup(struct inode *dir, const char *name, u32 len);
struct inode *inode_walk(struct inode *from, const char *path, bool follow); /* NULL = ENOENT */
struct inode *inode_walk_parent(struct inode *from, const char *path, const char **last);
void inode_remove(struct inode *i);
int inode_path(struct inode *i, char *buf, u32 n);
struct inode *inode_make(const char *path, u32 mode);
void inode_make_text(const char *path, const char *text);
ssize_t inode_read(struct inode *i, void *dst, u64 n, u64 pos);  /* into kernel memory */
extern const struct file_ops inode_file_ops;
ssize_t inode_getdents(struct file *f, u64 buf, u64 n);

void cpio_unpack(const u8 *p, u64 size);  /* cpio.c */
void console_make_nodes(void);            /* console.c, tty */
void dev_init(void);                      /* dev.c: null, zero, urandom */
void epoll_release_file(struct file *f);  /* epoll.c */
struct file *open_inode(struct inode *i, u32 flags); /* open.c */
