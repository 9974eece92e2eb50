/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tree of files, in memory: what the cpio archive held, devices, and what programs create. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define MAX_LINKS 8
#define MAX_FILE (4ul << 20) /* of files programs write: one block of pages */

struct inode *root_inode;
static u64 next_ino = 1;

static struct inode *inode_new(const char *name, u32 len, u32 mode)
{
    struct inode *i = kzalloc(sizeof *i);
    char *copy = kmalloc(len + 1);
    if (!i || !copy) {
        kfree(i);
        kfree(copy);
        return NULL;
    }
    memcpy(copy, name, len);
    copy[len] = 0;
    i->name = copy;
    i->mode = mode;
    i->ino = atomic_add(&next_ino, 1);
    list_init(&i->children);
    list_init(&i->sibling);
    rwsem_init(&i->lock);
    return i;
}

struct inode *inode_lookup(struct inode *dir, const char *name, u32 len)
{
    struct inode *c, *found = NULL;
    if ((dir->mode & S_IFMT) != S_IFDIR)
        return NULL;
    down_read(&dir->lock);
    list_for_each(c, &dir->children, sibling)
        if (!strncmp(c->name, name, len) && !c->name[len]) {
            found = c;
            break;
        }
    up_read(&dir->lock);
    return found;
}

/* The existing one if there is one. name ends at NUL or '/'. */
struct inode *inode_create(struct inode *dir, const char *name, u32 mode)
{
    u32 len = 0;
    while (name[len] && name[len] != '/')
        len++;
    struct inode *i = inode_lookup(dir, name, len);
    if (i || !len)
        return i;
    i = inode_new(name, len, mode);
    if (!i)
        return NULL;
    i->parent = dir;
    down_write(&dir->lock);
    list_add_tail(&i->sibling, &dir->children);
    up_write(&dir->lock);
    return i;
}

/* Inodes outlive their names: nothing counts who still has one open, so removal keeps the memory. */
void inode_remove(struct inode *i)
{
    struct inode *dir = i->parent;
    down_write(&dir->lock);
    list_del_init(&i->sibling);
    up_write(&dir->lock);
}

static struct inode *inode_walk_depth(struct inode *from, const char *path, bool follow, int depth)
{
    struct inode *at = *path == '/' || !from ? root_inode : from;
    if (depth > MAX_LINKS)
        return NULL;
    for (;;) {
        while (*path == '/')
            path++;
        if (!*path)
            return at;
        u32 len = 0;
        while (path[len] && path[len] != '/')
            len++;
        if ((at->mode & S_IFMT) != S_IFDIR)
            return NULL;
        struct inode *dir = at;
        if (len == 2 && path[0] == '.' && path[1] == '.')
            at = at->parent;
        else if (!(len == 1 && path[0] == '.'))
            at = inode_lookup(at, path, len);
        if (!at)
            return NULL;
        path += len;
        if ((at->mode & S_IFMT) == S_IFLNK && (*path || follow)) {
            if (at->size == 0) { /* /proc/self/exe */
                at = inode_walk_depth(root_inode, current->proc->exe, true, depth + 1);
            } else {
                char target[PATH_MAX];
                strlcpy(target, (char *)at->data, MIN(at->size + 1, sizeof target));
                at = inode_walk_depth(dir, target, true, depth + 1);
            }
            if (!at)
                return NULL;
        }
    }
}

struct inode *inode_walk(struct inode *from, const char *path, bool follow) { return inode_walk_depth(from, path, follow, 0); }

/* The directory that holds or would hold path's last component. */
struct inode *inode_walk_parent(struct inode *from, const char *path, const char **last)
{
    char dir[PATH_MAX];
    size_t n = strlen(path);
    while (n && path[n - 1] == '/')
        n--;
    while (n && path[n - 1] != '/')
        n--;
    *last = path + n;
    if (n >= sizeof dir)
        return NULL;
    memcpy(dir, path, n);
    dir[n] = 0;
    return inode_walk(from, dir, true);
}

int inode_path(struct inode *i, char *buf, u32 n)
{
    const struct inode *chain[32];
    u32 depth = 0, at = 0;
    for (; i != root_inode && depth < ARRAY_SIZE(chain); i = i->parent)
        chain[depth++] = i;
    if (!depth && n > 1)
        buf[at++] = '/';
    while (depth--) {
        u32 len = (u32)strlen(chain[depth]->name);
        if (at + len + 2 > n)
            return -ERANGE;
        buf[at++] = '/';
        memcpy(buf + at, chain[depth]->name, len);
        at += len;
    }
    buf[at] = 0;
    return (int)at;
}

/* Makes path, with the directories above it. */
struct inode *inode_make(const char *path, u32 mode)
{
    struct inode *at = root_inode;
    for (;;) {
        while (*path == '/')
            path++;
        const char *end = path;
        while (*end && *end != '/')
            end++;
        const char *rest = end;
        while (*rest == '/')
            rest++;
        at = inode_create(at, path, *rest ? S_IFDIR | 0755 : mode);
        if (!at)
            panic("inode: no memory for the file tree");
        if (!*rest)
            return at;
        path = rest;
    }
}

void inode_make_text(const char *path, const char *text)
{
    struct inode *i = inode_make(path, S_IFREG | 0444);
    i->size = strlen(text);
    i->data = kmalloc(i->size + 1);
    memcpy(i->data, text, i->size + 1);
}

void inode_init(void)
{
    char text[32];
    root_inode = inode_new("", 0, S_IFDIR | 0755);
    root_inode->parent = root_inode;
    inode_make("/tmp", S_IFDIR | 01777);
    dev_init();
    console_make_nodes();
    inode_make("/proc/self/exe", S_IFLNK | 0777); /* empty target: the walk asks the process */
    snprintk(text, sizeof text, acpi.ncpus > 1 ? "0-%u\n" : "%u\n", acpi.ncpus - 1);
    inode_make_text("/sys/devices/system/cpu/online", text);
    inode_make_text("/sys/devices/system/cpu/possible", text);
    inode_make_text("/proc/sys/kernel/osrelease", "6.1.0\n");
    psi_init();
}

ssize_t inode_read(struct inode *i, void *dst, u64 n, u64 pos)
{
    down_read(&i->lock);
    n = pos < i->size ? MIN(n, i->size - pos) : 0;
    memcpy(dst, i->data + pos, n);
    up_read(&i->lock);
    return (ssize_t)n;
}

static ssize_t inode_file_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct inode *i = f->inode;
    if ((i->mode & S_IFMT) == S_IFDIR)
        return -EISDIR;
    down_read(&i->lock);
    n = *pos < i->size ? MIN(n, i->size - *pos) : 0;
    u64 left = n ? copy_to_user(buf, i->data + *pos, n) : 0;
    up_read(&i->lock);
    if (n && left == n)
        return -EFAULT;
    *pos += n - left;
    return (ssize_t)(n - left);
}

static bool inode_grow(struct inode *i, u64 size)
{
    if (size <= i->capacity)
        return true;
    u64 capacity = 4096;
    while (capacity < size)
        capacity *= 2;
    u8 *data = size <= MAX_FILE ? kzalloc(capacity) : NULL;
    if (!data)
        return false;
    memcpy(data, i->data, i->size);
    if (i->capacity)
        kfree(i->data);
    i->data = data;
    i->capacity = capacity;
    return true;
}

static ssize_t inode_file_write(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct inode *i = f->inode;
    down_write(&i->lock);
    if (f->flags & O_APPEND)
        *pos = i->size;
    ssize_t r = -ENOSPC;
    if (n <= MAX_FILE && *pos <= MAX_FILE && inode_grow(i, *pos + n)) {
        u64 done = n - copy_from_user(i->data + *pos, buf, n);
        r = done || !n ? (ssize_t)done : -EFAULT;
        *pos += done;
        i->size = MAX(i->size, *pos);
    }
    up_write(&i->lock);
    return r;
}

static u32 inode_file_poll(struct file *f, struct poll_table *pt) { return POLLIN | POLLOUT; }

const struct file_ops inode_file_ops = { .read = inode_file_read, .write = inode_file_write, .poll = inode_file_poll };

struct dirent64 { u64 ino, off; u16 reclen; u8 type; char name[]; };

/* f->pos counts entries: "." and ".." first. */
ssize_t inode_getdents(struct file *f, u64 buf, u64 n)
{
    struct inode *dir = f->inode, *c;
    if (!dir || (dir->mode & S_IFMT) != S_IFDIR)
        return -ENOTDIR;
    u64 done = 0, k = 0;
    ssize_t r = 0;
    down_read(&dir->lock);
    struct list *at = dir->children.next;
    for (;; k++) {
        const char *name;
        if (k == 0)
            name = ".", c = dir;
        else if (k == 1)
            name = "..", c = dir->parent;
        else if (at != &dir->children)
            c = list_entry(at, struct inode, sibling), name = c->name, at = at->next;
        else
            break;
        if (k < f->pos)
            continue;
        u64 len = strlen(name), rec = ALIGN_UP(offsetof(struct dirent64, name) + len + 1, 8ul);
        if (done + rec > n) {
            r = done ? 0 : -EINVAL;
            break;
        }
        struct dirent64 d = { c->ino, k + 1, (u16)rec, (u8)(c->mode >> 12 & 15) };
        if (copy_to_user(buf + done, &d, offsetof(struct dirent64, name)) ||
            copy_to_user(buf + done + offsetof(struct dirent64, name), name, len + 1)) {
            r = -EFAULT;
            break;
        }
        done += rec;
    }
    up_read(&dir->lock);
    if (!r)
        f->pos = k;
    return r ? r : (ssize_t)done;
}
