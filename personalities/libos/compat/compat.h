/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux's system calls as calls of libos, for one static Linux program in the image's own address space and ring. What the
 * sources share, grouped under the file that owns it. README.md says how it fits together.
 */
#ifndef COMPAT_H
#define COMPAT_H

#include "../kernel/cpu.h"
#include "lend.h"

#define PAGE_BYTES 0x1000ull

/* Linux's numbers (UAPI headers, x86-64). */
enum {
    LINUX_EPERM = 1, LINUX_ENOENT = 2, LINUX_ESRCH = 3, LINUX_EINTR = 4, LINUX_EIO = 5, LINUX_EBADF = 9, LINUX_EAGAIN = 11, LINUX_ENOMEM = 12, LINUX_EACCES = 13,
    LINUX_EFAULT = 14, LINUX_EINVAL = 22, LINUX_EMFILE = 24, LINUX_ENOTTY = 25, LINUX_ESPIPE = 29, LINUX_ENOSYS = 38,
    LINUX_ENOTSOCK = 88, LINUX_EDESTADDRREQ = 89, LINUX_EMSGSIZE = 90, LINUX_EAFNOSUPPORT = 97, LINUX_EADDRINUSE = 98,
    LINUX_EADDRNOTAVAIL = 99, LINUX_ETIMEDOUT = 110,
};

/* ---- thread.c: the program's threads, each on a stack of its own, run by their vCPU's events until they wait ---- */

/*
 * Where a thread goes on. Saved when it waits (entry.S knows the offsets); a call that does not wait saves nothing here.
 */
struct thread_registers {
    uint64_t rsp, rip, rbx, rbp, r12, r13, r14, r15, rdi, rsi, rdx, r8, r9, r10;
    int64_t rax;
};

struct thread {
    struct thread_registers registers;
    uint32_t id, cpu;
    struct thread *next;            /* in the list of what it waits for */
    struct event event;             /* which makes it go on */
    struct timer timer;
    uint64_t fs_base;
    uint32_t *clear_id;             /* zeroed, and its waiters woken, when it ends */
    uint64_t want[8];               /* what it waits for; its call's business */
    bool adrift;                    /* it waits with a request under way */
    uint8_t fpu[512] __attribute__((aligned(16)));
};

/* Of one vCPU; EBB_THREADS' representative. */
struct threads {
    struct thread *current;         /* entry.S knows the first three */
    uint64_t event_rsp;             /* the event's stack, while a thread runs */
    uint64_t thread_rsp;            /* the thread's, while a call runs */
    struct thread *loaded;          /* whose FS base and FPU registers are in the processor: events use neither */
    bool in_frame;                  /* the thread runs in the event that its datagram came with */
};

#define EBB_THREADS 480
#define THREAD_WAITS INT64_MIN      /* what a call returns that has put its thread somewhere to be found */

void thread_init(void);             /* on vCPU 0, once */
struct thread *thread_new(uint64_t rip, uint64_t rsp);      /* NULL: no memory */
void thread_start(struct thread *thread);                   /* on its vCPU */
static inline struct threads *threads_here(void) { return ebb_rep(EBB_THREADS); }
static inline struct thread *thread_current(void) { return threads_here()->current; }

/* It waits, with its request, for something that is not a datagram; `reason` as in manifest.toml. Returns THREAD_WAITS. */
int64_t thread_wait_for_lock(struct thread *thread);
int64_t thread_wait_for_event(struct thread *thread);
int64_t thread_yield(int64_t result);                       /* lets events in between */
int64_t thread_yield_to(unsigned cpu, int64_t result);
void thread_go_on(struct thread *thread, int64_t result);   /* from any vCPU: a waiting thread's call returns */
void thread_run_in_frame(struct thread *thread, int64_t result);    /* the same, now, on its vCPU, in a datagram's event */

struct clone_frame;
int64_t linux_clone(uint64_t flags, uint64_t stack, uint32_t *parent_id, uint32_t *child_id, uint64_t tls, struct clone_frame *frame);
int64_t linux_exit(uint64_t status);

/* ---- table.c: by number ---- */

typedef int64_t (*linux_fn)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

extern const linux_fn linux_table[];
extern const uint64_t linux_count;
void linux_init(void);              /* SYSCALL on every vCPU */
void linux_say_once(uint64_t kind, const char *format, uint64_t value);     /* on the console, once for each kind and value */
#define LINUX_NR_LEND 1000          /* ours (socket_lend) */
int64_t linux_gate(int64_t number, ...);    /* the same calls as a function (AT_SYSINFO) */

/* ---- memory.c: what mmap gives; protect.c: rights of pages ---- */

enum { RIGHT_READ = 1, RIGHT_WRITE = 2, RIGHT_EXEC = 4 };   /* PROT_* and, in this order, not PF_* */

bool protect_pages(uint64_t start, uint64_t end, unsigned rights);     /* false: no memory for tables */
bool protect_is_writable(uint64_t page);        /* of mapped memory */
void memory_init(uint64_t break_start, uint64_t break_end);
void *memory_map(uint64_t bytes);   /* zeroed, whole pages; NULL: none left */

/* ---- program.c: the program's file ---- */

struct program {
    const uint8_t *file;
    uint64_t bytes;
    const char *name;
    uint64_t entry, end;            /* end: first page behind it */
    uint64_t headers, header_count; /* in memory; 0: not loaded */
    int64_t (*gate)(int64_t, ...);  /* told to it (AT_SYSINFO); NULL: it is to use SYSCALL */
};

/* Loads it, or ends the run with one sentence. */
void program_load(struct program *program);
uint64_t program_stack(const struct program *program, int argc, char **argv);   /* the stack pointer of its first instruction */

/* ---- boot_module.c ---- */

bool boot_module_get(struct program *program);

/* ---- files.c, socket.c, remote.c: descriptors ---- */

struct socket;
struct file {
    enum { FILE_FREE, FILE_CONSOLE, FILE_SOCKET, FILE_REMOTE } kind;
    uint32_t flags;                 /* O_NONBLOCK */
    struct socket *socket;
    uint32_t fid;                   /* of a remote one */
    uint64_t offset;
};

struct linux_stat {                 /* struct stat */
    uint64_t device, inode, links;
    uint32_t mode, user, group, padding;
    uint64_t of_device, bytes, block_bytes, blocks;
    uint64_t rest[9];
};

void file_stat(struct linux_stat *stat, bool folder, uint32_t rights, uint64_t bytes);

#define LINUX_O_NONBLOCK 04000u

struct file *file_get(uint64_t fd); /* NULL: not open */
int64_t file_new(int kind, struct socket *socket, uint32_t flags);
void socket_close(struct socket *socket);

/* Joins the application's general-purpose node, if the command line names one. Calls on files return THREAD_WAITS, or an error. */
void remote_start(const char *name);
bool remote_is_there(void);
int64_t remote_open(const char *path, uint32_t flags, struct linux_stat *stat);    /* with `stat`: only that */
int64_t remote_read(struct file *file, void *into, uint64_t bytes);
int64_t remote_write(struct file *file, const void *from, uint64_t bytes);
int64_t remote_stat(struct file *file, struct linux_stat *stat);
int64_t remote_close(uint32_t fid);

#endif
