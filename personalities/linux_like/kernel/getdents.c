/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading directories. A reader's place is the last entry's cookie, so entries may come and go meanwhile. */
#include "defs.h"
#include "fs.h"
#include "task.h"

struct dirent64 { u64 ino, off; u16 reclen; u8 type; char name[]; };
#define MADE_UP (1ul << 32) /* cookies of made-up entries: behind all others */

/* The first entry beyond *cookie, looked for from *at on; false: no more. tree_lock held. */
static bool dir_next(struct inode *dir, struct list **at, u64 *cookie, struct dir_item *d)
{
    if (*cookie < COOKIE_FIRST) {
        struct inode *i = *cookie && dir->parent ? dir->parent : dir;
        *d = (struct dir_item){ .name = *cookie ? ".." : ".", .ino = i->ino, .mode = i->mode };
        ++*cookie;
        return true;
    }
    for (; *cookie < MADE_UP && *at != &dir->entries; *at = (*at)->next) {
        const struct dirent *e = list_entry(*at, struct dirent, sibling);
        if (e->cookie <= *cookie)
            continue;
        *d = (struct dir_item){ .name = e->name, .ino = e->inode->ino, .mode = e->inode->mode };
        *cookie = e->cookie;
        return true;
    }
    if (!dir->iops || !dir->iops->next)
        return false;
    u64 own = *cookie < MADE_UP ? 0 : *cookie - MADE_UP;
    if (!dir->iops->next(dir, &own, d))
        return false;
    *cookie = own + MADE_UP;
    return true;
}

ssize_t dir_getdents(struct file *f, u64 buf, u64 n)
{
    struct inode *dir = f->inode;
    if (!dir || inode_kind(dir) != S_IFDIR)
        return -ENOTDIR;
    struct { struct dirent64 d; char name[NAME_MAX + 1]; } out; /* one record */
    struct dir_item item;
    u64 done = 0, at = f->pos;
    ssize_t r = 0;
    down_read(&tree_lock);
    struct list *entry = dir->entries.next;
    while (dir->nlink && dir_next(dir, &entry, &at, &item)) {
        u64 len = strlen(item.name), head = offsetof(struct dirent64, name), rec = ALIGN_UP(head + len + 1, 8ul);
        if (done + rec > n) {
            r = done ? 0 : -EINVAL;
            break;
        }
        memset(&out, 0, rec);
        out.d = (struct dirent64){ item.ino, at, (u16)rec, (u8)(item.mode >> 12 & 15) };
        memcpy((u8 *)&out + head, item.name, len);
        if (copy_to_user(buf + done, &out, rec)) {
            r = -EFAULT;
            break;
        }
        done += rec;
        f->pos = at;
    }
    up_read(&tree_lock);
    return done ? (ssize_t)done : r;
}

long sys_getdents64(int fd, u64 buf, u32 n)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = dir_getdents(f, buf, n);
    file_put(f);
    return r;
}
