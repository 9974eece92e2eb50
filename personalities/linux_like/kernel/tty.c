/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /dev/console: a terminal on the first 16550. Of its settings ICANON (lines, with erase), ECHO and ICRNL mean something. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define UART 0x3f8
#define TTY_OWN (5ul << 8)
#define UART_IRQ 4
#define LSR_DATA 1
#define TTY_BUFFER 1024
#define TCGETS 0x5401
#define TCSETS 0x5402  /* TCSETSW, TCSETSF: the next two */
#define ICRNL 0x100u
#define ICANON 2u
#define ECHO 8u
#define ISIG 1u
enum { VINTR = 0, VQUIT = 1, VKILL = 3, VSUSP = 10 };
#define TIOCSCTTY 0x540e
#define TIOCGPGRP 0x540f
#define TIOCSPGRP 0x5410
#define TIOCGSID 0x5429
#define TIOCGWINSZ 0x5413

struct termios { u32 iflag, oflag, cflag, lflag; u8 line, cc[19]; };

static struct termios tty_termios = { 0x500, 5, 0xbf, 0x8a3b, 0, { 3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26 } };
static struct spinlock tty_lock;
static char tty_buf[TTY_BUFFER];
static u32 tty_head, tty_line, tty_tail; /* read from head; whole lines up to line; typed up to tail */
static u32 tty_eof;                      /* ^D on an empty line, not yet read */
static struct wait_queue tty_wq = WAIT_QUEUE_INIT(tty_wq);

static s32 tty_sid, tty_group;            /* whose terminal it is, and who is in front; tasklist_lock */

void tty_give(s32 sid) { tty_sid = tty_group = sid; }
s32 tty_session(void) { return READ_ONCE(tty_sid); }
s32 tty_pgrp(void) { return READ_ONCE(tty_group); }

void tty_leave(s32 sid)
{
    if (tty_sid != sid)
        return;
    signal_send_group(tty_group, SIGHUP);
    signal_send_group(tty_group, SIGCONT);
    tty_sid = tty_group = 0;
}

static void tty_echo(const char *s, size_t n)
{
    if (tty_termios.lflag & ECHO)
        console_write(s, n);
}

/* The signal that a key stands for; 0: none. */
static int tty_signal_of(char c)
{
    static const struct { u8 at, sig; } keys[] = { { VINTR, SIGINT }, { VQUIT, SIGQUIT }, { VSUSP, SIGTSTP } };
    for (u32 k = 0; tty_termios.lflag & ISIG && k < ARRAY_SIZE(keys); k++)
        if (c && (u8)c == tty_termios.cc[keys[k].at])
            return keys[k].sig;
    return 0;
}

/* Whether a line is there to read. */
static bool tty_type(char c, int *sig)
{
    bool lines = tty_termios.lflag & ICANON;
    if (c == '\r' && tty_termios.iflag & ICRNL)
        c = '\n';
    if ((*sig = tty_signal_of(c))) {
        tty_tail = tty_line = tty_head;
        tty_echo((char[]){ '^', (char)(c ^ 64) }, 2);
        return false;
    }
    if (lines && c && (u8)c == tty_termios.cc[VKILL]) {
        for (; tty_tail != tty_line; tty_tail--)
            tty_echo("\b \b", 3);
        return false;
    }
    if (lines && c == 4) {
        tty_eof += tty_line == tty_tail;
        tty_line = tty_tail;
        return true;
    }
    if (lines && (c == 127 || c == 8)) {
        if (tty_tail != tty_line) {
            tty_tail--;
            tty_echo("\b \b", 3);
        }
        return false;
    }
    if (tty_tail - tty_head == TTY_BUFFER)
        return false;
    tty_buf[tty_tail++ % TTY_BUFFER] = c;
    tty_echo(&c, 1);
    if (!lines || c == '\n')
        tty_line = tty_tail;
    return !lines || c == '\n';
}

static bool tty_interrupt(void *arg)
{
    bool line = false, data = false;
    u64 sigs = 0;
    int sig;
    spin_lock(&tty_lock);
    inb(UART + 2);
    for (; inb(UART + 5) & LSR_DATA; data = true) {
        line |= tty_type((char)inb(UART), &sig);
        sigs |= sig ? SIG_BIT(sig) : 0;
    }
    spin_unlock(&tty_lock);
    for (spin_lock(&tasklist_lock); sigs; sigs &= sigs - 1)
        signal_send_group(tty_group, __builtin_ctzl(sigs) + 1);
    spin_unlock(&tasklist_lock);
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

/* A program in the background does not get what is typed: it stops. */
static long tty_check_reader(void)
{
    struct process *p = current->proc;
    if (!tty_sid || p->sid != tty_sid || p->pgid == tty_group)
        return 0;
    if (p->actions[SIGTTIN].handler == SIG_IGN || current->sigmask & SIG_BIT(SIGTTIN))
        return -EIO;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    signal_send_group(p->pgid, SIGTTIN);
    spin_unlock_irqrestore(&tasklist_lock, f);
    return signal_pending(current) ? -ERESTARTSYS : -EIO;
}

static ssize_t tty_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    char chunk[128];
    long background = tty_check_reader();
    if (background)
        return background;
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

/* A session's leader without a terminal takes it, if it is free. */
static long tty_take(void)
{
    struct process *p = current->proc;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    long r = tty_sid == p->sid ? 0 : p->sid != p->pid || tty_sid ? -EPERM : 0;
    if (!r && !tty_sid) {
        tty_sid = p->sid;
        tty_group = p->pgid;
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return r;
}

static long tty_set_group(u64 arg)
{
    struct process *p;
    u32 pgid;
    if (get_user32(&pgid, arg))
        return -EFAULT;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    long r = current->proc->sid == tty_sid && tty_sid ? -EPERM : -ENOTTY;
    list_for_each(p, &all_processes, all_node)
        if (r == -EPERM && p->pgid == (s32)pgid && p->sid == tty_sid)
            r = 0;
    if (!r)
        tty_group = (s32)pgid;
    spin_unlock_irqrestore(&tasklist_lock, f);
    return r;
}

static long tty_open(struct file *f, u32 flags)
{
    if (f->inode->rdev == TTY_OWN) /* /dev/tty: the caller's own */
        return tty_sid && current->proc->sid == tty_sid ? 0 : -ENXIO;
    if (!(flags & O_NOCTTY))
        tty_take();
    return 0;
}

static long tty_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct termios t = tty_termios;
    static const u16 winsize[4] = { 24, 80, 0, 0 };
    bool own = tty_sid && current->proc->sid == tty_sid;
    switch (cmd) {
    case TCGETS: return copy_to_user(arg, &t, sizeof t) ? -EFAULT : 0;
    case TCSETS: case TCSETS + 1: case TCSETS + 2:
        if (copy_from_user(&t, arg, sizeof t))
            return -EFAULT;
        tty_set(&t);
        return 0;
    case TIOCGWINSZ: return copy_to_user(arg, winsize, sizeof winsize) ? -EFAULT : 0;
    case TIOCSCTTY: return tty_take();
    case TIOCGPGRP: return own ? put_user32(arg, (u32)tty_group) : -ENOTTY;
    case TIOCGSID: return own ? put_user32(arg, (u32)tty_sid) : -ENOTTY;
    case TIOCSPGRP: return tty_set_group(arg);
    default: return -ENOTTY;
    }
}

static const struct file_ops tty_ops = { .read = tty_read, .write = tty_write, .poll = tty_poll, .ioctl = tty_ioctl, .open = tty_open };

void console_make_nodes(void)
{
    static const struct { const char *path; u64 rdev; } nodes[] = { { "/dev/console", 5 << 8 | 1 }, { "/dev/tty", TTY_OWN }, { "/dev/ttyS0", 4 << 8 | 64 } };
    for (u32 i = 0; i < ARRAY_SIZE(nodes); i++) {
        struct inode *n = inode_make(nodes[i].path, S_IFCHR | 0620);
        n->ops = &tty_ops;
        n->rdev = nodes[i].rdev;
    }
}
