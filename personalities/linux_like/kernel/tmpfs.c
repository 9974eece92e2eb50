/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contents of files, in pages that appear when they are written; half of memory at most. What the boot archive holds stays there until it is
 * changed. User memory is read and written with no lock that a page fault may take: pages are held by reference.
 */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define FANOUT 512ul
#define MAX_FILE (FANOUT * FANOUT * PAGE_SIZE)

static u64 used_pages;

u64 tmpfs_pages(void) { return READ_ONCE(used_pages); }
u64 tmpfs_limit(void) { return page_count_total() / 2; }

/* page_lock held. NULL: not there, and with `create`: no memory. */
static struct page **tmpfs_slot(struct inode *i, u64 index, bool create)
{
    if (!index)
        return &i->first;
    if (!i->map && (!create || !(i->map = page_alloc_zeroed())))
        return NULL;
    struct page ***chunk = &i->map[index / FANOUT];
    if (!*chunk && (!create || !(*chunk = page_alloc_zeroed())))
        return NULL;
    return &(*chunk)[index % FANOUT];
}

/* With a reference; NULL: a hole, and with `create`: no memory or no room. */
static struct page *tmpfs_page(struct inode *i, u64 index, bool create)
{
    spin_lock(&i->page_lock);
    struct page **slot = tmpfs_slot(i, index, create), *p = slot ? *slot : NULL;
    if (slot && !p && create && tmpfs_pages() < tmpfs_limit()) {
        void *fresh = page_alloc_zeroed();
        if (fresh) {
            p = *slot = va_page(fresh);
            i->pages++;
            atomic_add(&used_pages, 1);
        }
    }
    if (p)
        page_get(p);
    spin_unlock(&i->page_lock);
    return p;
}

static void tmpfs_free(struct inode *i, struct page **slot)
{
    if (*slot) {
        page_put(*slot);
        *slot = NULL;
        i->pages--;
        atomic_sub(&used_pages, 1);
    }
}

/* Gives back the pages from index `from` on. */
void inode_drop_pages(struct inode *i, u64 from)
{
    spin_lock(&i->page_lock);
    if (!from)
        tmpfs_free(i, &i->first);
    for (u64 c = from / FANOUT; i->map && c < FANOUT; c++) {
        for (u64 k = c == from / FANOUT ? from % FANOUT : 0; i->map[c] && k < FANOUT; k++)
            tmpfs_free(i, &i->map[c][k]);
        if (i->map[c] && (c > from / FANOUT || !(from % FANOUT))) {
            page_free(va_page(i->map[c]), 0);
            i->map[c] = NULL;
        }
    }
    if (!from && i->map) {
        page_free(va_page(i->map), 0);
        i->map = NULL;
    }
    spin_unlock(&i->page_lock);
}

/* write_lock held. From now on the contents are pages, the first `keep` bytes copied. */
static long tmpfs_thaw(struct inode *i, u64 keep)
{
    if (!i->data)
        return 0;
    for (u64 at = 0; at < keep; at += PAGE_SIZE) {
        struct page *p = tmpfs_page(i, at / PAGE_SIZE, true);
        if (!p) {
            inode_drop_pages(i, 0);
            return -ENOSPC;
        }
        memcpy(page_va(p), i->data + at, MIN(keep - at, PAGE_SIZE));
        page_put(p);
    }
    WRITE_ONCE(i->data, NULL); /* the archive's memory is never given back: readers may be at it */
    return 0;
}

ssize_t inode_read(struct inode *i, void *dst, u64 n, u64 pos)
{
    u64 size = READ_ONCE(i->size), done = 0;
    for (n = pos < size ? MIN(n, size - pos) : 0; done < n;) {
        u64 at = pos + done, k = MIN(n - done, PAGE_SIZE - at % PAGE_SIZE);
        const u8 *data = READ_ONCE(i->data);
        struct page *p = data ? NULL : tmpfs_page(i, at / PAGE_SIZE, false);
        if (data)
            memcpy((u8 *)dst + done, data + at, k);
        else if (p)
            memcpy((u8 *)dst + done, (u8 *)page_va(p) + at % PAGE_SIZE, k);
        else
            memset((u8 *)dst + done, 0, k);
        if (p)
            page_put(p);
        done += k;
    }
    return (ssize_t)n;
}

static ssize_t tmpfs_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct inode *i = f->inode;
    if (inode_kind(i) == S_IFDIR)
        return -EISDIR;
    u64 size = READ_ONCE(i->size), done = 0;
    for (n = *pos < size ? MIN(n, size - *pos) : 0; done < n;) {
        u64 at = *pos + done, k = MIN(n - done, PAGE_SIZE - at % PAGE_SIZE);
        const u8 *data = READ_ONCE(i->data);
        struct page *p = data ? NULL : tmpfs_page(i, at / PAGE_SIZE, false);
        u64 left = data ? copy_to_user(buf + done, data + at, k)
                 : p ? copy_to_user(buf + done, (u8 *)page_va(p) + at % PAGE_SIZE, k) : copy_clear_user(buf + done, k);
        if (p)
            page_put(p);
        done += k - left;
        if (left)
            break;
    }
    if (n && !done)
        return -EFAULT;
    if (i->atime <= i->mtime)
        i->atime = time_realtime_ns(); /* as mounted with relatime */
    *pos += done;
    return (ssize_t)done;
}

/* write_lock held. */
static ssize_t tmpfs_write_locked(struct inode *i, u64 buf, u64 n, u64 pos)
{
    u64 done = 0;
    long r = pos >= MAX_FILE ? -EFBIG : tmpfs_thaw(i, i->size);
    n = MIN(n, MAX_FILE - MIN(pos, MAX_FILE));
    while (!r && done < n) {
        u64 at = pos + done, k = MIN(n - done, PAGE_SIZE - at % PAGE_SIZE);
        struct page *p = tmpfs_page(i, at / PAGE_SIZE, true);
        if (!p) {
            r = -ENOSPC;
            break;
        }
        u64 left = copy_from_user((u8 *)page_va(p) + at % PAGE_SIZE, buf + done, k);
        page_put(p);
        done += k - left;
        r = left ? -EFAULT : 0;
        i->size = MAX(i->size, pos + done);
    }
    if (done)
        inode_touch(i);
    return done || !n ? (ssize_t)done : r;
}

static ssize_t tmpfs_write(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct inode *i = f->inode;
    down_write(&i->write_lock);
    if (f->flags & O_APPEND)
        *pos = i->size;
    ssize_t r = n ? tmpfs_write_locked(i, buf, n, *pos) : 0;
    up_write(&i->write_lock);
    if (r > 0)
        *pos += (u64)r;
    return r;
}

long inode_truncate(struct inode *i, u64 size)
{
    if (inode_kind(i) != S_IFREG || i->ops)
        return inode_kind(i) == S_IFDIR ? -EISDIR : i->ops ? 0 : -EINVAL;
    if (size > MAX_FILE)
        return -EFBIG;
    down_write(&i->write_lock);
    long r = tmpfs_thaw(i, MIN(size, i->size));
    if (!r) {
        u64 old = i->size;
        i->size = size;
        inode_touch(i);
        if (size < old) {
            inode_drop_pages(i, (size + PAGE_SIZE - 1) / PAGE_SIZE);
            struct page *p = size % PAGE_SIZE ? tmpfs_page(i, size / PAGE_SIZE, false) : NULL;
            if (p) {
                memset((u8 *)page_va(p) + size % PAGE_SIZE, 0, PAGE_SIZE - size % PAGE_SIZE);
                page_put(p);
            }
        }
    }
    up_write(&i->write_lock);
    return r;
}

static u32 tmpfs_poll(struct file *f, struct poll_table *pt) { return POLLIN | POLLOUT; }

const struct file_ops tmpfs_ops = { .read = tmpfs_read, .write = tmpfs_write, .poll = tmpfs_poll };
