/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files whose text is made when they are read from the beginning: what the kernel knows. */
#include "defs.h"
#include "fs.h"
#include "proc.h"
#include "task.h"

#define PROC_ROOM 4096u
#define PROC_ROOM_MAX (1u << 20)

struct proc_text { u32 len; char text[]; };

void proc_printf(struct proc_out *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    o->at += (u32)vsnprintk(o->buf + o->at, o->room - o->at, fmt, ap);
    va_end(ap);
}

void proc_write(struct proc_out *o, const void *p, u32 n)
{
    n = MIN(n, o->room - 1 - o->at);
    memcpy(o->buf + o->at, p, n);
    o->at += n;
}

static struct proc_text *proc_make_text(struct inode *i)
{
    for (u32 room = PROC_ROOM;; room *= 4) {
        struct proc_text *t = kmalloc(sizeof *t + room);
        if (!t)
            return NULL;
        struct proc_out o = { t->text, room, 0 };
        if (i->made_up)
            proc_pid_show(i, &o);
        else
            o.at = ((u32 (*)(char *, u32))i->priv)(o.buf, room);
        t->len = o.at;
        if (o.at < room - 1 || room >= PROC_ROOM_MAX)
            return t;
        kfree(t);
    }
}

static ssize_t proc_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    ssize_t r = 0;
    down_write(&f->inode->write_lock); /* f->priv */
    struct proc_text *t = f->priv;
    if (!t || !*pos) {
        kfree(t);
        f->priv = t = proc_make_text(f->inode);
    }
    if (!t)
        r = -ENOMEM;
    else if (*pos < t->len) {
        u64 k = MIN(n, t->len - *pos);
        r = copy_to_user(buf, t->text + *pos, k) ? -EFAULT : (ssize_t)k;
    }
    up_write(&f->inode->write_lock);
    if (r > 0)
        *pos += (u64)r;
    return r;
}

static u32 proc_poll(struct file *f, struct poll_table *pt) { return POLLIN; }
static void proc_release(struct file *f) { kfree(f->priv); }
const struct file_ops proc_ops = { .read = proc_read, .poll = proc_poll, .release = proc_release };

/* show writes at most n bytes and returns how many. */
void proc_make(const char *path, u32 (*show)(char *buf, u32 n))
{
    struct inode *i = inode_make(path, S_IFREG | 0444);
    i->ops = &proc_ops;
    i->priv = show;
}
