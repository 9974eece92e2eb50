/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /dev/console: a terminal on the first 16550. Of its settings ICANON (lines, with erase), ECHO and ICRNL mean something. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define UART 0x3f8
#define UART_IRQ 4
#define LSR_DATA 1
#define TTY_BUFFER 1024
#define TCGETS 0x5401
#define TCSETS 0x5402  /* TCSETSW, TCSETSF: the next two */
#define ICRNL 0x100u
#define ICANON 2u
#define ECHO 8u
#define TIOCGPGRP 0x540f
#define TIOCSPGRP 0x5410
#define TIOCGWINSZ 0x5413

struct termios { u32 iflag, oflag, cflag, lflag; u8 line, cc[19]; };

static struct termios tty_termios = { 0x500, 5, 0xbf, 0x8a3b, 0, { 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26 } };
static struct spinlock tty_lock;
static char tty_buf[TTY_BUFFER];
static u32 tty_head, tty_line, tty_tail; /* read from head; whole lines up to line; typed up to tail */
static u32 tty_eof;                      /* ^D on an empty line, not yet read */
static struct wait_queue tty_wq = WAIT_QUEUE_INIT(tty_wq);

static bool tty_type(char c)
{
    bool lines = tty_termios.lflag & ICANON;
    if (c == '\r' && tty_termios.iflag & ICRNL)
        c = '\n';
    if (lines && c == 4) {
        tty_eof += tty_line == tty_tail;
        tty_line = tty_tail;
        return true;
    }
    if (lines && (c == 127 || c == 8)) {
        if (tty_tail != tty_line) {
            tty_tail--;
            if (tty_termios.lflag & ECHO)
                console_write("\b \b", 3);
        }
        return false;
    }
    if (tty_tail - tty_head == TTY_BUFFER)
        return false;
    tty_buf[tty_tail++ % TTY_BUFFER] = c;
    if (tty_termios.lflag & ECHO)
        console_write(&c, 1);
    if (!lines || c == '\n')
        tty_line = tty_tail;
    return !lines || c == '\n';
}

static bool tty_interrupt(void *arg)
{
    bool line = false, data = false;
    spin_lock(&tty_lock);
    inb(UART + 2);
    for (; inb(UART + 5) & LSR_DATA; data = true)
        line |= tty_type((char)inb(UART));
    spin_unlock(&tty_lock);
    if (line)
        wake_up_events(&tty_wq, 1, POLLIN);
    return data;
}

void console_init_irq(void)
{
    u8 vector = irq_alloc(tty_interrupt, NULL);
    ioapic_route_isa(UART_IRQ, vector, cpus[0].apic_id);
    outb(UART + 1, 1); /* interrupt on received data */
}

static ssize_t tty_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    char chunk[128];
    if (READ_ONCE(tty_head) == READ_ONCE(tty_line) && !tty_eof && f->flags & O_NONBLOCK)
        return -EAGAIN;
    if (wait_event_interruptible(&tty_wq, READ_ONCE(tty_head) != READ_ONCE(tty_line) || tty_eof))
        return -ERESTARTSYS;
    u64 got = 0;
    u64 fl = spin_lock_irqsave(&tty_lock);
    while (got < MIN(n, sizeof chunk) && tty_head != tty_line) {
        chunk[got] = tty_buf[tty_head++ % TTY_BUFFER];
        if (chunk[got++] == '\n')
            break;
    }
    if (!got && tty_eof)
        tty_eof--;
    spin_unlock_irqrestore(&tty_lock, fl);
    return copy_to_user(buf, chunk, got) ? -EFAULT : (ssize_t)got;
}

static ssize_t tty_write(struct file *f, u64 buf, u64 n, u64 *pos)
{
    char chunk[256];
    for (u64 done = 0; done < n;) {
        u64 k = MIN(n - done, sizeof chunk), left = copy_from_user(chunk, buf + done, k);
        console_write(chunk, k - left);
        done += k - left;
        if (left)
            return done ? (ssize_t)done : -EFAULT;
    }
    return (ssize_t)n;
}

static u32 tty_poll(struct file *f, struct poll_table *pt)
{
    poll_wait(f, &tty_wq, pt);
    return POLLOUT | (tty_head != tty_line || tty_eof ? POLLIN : 0);
}

static void tty_set(const struct termios *t)
{
    u64 f = spin_lock_irqsave(&tty_lock);
    tty_termios = *t;
    if (!(t->lflag & ICANON))
        tty_line = tty_tail; /* what was typed of a line is there to read */
    spin_unlock_irqrestore(&tty_lock, f);
}

static long tty_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct termios t = tty_termios;
    static const u16 winsize[4] = { 24, 80, 0, 0 };
    switch (cmd) {
    case TCGETS: return copy_to_user(arg, &t, sizeof t) ? -EFAULT : 0;
    case TCSETS: case TCSETS + 1: case TCSETS + 2:
        if (copy_from_user(&t, arg, sizeof t))
            return -EFAULT;
        tty_set(&t);
        return 0;
    case TIOCGWINSZ: return copy_to_user(arg, winsize, sizeof winsize) ? -EFAULT : 0;
    case TIOCGPGRP: return put_user32(arg, (u32)current->proc->pgid);
    case TIOCSPGRP: return 0;
    default: return -ENOTTY;
    }
}

static const struct file_ops tty_ops = { .read = tty_read, .write = tty_write, .poll = tty_poll, .ioctl = tty_ioctl };

void console_make_nodes(void)
{
    static const char *const names[] = { "/dev/console", "/dev/tty", "/dev/ttyS0" };
    for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
        struct inode *n = inode_make(names[i], S_IFCHR | 0620);
        n->ops = &tty_ops;
        n->rdev = 5 << 8 | 1;
    }
}
