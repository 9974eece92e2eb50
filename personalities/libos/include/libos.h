/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an application linked into a libos image may call.
 *
 * Everything runs in ring 0, in one address space, on one event loop per vCPU. An event (a handler, a timer, the
 * arrival of a datagram) runs to completion: nothing preempts it, interrupts are off while it runs, and two events of
 * one vCPU never overlap. Data touched from one vCPU only therefore needs no lock.
 */
#ifndef LIBOS_H
#define LIBOS_H

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define LIBOS_MAX_CPUS 16

/* ---- the application itself ---- */

/* Runs once, as an event of vCPU 0, when every vCPU and the network are up. The words are those after " -- ". */
void app_main(int argc, char **argv);

/* Ends the run: writes `status` to port 0xF4, then halts for ever. */
void machine_exit(uint32_t status) __attribute__((noreturn));

/* Prints, then ends the run with status 125. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Value of a `key=value` word of the command line, or `fallback`. */
const char *cmdline_get(const char *key, const char *fallback);

/* ---- processors ---- */

unsigned cpu_id(void);    /* 0 .. cpu_count() - 1 */
unsigned cpu_count(void);

/* ---- console: whole calls come out unbroken, whichever vCPU prints ---- */

void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void console_vprintf(const char *format, va_list args);
/* %c %s %d %i %u %x %X %p %%, with l, ll, z, width, '0' and '-'. Returns the length the whole text has. */
int format_string(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int format_vstring(char *out, size_t size, const char *format, va_list args);

/* From now on also shown what is printed, call by call, in order; not what a panic says. NULL: nobody is. */
typedef void (*console_tap_fn)(const char *text, size_t length);
void console_tap(console_tap_fn fn);

/* ---- time ---- */

uint64_t clock_ns(void);        /* since boot, monotonic, the same on every vCPU */
uint64_t clock_cycles(void);    /* the TSC */
uint64_t clock_hz(void);        /* the TSC's frequency */

/* ---- events ---- */

typedef void (*event_fn)(void *arg);

struct event {
    struct event *next;
    event_fn fn;
    void *arg;
    uint32_t queued;            /* used by event_raise */
    uint32_t allocated;
};

/*
 * Runs fn(arg) later, on vCPU `cpu`. Events that one vCPU spawns on another (or on itself) run in the order of
 * spawning. False when memory is exhausted.
 */
bool event_spawn(unsigned cpu, event_fn fn, void *arg);

/* The same with storage of the caller's, which must stay untouched until the event runs. */
void event_post(unsigned cpu, struct event *event, event_fn fn, void *arg);

uint64_t event_count(unsigned cpu);      /* events that ran on that vCPU, so far */

/* ---- locks ---- */

/* A ticket lock. Zero is unlocked. */
struct spinlock {
    uint16_t serving;
    uint16_t next;
};

void spin_lock(struct spinlock *lock);
bool spin_trylock(struct spinlock *lock);
void spin_unlock(struct spinlock *lock);
uint64_t spin_waits(void);      /* how often this vCPU found a lock held, so far */

/* ---- timers: of the vCPU that starts them ---- */

struct timer {
    uint64_t deadline;          /* in TSC cycles */
    event_fn fn;
    void *arg;
    uint32_t slot;              /* 1-based place in the heap; 0: not running */
};

bool timer_start(struct timer *timer, uint64_t delay_ns, event_fn fn, void *arg);   /* restarts a running one */
void timer_cancel(struct timer *timer);

/* ---- futures: a value that comes later, or an error instead ---- */

enum { FUTURE_PENDING, FUTURE_FULFILLED, FUTURE_FAILED };

struct future_wait {
    struct future_wait *next;
    struct event event;
    event_fn fn;
    void *arg;
    unsigned cpu;
};

/* All zero: pending. Of the one who made it, who keeps it until all that wait have run. */
struct future {
    struct spinlock lock;
    uint32_t state;
    int error;                  /* of a failed one; what it says is its maker's business */
    void *value;
    struct future_wait *first, *last;
};

/*
 * Runs fn(arg) as an event of the calling vCPU once the future is decided, also if it is already. `wait` is the caller's and stays
 * untouched until then. Those of one vCPU that asked before it was decided run in that order.
 */
void future_then(struct future *future, struct future_wait *wait, event_fn fn, void *arg);

/* Decides it, once and from any vCPU; a second time is a panic. */
void future_fulfil(struct future *future, void *value);
void future_fail(struct future *future, int error);

static inline bool future_decided(const struct future *future)
{
    return __atomic_load_n(&future->state, __ATOMIC_ACQUIRE) != FUTURE_PENDING;
}

void *future_value(const struct future *future);        /* of a fulfilled one; a panic otherwise */

/* ---- memory: any vCPU may free what another allocated ---- */

void *mem_alloc(size_t size);   /* 16-byte aligned; NULL when exhausted */
void *mem_zalloc(size_t size);
void mem_free(void *memory);    /* NULL is allowed */
size_t mem_free_bytes(void);    /* what no vCPU holds yet, in whole 64 KiB chunks */

/* ---- Ebbs: one name, a representative per vCPU ---- */

typedef uint32_t ebb_id;

#define EBB_MAX 512             /* ids are below this */

enum { EBB_NONE, EBB_MEM, EBB_IOBUF, EBB_EVENT, EBB_TIMER, EBB_UDP, EBB_ARP, EBB_NETDEV, EBB_FIRST_FREE };

/*
 * Makes the representative of the calling vCPU when it first calls the Ebb. `root` is the Ebb's shared part. Must not
 * return NULL.
 */
typedef void *(*ebb_miss_fn)(ebb_id id, void *root);

ebb_id ebb_create(ebb_miss_fn miss, void *root);
ebb_id ebb_create_shared(void *object);         /* one representative, of all vCPUs: `object` */
void ebb_install(ebb_id id, ebb_miss_fn miss, void *root);
void *ebb_fault(ebb_id id);                     /* slow path: not to be called directly */
void *ebb_peek(ebb_id id, unsigned cpu);        /* another vCPU's representative, or NULL if not yet faulted in */

/* The first field of each vCPU's control block, which the GS base points to. */
#define EBB_SLOT(id) (*(void *__seg_gs *)(uintptr_t)((uint64_t)(id) * 8))

static inline void *ebb_rep(ebb_id id)
{
    void *rep = EBB_SLOT(id);

    return __builtin_expect(rep != NULL, 1) ? rep : ebb_fault(id);
}

/* ---- iobufs: a buffer that a frame arrives in or leaves from, never copied in between ---- */

struct iobuf_pool;

struct iobuf {
    struct iobuf *next;
    uint8_t *data;              /* first valid byte */
    uint32_t len;               /* valid bytes */
    uint16_t flags;
    uint16_t csum_offset;       /* with IOBUF_CSUM_NEEDED: where the sum goes, from csum_start */
    uint8_t *csum_start;
    struct iobuf_pool *pool;    /* of the vCPU it belongs to */
    struct event event;         /* for moving the buffer to another vCPU */
    void (*moved)(struct iobuf *buf, void *arg);
    void *moved_arg;
};

#define IOBUF_SIZE 2048u        /* aligned to its size */
#define IOBUF_CSUM_OK 1         /* received, and the device vouches for the transport checksum */
#define IOBUF_CSUM_NEEDED 2     /* to send: the device completes the transport checksum */

/* An empty buffer whose data begin where a UDP payload goes (headers fit in front). NULL when memory is exhausted. */
struct iobuf *iobuf_alloc_tx(void);
void iobuf_free(struct iobuf *buf);

/*
 * Runs fn(buf, arg) on another vCPU (or, as an event, on this one), which thereby takes the buffer over. A request that
 * moves like this is still followed; one whose buffer merely goes along with an event_spawn is not.
 */
typedef void (*iobuf_fn)(struct iobuf *buf, void *arg);

void iobuf_move(unsigned cpu, struct iobuf *buf, iobuf_fn fn, void *arg);

static inline uint8_t *iobuf_end(struct iobuf *buf)
{
    return buf->data + buf->len;
}

/* Bytes that still fit behind the data (the payload of a UDP datagram is at most UDP_MAX_PAYLOAD). */
static inline uint32_t iobuf_room(const struct iobuf *buf)
{
    return (uint32_t)((const uint8_t *)buf + IOBUF_SIZE - (buf->data + buf->len));
}

static inline uint8_t *iobuf_push(struct iobuf *buf, uint32_t bytes)    /* uncover bytes in front */
{
    buf->data -= bytes;
    buf->len += bytes;
    return buf->data;
}

static inline void iobuf_pull(struct iobuf *buf, uint32_t bytes)        /* drop bytes in front */
{
    buf->data += bytes;
    buf->len -= bytes;
}

/* ---- UDP ---- */

#define UDP_MAX_PAYLOAD 1472u   /* datagrams are not fragmented */

struct udp_peer {
    uint32_t ip;                /* network byte order */
    uint16_t port;              /* network byte order */
    uint8_t mac[6];             /* the next hop; all zero: find it by ARP */
};

/*
 * Runs on the vCPU that received the frame, in the same event. `rx->data`, `rx->len` are the payload, in the place
 * where the device wrote it. The buffer belongs to the handler: free it, or send it.
 */
typedef void (*udp_handler)(void *ctx, const struct udp_peer *from, struct iobuf *rx);

bool udp_bind(uint16_t port, udp_handler handler, void *ctx);   /* false: port taken, or too many */

/*
 * Sends `payload` (which it takes over, even when it fails) from `port`. The frame leaves by the transmit queue of the
 * calling vCPU, when the current event ends. False: too long, or no memory.
 */
bool udp_send(uint16_t port, const struct udp_peer *to, struct iobuf *payload);

uint32_t net_address(void);     /* our IPv4 address, network byte order */

/* ---- the few C library functions a freestanding compiler expects ---- */

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memchr(const void *memory, int byte, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);

#endif
