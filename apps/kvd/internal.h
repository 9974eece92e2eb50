/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the core's sources share, grouped under the file that owns it. Each calls only those above it:
 * bytes.c < heap.c < store.c < reply.c < command.c < serve.c.
 */
#ifndef KVD_INTERNAL_H
#define KVD_INTERNAL_H

#include <stdbool.h>

#include "kvd.h"

#define KVD_KEY_MAX 250         /* longest key in bytes */
#define KVD_ITEM_MAX (1u << 20) /* largest item in bytes, header included */
#define KVD_REPLY_PARTS 2048    /* answers to commands, or values, in one answer */
#define KVD_REPLY_BYTES (8u << 20)
#define KVD_DECIMAL 20          /* digits of the largest 64-bit number */
#define KVD_CRLF 2

/* --- bytes.c: no state --- */

struct kvd_span {
    const uint8_t *at;
    size_t length;
};

void kvd_copy(uint8_t *to, const uint8_t *from, size_t length);
void kvd_fill(uint8_t *to, uint8_t value, size_t length);
bool kvd_equal(const uint8_t *a, const uint8_t *b, size_t length);
bool kvd_is(struct kvd_span word, const char *text);
uint32_t kvd_hash(const uint8_t *key, size_t length);
size_t kvd_decimal(uint8_t *to, uint64_t value); /* writes at most KVD_DECIMAL digits; returns how many */
size_t kvd_digits(uint64_t value);
bool kvd_parse_unsigned(struct kvd_span text, uint64_t *value);
bool kvd_parse_signed(struct kvd_span text, int64_t *value);

/* --- heap.c: one stripe's memory; the caller holds the stripe's lock --- */

#define KVD_HEAP_BINS 128

struct kvd_heap {
    uint8_t *base;
    uint32_t units;     /* of 8 bytes */
    uint32_t used;      /* units handed out, their headers included */
    uint64_t bins[KVD_HEAP_BINS / 64]; /* bit set: the bin's list is not empty */
    uint32_t first[KVD_HEAP_BINS];
};

void kvd_heap_init(struct kvd_heap *heap, uint8_t *base, size_t bytes);
void *kvd_heap_take(struct kvd_heap *heap, size_t bytes); /* NULL when no free block is large enough */
void kvd_heap_give(struct kvd_heap *heap, void *block);
size_t kvd_heap_largest(const struct kvd_heap *heap); /* what an empty heap could hand out in one block [bytes] */

/* --- store.c: items, found by key; takes the locks --- */

struct kvd_item {
    struct kvd_item *next;   /* in its bucket */
    struct kvd_item *newer;  /* in its stripe's order of use */
    struct kvd_item *older;
    uint64_t cas;            /* unique number of this value */
    uint64_t expires;        /* on the port's clock [s]; 0: never */
    uint32_t hash;
    uint32_t refs;           /* one for being in the table, one for each answer under way that shows it */
    uint32_t flags;
    uint32_t value_length;   /* without the line end stored behind it */
    uint8_t key_length;
    uint8_t bytes[];         /* key, value, "\r\n" */
};

struct kvd_stripe {
    struct kvd_lock lock;
    struct kvd_item **buckets;
    uint32_t bucket_mask;
    struct kvd_item *newest, *oldest;
    uint64_t items, evictions;
    struct kvd_heap heap;
} __attribute__((aligned(64)));

enum kvd_verb { KVD_SET, KVD_ADD, KVD_REPLACE, KVD_APPEND, KVD_PREPEND, KVD_CAS };

enum kvd_result {
    KVD_DONE,
    KVD_NOT_STORED,
    KVD_EXISTS,
    KVD_NOT_FOUND,
    KVD_TOO_LARGE,
    KVD_NO_MEMORY,
    KVD_NOT_A_NUMBER,
};

/* A value on its way in: what a storage command says. */
struct kvd_update {
    enum kvd_verb verb;
    struct kvd_span key;
    struct kvd_span value; /* without its line end */
    uint32_t flags;
    uint64_t expires;
    uint64_t cas; /* for KVD_CAS: the number the present value must have */
};

/* One answer under construction: parts in order, their bytes laid down only when all are known. */
struct kvd_part {
    const char *text;      /* constant text; NULL: see item */
    struct kvd_item *item; /* a value to show (referenced); NULL: `number` in decimal */
    uint64_t number;       /* or for a value: its cas number */
    uint32_t length;       /* bytes this part comes to */
    bool with_cas;
};

struct kvd_worker {
    struct kvd *kvd;
    uint64_t now;          /* the port's clock, read at most once for a datagram */
    bool now_known;
    uint32_t parts;
    uint32_t settled;      /* parts that an error further on in the datagram does not take back */
    uint64_t reply_bytes;
    uint64_t get_hits, get_misses, sets; /* written by this worker, read by any */
    struct kvd_part part[KVD_REPLY_PARTS];
} __attribute__((aligned(64)));

struct kvd {
    struct kvd_config config;
    struct kvd_stripe *stripe;
    struct kvd_worker *worker;
    uint32_t stripe_mask;
    uint64_t cas __attribute__((aligned(64)));         /* last number given out (atomic) */
    uint64_t flushed_cas __attribute__((aligned(64))); /* items with this number or a lower one are gone (atomic) */
    uint64_t flush_at;                                 /* port's clock of a flush to come; 0: none (atomic) */
};

static inline void kvd_tally(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

uint64_t kvd_now(struct kvd_worker *worker);
uint64_t kvd_expiry(struct kvd_worker *worker, int32_t exptime); /* exptime as memcached defines it -> `expires` */

/* A live item with a reference for the caller, now the most recently used; NULL when there is none. */
struct kvd_item *kvd_store_get(struct kvd_worker *worker, struct kvd_span key);
/* The same, and changes when the item expires. */
struct kvd_item *kvd_store_get_touch(struct kvd_worker *worker, struct kvd_span key, uint64_t expires);
void kvd_store_release(struct kvd *kvd, struct kvd_item *item);
enum kvd_result kvd_store_update(struct kvd_worker *worker, const struct kvd_update *update);
enum kvd_result kvd_store_delete(struct kvd_worker *worker, struct kvd_span key);
/* Adds or (down) subtracts; *number is the new value. Subtracting stops at 0, adding wraps at 2^64. */
enum kvd_result kvd_store_count(struct kvd_worker *worker, struct kvd_span key, bool down, uint64_t delta, uint64_t *number);
void kvd_store_flush(struct kvd_worker *worker, int32_t delay);

/* --- reply.c --- */

/* Each returns false when the answer has become too long; it then ends with an error that says so. */
bool kvd_reply_text(struct kvd_worker *worker, const char *text);
bool kvd_reply_number(struct kvd_worker *worker, uint64_t number);
bool kvd_reply_value(struct kvd_worker *worker, struct kvd_item *item, bool with_cas); /* takes the reference */
void kvd_reply_cut(struct kvd_worker *worker, uint32_t parts); /* forgets all but the first `parts` */
void kvd_reply_send(struct kvd_worker *worker, const uint8_t *request_id, const struct kvd_sink *sink);

/* --- command.c --- */

/* Serves the commands in `text`, one after the other, adding their answers to the worker's reply. */
void kvd_commands(struct kvd_worker *worker, struct kvd_span text);

#endif
