/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvd: memcached's ASCII protocol over UDP, without an operating system.
 *
 * The core (the sources listed in core.cmake) is one program for every OS. It takes a datagram, and writes the answer
 * into buffers that its caller hands out. It allocates nothing but the arena given to kvd_create(), makes no system
 * call, and calls nothing outside itself but the port functions below and the four functions that any freestanding C
 * compiler asks for (memcpy, memmove, memset, memcmp).
 *
 * Concurrency: kvd_serve() may run on several workers at once, each with its own worker number. No lock is held while
 * the sink is called: a sink may block, switch threads or reuse the stack's buffers.
 */
#ifndef KVD_H
#define KVD_H

#include <stddef.h>
#include <stdint.h>

#define KVD_VERSION "1.6.18" /* what `version` answers: the memcached whose answers are reproduced */

#define KVD_UDP_HEADER 8      /* request id, sequence number, number of datagrams, reserved: four big-endian uint16 */
#define KVD_UDP_PAYLOAD 1400  /* largest answer datagram in bytes, header included, as memcached sends */
#define KVD_MAX_WORKERS 64
#define KVD_MAX_STRIPES 64

struct kvd; /* one key-value store and its workers; lives in the arena */

struct kvd_config {
    unsigned workers; /* how many workers will call kvd_serve(): 1..KVD_MAX_WORKERS */
    unsigned stripes; /* locks of the hash table: 1 is one global lock; 0 takes the default; else a power of two */
    size_t budget;    /* bytes for items, their headers included; least recently used items go first; >= 256 KiB */
    uint64_t epoch;   /* Unix time at which kvd_port_seconds() was 0 [s]; 0 where the machine does not know */
};

/* Bytes of arena that kvd_create() needs for this configuration; 0 when the configuration is out of range. */
size_t kvd_size(const struct kvd_config *config);

/*
 * Builds a store in `arena` (`bytes` long, aligned to 64, zeroed or not). NULL when the configuration is out of range or
 * the arena is smaller than kvd_size() says. The arena belongs to the store from then on; there is no destroy.
 */
struct kvd *kvd_create(void *arena, size_t bytes, const struct kvd_config *config);

/*
 * Where answers go. For each answer datagram, in order: begin() hands out a buffer of *cap bytes (at least
 * KVD_UDP_HEADER + 1; more than KVD_UDP_PAYLOAD is not used), the core writes the UDP payload straight into it, end()
 * takes it back with its length and sends it. *cap must be the same for all datagrams of one kvd_serve() call. One buffer is out
 * at a time, and each begin() that returned one is followed by its end(). begin() may return NULL (no buffer): the rest
 * of this answer is dropped, as the network might have.
 */
struct kvd_sink {
    uint8_t *(*begin)(void *ctx, size_t *cap);
    void (*end)(void *ctx, uint8_t *buffer, size_t length);
    void *ctx;
};

/*
 * Serves one request datagram (UDP payload, any bytes, any length), which must stay unchanged until the call returns.
 * Answers, if any, have gone through the sink by then. Several commands in one datagram are all served, and answered
 * together: one answer, whose datagrams are numbered 0..total-1 in their frame headers.
 */
void kvd_serve(struct kvd *kvd, unsigned worker, const uint8_t *datagram, size_t length, const struct kvd_sink *sink);

/* --- What the OS side provides --- */

/* All zero bytes is an unlocked lock. A port keeps what it likes in `word`; a line of its own keeps neighbours apart. */
struct kvd_lock {
    uint32_t word[4];
} __attribute__((aligned(64)));

/* Mutual exclusion between workers. Held for a few hundred instructions at most, never nested, never across a sink call. */
void kvd_lock_acquire(struct kvd_lock *lock);
void kvd_lock_release(struct kvd_lock *lock);

/* Seconds on a clock that never goes back, from any origin. Only called when an item expires or a flush is pending. */
uint64_t kvd_port_seconds(void);

#endif
