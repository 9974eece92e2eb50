/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a path to an inode, and back. */
#include "defs.h"
#include "fs.h"
#include "task.h"

void path_put(struct path *p)
{
    if (p->dir)
        inode_put(p->dir);
    if (p->inode)
        inode_put(p->inode);
    p->dir = p->inode = NULL;
}

/* rest becomes the link's target and what followed the link. */
static long path_expand(struct inode *link, char *rest, const char *after)
{
    char text[PATH_MAX];
    long n = link->iops && link->iops->readlink ? link->iops->readlink(link, text, sizeof text) : (long)link->size;
    if (n < 0)
        return n;
    if ((u64)n + strlen(after) + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    if (link->data)
        memcpy(text, link->data, (u64)n);
    text[n] = '/';
    strlcpy(text + n + 1, after, PATH_MAX - (u64)n - 1);
    if (!*after)
        text[n] = 0;
    memcpy(rest, text, PATH_MAX);
    return n ? 0 : -ENOENT;
}

static struct inode *path_parent(struct inode *i)
{
    struct inode *up = i == root_inode || !i->parent ? i : i->parent;
    return inode_get(up);
}

/*
 * The last component is followed, if it is a symbolic link, when asked for or when a slash follows it. 0 with inode NULL: only the last one is
 * missing. dir is NULL where the path ends in no name: "/", ".", "..".
 */
long path_walk(struct inode *base, const char *path, bool follow, struct path *p)
{
    char buf[PATH_MAX];
    const char *s = buf;
    u32 links = 0;
    long r = 0;
    *p = (struct path){ 0 };
    strlcpy(buf, path, sizeof buf);
    struct inode *at = inode_get(*s == '/' ? root_inode : base);
    for (;;) {
        while (*s == '/')
            s++;
        if (!*s) {
            p->inode = at;
            return 0;
        }
        u32 len = 0;
        while (s[len] && s[len] != '/')
            len++;
        const char *rest = s + len;
        while (*rest == '/')
            rest++;
        bool last = !*rest;
        p->slash = last && rest != s + len;
        r = len > NAME_MAX ? -ENAMETOOLONG : inode_kind(at) != S_IFDIR ? -ENOTDIR : 0;
        if (r)
            break;
        bool dots = s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.'));
        struct inode *next = dots ? (len == 1 ? inode_get(at) : path_parent(at)) : dir_lookup(at, s, len);
        if (!next && !last) {
            r = -ENOENT;
            break;
        }
        if (next && inode_kind(next) == S_IFLNK && (!last || follow || p->slash)) {
            struct inode *there = next->iops && next->iops->follow ? next->iops->follow(next) : NULL;
            r = ++links > MAX_SYMLINKS ? -ELOOP : there ? 0 : path_expand(next, buf, rest);
            inode_put(next);
            if (r) {
                if (there)
                    inode_put(there);
                break;
            }
            if (there || buf[0] == '/') {
                inode_put(at);
                at = there ? there : inode_get(root_inode);
            }
            s = there ? rest : buf;
            continue;
        }
        if (last && !dots) {
            p->dir = at;
            p->inode = next;
            memcpy(p->name, s, len);
            p->name[len] = 0;
            if (!next || !p->slash || inode_kind(next) == S_IFDIR)
                return 0;
            path_put(p);
            return -ENOTDIR;
        }
        inode_put(at);
        at = next;
        s = rest;
    }
    inode_put(at);
    return r;
}

long path_open(struct inode *base, const char *path, bool follow, struct inode **i)
{
    struct path p;
    if (!*path)
        return -ENOENT;
    down_read(&tree_lock);
    long r = path_walk(base, path, follow, &p);
    up_read(&tree_lock);
    if (r)
        return r;
    *i = p.inode;
    p.inode = NULL;
    path_put(&p);
    return *i ? 0 : -ENOENT;
}

/* Takes no lock that sleeps: names of what is open do not go while tree_lock is held for reading. */
static int path_name_locked(struct inode *i, char *buf, u32 n)
{
    const struct inode *chain[64];
    u32 depth = 0, at = 0;
    for (; i != root_inode; i = i->parent) {
        if (!i->entry || !i->parent)
            return -ENOENT;
        if (depth == ARRAY_SIZE(chain))
            return -ENAMETOOLONG;
        chain[depth++] = i;
    }
    if (!depth && n > 1)
        buf[at++] = '/';
    while (depth--) {
        const struct dirent *e = chain[depth]->entry;
        if (at + e->len + 2 > n)
            return -ERANGE;
        buf[at++] = '/';
        memcpy(buf + at, e->name, e->len);
        at += e->len;
    }
    buf[at] = 0;
    return (int)at;
}

int path_name(struct inode *i, char *buf, u32 n)
{
    down_read(&tree_lock);
    int r = path_name_locked(i, buf, n);
    up_read(&tree_lock);
    return r;
}
