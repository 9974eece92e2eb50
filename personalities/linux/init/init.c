// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Process 1 of the linux personality: brings a guest from the kernel's start to a program that serves, says so, and sleeps.
 *
 * What to do stands in /init.conf: records of a word, a space and a value, each ended by a zero byte, done in their order:
 *
 *     write PATH TEXT        a file (sysctl) gets the text
 *     seed HEX               entropy for the kernel, credited in full
 *     module PATH            loaded
 *     loopback up
 *     address A.B.C.D/N      of eth0, which comes up
 *     gateway A.B.C.D
 *     mount TYPE PATH        the folder is made where there is none
 *     applets PATH           links in /bin for all that busybox can be called as
 *     window ROWS COLUMNS    of the console
 *     env NAME=VALUE         of the program
 *     argument WORD          of the program; the first is its path
 *     ready udp PORT | tcp PORT | asleep | entry | never
 *
 * When the program has that port open (or "asleep" alone) and nothing in the guest runs any more (and not "never"), what runs where is told on the console
 * (report.c), and then "init: ready"; for "entry", when the program stands at its first instruction, with its libraries loaded (entry.c).
 * When the program ends, so does the machine, with its status; one that ends well before it serves and leaves processes behind has gone to the
 * background: then these are the program. Signals that ask other inits for power-off, halt and restart do so here.
 */
#include "init.h"

enum { MAX_CONFIG = 1 << 20, MAX_WORDS = 1024, POLL_NANOSECONDS = 1000000, DEBUG_EXIT_PORT = 0xF4, BACKGROUND = -1,
       SIGUSR1 = 10, SIGUSR2 = 12, SIGTERM = 15, SIGCHLD = 17, SIG_BLOCK = 0, SIG_UNBLOCK = 1,
       POWER_OFF = 0x4321fedc, HALT = (int)0xcdef0123, RESTART = 0x01234567 };

static const uint64_t signals = 1ull << (SIGUSR1 - 1) | 1ull << (SIGUSR2 - 1) | 1ull << (SIGTERM - 1) | 1ull << (SIGCHLD - 1);

static char config[MAX_CONFIG];
static char *arguments[MAX_WORDS + 1], *environment[MAX_WORDS + 1];
static unsigned narguments, nenvironment;
static const char *awaited = "asleep";

static const char *after(const char *record, const char *word)
{
    while (*word != '\0')
        if (*record++ != *word++)
            return NULL;
    return *record == ' ' ? record + 1 : NULL;
}

static void reboot(int how)
{
    sys(NR_REBOOT, (long)0xfee1dead, 672274793, how);
}

/* Ends the machine: by the debug-exit port, which stops the emulator with the status, or by power-off where there is none. */
_Noreturn void end_machine(int status)
{
    if (sys(NR_IOPERM, DEBUG_EXIT_PORT, 1, 1) == 0)
        __asm__ volatile("outb %0, %1" : : "a"((uint8_t)status), "Nd"((uint16_t)DEBUG_EXIT_PORT));
    reboot(POWER_OFF);
    for (;;)
        sys(NR_PAUSE, 0, 0, 0);
}

_Noreturn void fail(const char *what, const char *name, long error)
{
    struct text t = {0};
    text_add(&t, "init: ");
    text_add(&t, what);
    text_add(&t, name);
    if (error < 0) {
        text_add(&t, ": error ");
        text_number(&t, (uint64_t)-error, 10);
    }
    text_line(&t);
    end_machine(FAILED);
}

static void mount_all(void)
{
    static const struct { const char *type, *at; } mounts[] = {
        { "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" } };   /* the root is in memory already: /tmp and /run need no other */
    for (unsigned i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        long result = sys5(NR_MOUNT, (long)mounts[i].type, (long)mounts[i].at, (long)mounts[i].type, 0, 0);
        if (result < 0)
            fail("cannot mount ", mounts[i].at, result);
    }
}

static char *cut(char *value) /* behind its first space, which becomes its end */
{
    while (*value != '\0' && *value != ' ')
        value++;
    if (*value == ' ')
        *value++ = '\0';
    return value;
}

static void mount_one(char *type)
{
    char *at = cut(type);
    long result = sys(NR_MKDIR, (long)at, 0755, 0);
    if (result >= 0 || result == -EEXIST)
        result = sys5(NR_MOUNT, (long)type, (long)at, (long)type, 0, 0);
    if (result < 0)
        fail("cannot mount ", at, result);
}

static void make_applets(char *path)
{
    char *words[] = { path, "--install", "-s", "/bin", NULL }, *none[] = { NULL };
    int how = 0;
    long child = sys(NR_FORK, 0, 0, 0);
    if (child == 0)
        fail("cannot run ", path, sys(NR_EXECVE, (long)path, (long)words, (long)none));
    if (child < 0 || sys5(NR_WAIT4, child, (long)&how, 0, 0, 0) != child || how != 0)
        fail("cannot make links for the applets of ", path, 0);
}

static void set_window(char *rows)
{
    char *columns = cut(rows);
    uint16_t size[4] = { (uint16_t)rt_parse(rows, 1, 65535), (uint16_t)rt_parse(columns, 1, 65535), 0, 0 };
    long result = sys(NR_IOCTL, 0, 0x5414 /* TIOCSWINSZ */, (long)size);
    if (result < 0)
        fail("cannot set the window of ", "/dev/console", result);
}

static void write_file(char *value)
{
    char *text = cut(value);
    long fd = sys(NR_OPEN, (long)value, O_WRONLY, 0);
    long result = fd < 0 ? fd : sys(NR_WRITE, fd, (long)text, (long)length_of(text));
    if (result < 0)
        fail("cannot write ", value, result);
    sys(NR_CLOSE, fd, 0, 0);
}

static unsigned nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10) & 15;
}

static void add_entropy(const char *hex)
{
    struct { int32_t bits, bytes; uint8_t data[64]; } pool = {0};
    while (hex[0] != '\0' && hex[1] != '\0' && pool.bytes < 64) {
        pool.data[pool.bytes++] = (uint8_t)(nibble(hex[0]) << 4 | nibble(hex[1]));
        hex += 2;
    }
    pool.bits = 8 * pool.bytes;
    long fd = sys(NR_OPEN, (long)"/dev/random", O_WRONLY, 0);
    long result = fd < 0 ? fd : sys(NR_IOCTL, fd, 0x40085203 /* RNDADDENTROPY */, (long)&pool);
    if (result < 0)
        fail("cannot seed ", "/dev/random", result);
    sys(NR_CLOSE, fd, 0, 0);
}

static void load_module(const char *path)
{
    long fd = sys(NR_OPEN, (long)path, O_RDONLY, 0);
    long result = fd < 0 ? fd : sys(NR_FINIT_MODULE, fd, (long)"", 0);
    if (result < 0)
        fail("cannot load the module ", path, result);
    sys(NR_CLOSE, fd, 0, 0);
}

static void follow_config(long bytes)
{
    for (char *at = config, *next, *value; at < config + bytes; at = next) {
        next = at + length_of(at) + 1;
        if ((value = (char *)after(at, "write")))
            write_file(value);
        else if ((value = (char *)after(at, "seed")))
            add_entropy(value);
        else if ((value = (char *)after(at, "module")))
            load_module(value);
        else if (after(at, "loopback"))
            network_loopback();
        else if ((value = (char *)after(at, "address")))
            network_address(value);
        else if ((value = (char *)after(at, "gateway")))
            network_gateway(value);
        else if ((value = (char *)after(at, "ready")))
            awaited = value;
        else if ((value = (char *)after(at, "mount")))
            mount_one(value);
        else if ((value = (char *)after(at, "applets")))
            make_applets(value);
        else if ((value = (char *)after(at, "window")))
            set_window(value);
        else if ((value = (char *)after(at, "env")) && nenvironment < MAX_WORDS)
            environment[nenvironment++] = value;
        else if ((value = (char *)after(at, "argument")) && narguments < MAX_WORDS)
            arguments[narguments++] = value;
        else
            fail("does not know this line of /init.conf: ", at, 0);
    }
    if (narguments == 0)
        fail("/init.conf names no program", "", 0);
}

static long start_program(void)
{
    long child = sys(NR_FORK, 0, 0, 0);
    if (child < 0)
        fail("cannot fork", "", child);
    if (child > 0)
        return child;
    sys(NR_SETSID, 0, 0, 0);
    sys(NR_IOCTL, 0, 0x540E /* TIOCSCTTY */, 1);
    sys5(NR_RT_SIGPROCMASK, SIG_UNBLOCK, (long)&signals, 0, sizeof signals, 0);
    if (same(awaited, "entry"))
        trace_me();
    long result = sys(NR_EXECVE, (long)arguments[0], (long)arguments, (long)environment);
    fail("cannot run ", arguments[0], result);
}

static int status_of(int how)
{
    return how & 0x7f ? 128 + (how & 0x7f) : how >> 8 & 0xff;
}

/* The child's end, if it has ended; of one in the background, everybody's. Reaps all, for orphans are ours, too. */
static bool ended(long child, int *status)
{
    for (;;) {
        int how = 0;
        long who = sys5(NR_WAIT4, -1, (long)&how, 1 /* WNOHANG */, 0, 0);
        if (who == -EINTR)
            continue;
        if (who == -ECHILD && child == BACKGROUND)
            return true;
        if (who < 0)
            fail("lost sight of ", arguments[0], who);
        if (who == 0)
            return false;
        if (who != child)
            continue;
        *status = status_of(how);
        return true;
    }
}

static _Noreturn void tell_end(int status)
{
    struct text t = {0};
    text_add(&t, "init: ");
    text_add(&t, arguments[0]);
    text_add(&t, " ended with status ");
    text_number(&t, (uint64_t)status, 10);
    text_line(&t);
    sys(NR_IOCTL, 1, 0x5409 /* TCSBRK: wait until all is sent */, 1);
    end_machine(status);
}

static void wait_for_signal(void)
{
    switch (sys5(NR_RT_SIGTIMEDWAIT, (long)&signals, 0, 0, sizeof signals, 0)) {
    case SIGUSR1: reboot(HALT); break;
    case SIGUSR2: reboot(POWER_OFF); break;
    case SIGTERM: reboot(RESTART); break;
    default: break;
    }
}

int main(void)
{
    sys5(NR_RT_SIGPROCMASK, SIG_BLOCK, (long)&signals, 0, sizeof signals, 0);
    mount_all();
    long console = sys(NR_OPEN, (long)"/dev/console", O_RDWR, 0);
    for (int fd = 0; console >= 0 && fd < 3; fd++)
        if (console != fd)
            sys(NR_DUP2, console, fd, 0);
    if (console > 2)
        sys(NR_CLOSE, console, 0, 0);
    long bytes = read_file("/init.conf", config, sizeof config);
    if (bytes <= 0)
        fail("cannot read ", "/init.conf", bytes);
    follow_config(bytes);

    long child = start_program();
    int status = 0;
    bool entry = same(awaited, "entry"), watched = !entry && !same(awaited, "never");
    if (entry) {
        if (!stop_at_entry(child, &status))
            tell_end(status_of(status));
        report();
        let_go(child);
    }
    while (watched && !is_ready(awaited)) {
        if (ended(child, &status)) {
            if (status != 0 || child == BACKGROUND || !any_process())
                tell_end(status);
            child = BACKGROUND;
        }
        struct rt_timespec pause = { 0, POLL_NANOSECONDS };
        sys(NR_NANOSLEEP, (long)&pause, 0, 0);
    }
    if (watched)
        report();
    while (!ended(child, &status))
        wait_for_signal();
    tell_end(status);
}
