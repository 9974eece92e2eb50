/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /dev/null, /dev/zero, /dev/random and /dev/urandom. */
#include "defs.h"
#include "fs.h"

long sys_getrandom(u64 buf, u64 n, u32 flags);

static ssize_t dev_read_nothing(struct file *f, u64 buf, u64 n, u64 *pos) { return 0; }
static ssize_t dev_swallow(struct file *f, u64 buf, u64 n, u64 *pos) { return (ssize_t)n; }
static ssize_t dev_read_zeros(struct file *f, u64 buf, u64 n, u64 *pos) { return copy_clear_user(buf, n) ? -EFAULT : (ssize_t)n; }
static ssize_t dev_read_random(struct file *f, u64 buf, u64 n, u64 *pos) { return sys_getrandom(buf, n, 0); }
static u32 dev_poll(struct file *f, struct poll_table *pt) { return POLLIN | POLLOUT; }

static const struct file_ops null_ops = { .read = dev_read_nothing, .write = dev_swallow, .poll = dev_poll };
static const struct file_ops zero_ops = { .read = dev_read_zeros, .write = dev_swallow, .poll = dev_poll };
static const struct file_ops random_ops = { .read = dev_read_random, .write = dev_swallow, .poll = dev_poll };

static void dev_make(const char *path, const struct file_ops *ops, u64 minor)
{
    struct inode *i = inode_make(path, S_IFCHR | 0666);
    i->ops = ops;
    i->rdev = 1 << 8 | minor;
}

static void dev_link(const char *path, const char *to)
{
    struct inode *i = inode_make_text(path, to);
    i->mode = S_IFLNK | 0777;
}

void dev_init(void)
{
    dev_link("/dev/fd", "/proc/self/fd");
    dev_link("/dev/stdin", "/proc/self/fd/0");
    dev_link("/dev/stdout", "/proc/self/fd/1");
    dev_link("/dev/stderr", "/proc/self/fd/2");
    dev_make("/dev/null", &null_ops, 3);
    dev_make("/dev/zero", &zero_ops, 5);
    dev_make("/dev/random", &random_ops, 8);
    dev_make("/dev/urandom", &random_ops, 9);
}
