/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files whose text is made when it is read: what the kernel counts. */
#include "defs.h"
#include "fs.h"

#define PROC_MAX 4096

static ssize_t proc_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    u32 (*show)(char *buf, u32 n) = (u32 (*)(char *, u32))f->inode->data;
    char *text = kmalloc(PROC_MAX);
    if (!text)
        return -ENOMEM;
    u64 len = show(text, PROC_MAX), from = MIN(*pos, len), k = MIN(n, len - from);
    ssize_t r = copy_to_user(buf, text + from, k) ? -EFAULT : (ssize_t)k;
    kfree(text);
    if (r > 0)
        *pos += (u64)r;
    return r;
}

static u32 proc_poll(struct file *f, struct poll_table *pt) { return POLLIN; }
static const struct file_ops proc_ops = { .read = proc_read, .poll = proc_poll };

/* show writes at most n bytes and returns how many. */
void proc_make(const char *path, u32 (*show)(char *buf, u32 n))
{
    struct inode *i = inode_make(path, S_IFREG | 0444);
    i->ops = &proc_ops;
    i->data = (u8 *)show;
}
