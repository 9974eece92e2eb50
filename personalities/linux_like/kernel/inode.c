/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inodes and the directory entries that name them. One lock for all names: tree_lock. */
#include "defs.h"
#include "fs.h"
#include "task.h"

struct inode *root_inode;
struct rwsem tree_lock;
static u64 next_ino;

struct inode *inode_new(u32 mode)
{
    struct inode *i = kzalloc(sizeof *i);
    if (!i)
        return NULL;
    i->mode = mode;
    i->refs = 1;
    i->dev = DEV_TMPFS;
    i->ino = atomic_add(&next_ino, 1);
    i->atime = i->mtime = i->ctime = time_realtime_ns();
    i->next_cookie = COOKIE_FIRST;
    list_init(&i->entries);
    rwsem_init(&i->write_lock);
    return i;
}

void inode_put(struct inode *i)
{
    if (atomic_sub(&i->refs, 1))
        return;
    if (i->iops && i->iops->release)
        i->iops->release(i);
    if (i->made_up) {
        kfree(i->entry);
        inode_put(i->parent);
    }
    if (inode_kind(i) == S_IFLNK)
        kfree(i->data);
    inode_drop_pages(i, 0);
    kfree(i);
}

void inode_touch(struct inode *i) { i->mtime = i->ctime = time_realtime_ns(); }

struct dirent *dirent_new(const char *name, u32 len, struct inode *i)
{
    struct dirent *e = kmalloc(sizeof *e + len + 1);
    if (!e)
        return NULL;
    list_init(&e->sibling);
    e->inode = i;
    e->len = len;
    memcpy(e->name, name, len);
    e->name[len] = 0;
    return e;
}

static struct dirent *dir_find(struct inode *dir, const char *name, u32 len)
{
    struct dirent *e;
    list_for_each(e, &dir->entries, sibling)
        if (e->len == len && !memcmp(e->name, name, len))
            return e;
    return NULL;
}

struct inode *dir_lookup(struct inode *dir, const char *name, u32 len)
{
    struct dirent *e = dir_find(dir, name, len);
    if (e)
        return inode_get(e->inode);
    return dir->iops && dir->iops->lookup ? dir->iops->lookup(dir, name, len) : NULL;
}

/* One name more for i, which the caller knows is free. */
long dir_link(struct inode *dir, const char *name, u32 len, struct inode *i)
{
    if (!dir->nlink)
        return -ENOENT; /* removed, and still somebody's working directory */
    if (!len || len > NAME_MAX)
        return len ? -ENAMETOOLONG : -ENOENT;
    struct dirent *e = dirent_new(name, len, i);
    if (!e)
        return -ENOMEM;
    inode_get(i);
    e->cookie = ++dir->next_cookie;
    list_add_tail(&e->sibling, &dir->entries);
    i->entry = e;
    i->parent = dir;
    i->nlink++;
    if (inode_kind(i) == S_IFDIR) {
        i->nlink += i->nlink == 1; /* its "." */
        dir->nlink++;              /* its ".." */
    }
    inode_touch(dir);
    i->ctime = dir->ctime;
    return 0;
}

void dir_unlink(struct inode *dir, const char *name)
{
    struct dirent *e = dir_find(dir, name, (u32)strlen(name));
    struct inode *i = e->inode;
    list_del_init(&e->sibling);
    i->nlink--;
    if (inode_kind(i) == S_IFDIR) {
        i->nlink -= i->nlink == 1; /* only its "." is left */
        dir->nlink--;
    }
    if (i->entry == e)
        i->entry = NULL;
    if (!i->nlink)
        i->parent = NULL;
    inode_touch(dir);
    i->ctime = dir->ctime;
    kfree(e);
    inode_put(i);
}

bool dir_empty(const struct inode *dir) { return list_empty(&dir->entries); }

struct inode *inode_make(const char *path, u32 mode)
{
    struct inode *at = root_inode;
    for (;;) {
        while (*path == '/')
            path++;
        u32 len = 0;
        while (path[len] && path[len] != '/')
            len++;
        const char *rest = path + len;
        while (*rest == '/')
            rest++;
        if (len == 1 && path[0] == '.' && *rest) {
            path = rest;
            continue;
        }
        struct dirent *e = dir_find(at, path, len);
        struct inode *i = e ? e->inode : inode_new(*rest ? S_IFDIR | 0755 : mode);
        if (inode_kind(at) != S_IFDIR || !len || len > NAME_MAX)
            return NULL;
        if (!e) {
            i->dev = at->dev;
            if (dir_link(at, path, len, i))
                panic("inode: no memory for the file tree");
            inode_put(i);
        }
        if (!*rest)
            return i;
        path = rest;
        at = i;
    }
}

struct inode *inode_make_text(const char *path, const char *text)
{
    struct inode *i = inode_make(path, S_IFREG | 0444);
    u8 *copy = kmalloc(strlen(text) + 1);
    i->size = strlen(text);
    memcpy(copy, text, i->size + 1);
    i->data = copy;
    return i;
}

void inode_init(void)
{
    char text[32];
    rwsem_init(&tree_lock);
    root_inode = inode_new(S_IFDIR | 0755);
    root_inode->parent = root_inode;
    root_inode->nlink = 2;
    inode_make("/tmp", S_IFDIR | 01777);
    dev_init();
    console_make_nodes();
    snprintk(text, sizeof text, acpi.ncpus > 1 ? "0-%u\n" : "%u\n", acpi.ncpus - 1);
    inode_make_text("/sys/devices/system/cpu/online", text);
    inode_make_text("/sys/devices/system/cpu/possible", text);
    proc_init();
    psi_init();
}
