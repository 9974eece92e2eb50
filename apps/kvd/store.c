/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash table. It is cut into stripes by the key's hash; a stripe has its own lock, buckets, order of use and memory, so
 * that a command takes one lock, once. With one stripe that is a global lock.
 *
 * An item is in the table while `refs` counts that; an answer under way counts too. What a counted item shows (key, value,
 * flags, cas) never changes: whoever wants to change it while others count it replaces it instead. References are
 * taken under the stripe's lock; the last one to go gives the memory back.
 */
#include "internal.h"

#define KVD_MONTH (60 * 60 * 24 * 30) /* longest relative exptime [s]; beyond, it is a Unix time */

uint64_t kvd_now(struct kvd_worker *worker)
{
    if (!worker->now_known) {
        worker->now = kvd_port_seconds() + 1; /* 0 means never, or none, elsewhere */
        worker->now_known = true;
    }
    return worker->now;
}

uint64_t kvd_expiry(struct kvd_worker *worker, int32_t exptime)
{
    if (exptime == 0)
        return 0;
    if (exptime < 0)
        return 1;
    if (exptime <= KVD_MONTH)
        return kvd_now(worker) + (uint64_t)exptime;
    uint64_t epoch = worker->kvd->config.epoch;
    return (uint64_t)exptime <= epoch ? 1 : (uint64_t)exptime - epoch + 1;
}

static struct kvd_stripe *kvd_store_stripe(const struct kvd *kvd, uint32_t hash)
{
    return &kvd->stripe[hash & kvd->stripe_mask];
}

static struct kvd_item **kvd_store_bucket(const struct kvd_stripe *stripe, uint32_t hash)
{
    return &stripe->buckets[(hash >> 6) & stripe->bucket_mask]; /* the low bits chose the stripe: KVD_MAX_STRIPES */
}

static uint64_t kvd_store_next_cas(struct kvd *kvd)
{
    return __atomic_add_fetch(&kvd->cas, 1, __ATOMIC_RELAXED);
}

/* --- under the stripe's lock --- */

static void kvd_store_free(struct kvd_stripe *stripe, struct kvd_item *item)
{
    if (__atomic_sub_fetch(&item->refs, 1, __ATOMIC_ACQ_REL) == 0)
        kvd_heap_give(&stripe->heap, item);
}

static void kvd_store_use_first(struct kvd_stripe *stripe, struct kvd_item *item)
{
    item->newer = NULL;
    item->older = stripe->newest;
    if (stripe->newest != NULL)
        stripe->newest->newer = item;
    else
        stripe->oldest = item;
    stripe->newest = item;
}

static void kvd_store_use_none(struct kvd_stripe *stripe, struct kvd_item *item)
{
    if (item->newer != NULL)
        item->newer->older = item->older;
    else
        stripe->newest = item->older;
    if (item->older != NULL)
        item->older->newer = item->newer;
    else
        stripe->oldest = item->newer;
}

static void kvd_store_link(struct kvd_stripe *stripe, struct kvd_item *item)
{
    struct kvd_item **bucket = kvd_store_bucket(stripe, item->hash);
    item->next = *bucket;
    *bucket = item;
    kvd_store_use_first(stripe, item);
    stripe->items++;
}

/* Takes the item out of the table; it lives on while an answer shows it. */
static void kvd_store_unlink(struct kvd_stripe *stripe, struct kvd_item *item)
{
    struct kvd_item **at = kvd_store_bucket(stripe, item->hash);
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    kvd_store_use_none(stripe, item);
    stripe->items--;
    kvd_store_free(stripe, item);
}

static bool kvd_store_is_dead(struct kvd_worker *worker, const struct kvd_item *item)
{
    if (item->cas <= __atomic_load_n(&worker->kvd->flushed_cas, __ATOMIC_RELAXED))
        return true;
    return item->expires != 0 && item->expires <= kvd_now(worker);
}

static struct kvd_item *kvd_store_find(struct kvd_worker *worker, struct kvd_stripe *stripe, uint32_t hash, struct kvd_span key)
{
    struct kvd_item *item = *kvd_store_bucket(stripe, hash);
    while (item != NULL && !(item->hash == hash && item->key_length == key.length &&
                             kvd_equal(item->bytes, key.at, key.length)))
        item = item->next;
    if (item != NULL && kvd_store_is_dead(worker, item)) {
        kvd_store_unlink(stripe, item);
        return NULL;
    }
    return item;
}

/* A block for an item, if need be in the place of the least recently used ones. */
static struct kvd_item *kvd_store_take(struct kvd_stripe *stripe, size_t bytes)
{
    struct kvd_item *item;
    while ((item = kvd_heap_take(&stripe->heap, bytes)) == NULL && stripe->oldest != NULL) {
        kvd_store_unlink(stripe, stripe->oldest);
        stripe->evictions++;
    }
    return item;
}

static enum kvd_result kvd_store_new(struct kvd_stripe *stripe, uint32_t hash, struct kvd_span key, size_t value_length,
                                     struct kvd_item **made)
{
    size_t bytes = offsetof(struct kvd_item, bytes) + key.length + value_length + KVD_CRLF;
    *made = NULL;
    if (value_length > KVD_ITEM_MAX || bytes > KVD_ITEM_MAX || bytes > kvd_heap_largest(&stripe->heap))
        return KVD_TOO_LARGE;
    struct kvd_item *item = kvd_store_take(stripe, bytes);
    if (item == NULL)
        return KVD_NO_MEMORY;
    item->hash = hash;
    item->refs = 1;
    item->key_length = (uint8_t)key.length;
    item->value_length = (uint32_t)value_length;
    kvd_copy(item->bytes, key.at, key.length);
    item->bytes[key.length + value_length] = '\r';
    item->bytes[key.length + value_length + 1] = '\n';
    *made = item;
    return KVD_DONE;
}

/* The value the item will have: the new one, or the old one with the new one before or behind it. */
static enum kvd_result kvd_store_compose(struct kvd_worker *worker, struct kvd_stripe *stripe, uint32_t hash,
                                         const struct kvd_update *update, struct kvd_item *old)
{
    bool joins = update->verb == KVD_APPEND || update->verb == KVD_PREPEND;
    size_t kept = joins ? old->value_length : 0;
    struct kvd_item *item;
    if (old != NULL)
        __atomic_add_fetch(&old->refs, 1, __ATOMIC_RELAXED); /* making room may take it out of the table */
    enum kvd_result result = kvd_store_new(stripe, hash, update->key, kept + update->value.length, &item);
    if (result == KVD_DONE) {
        uint8_t *value = item->bytes + item->key_length;
        size_t before = update->verb == KVD_APPEND ? kept : 0;
        kvd_copy(value + before, update->value.at, update->value.length);
        if (joins)
            kvd_copy(value + (update->verb == KVD_PREPEND ? update->value.length : 0), old->bytes + old->key_length, kept);
        item->flags = joins ? old->flags : update->flags;
        item->expires = joins ? old->expires : update->expires;
        item->cas = kvd_store_next_cas(worker->kvd);
    }
    if (old != NULL)
        kvd_store_free(stripe, old);
    /* `old` may be gone by now: look again. A value that could not be stored must not leave a stale one to be read. */
    struct kvd_item *present = kvd_store_find(worker, stripe, hash, update->key);
    if (present != NULL && (result == KVD_DONE || update->verb == KVD_SET))
        kvd_store_unlink(stripe, present);
    if (result == KVD_DONE)
        kvd_store_link(stripe, item);
    return result;
}

/* --- taking the lock --- */

static void kvd_store_flush_now(struct kvd *kvd)
{
    uint64_t cas = kvd_store_next_cas(kvd), before = __atomic_load_n(&kvd->flushed_cas, __ATOMIC_RELAXED);
    while (before < cas && !__atomic_compare_exchange_n(&kvd->flushed_cas, &before, cas, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

/* A flush that has come due: everything stored before now is gone. */
static void kvd_store_flush_due(struct kvd_worker *worker)
{
    struct kvd *kvd = worker->kvd;
    uint64_t at = __atomic_load_n(&kvd->flush_at, __ATOMIC_RELAXED);
    if (__builtin_expect(at == 0, 1) || kvd_now(worker) < at)
        return;
    if (__atomic_compare_exchange_n(&kvd->flush_at, &at, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        kvd_store_flush_now(kvd);
}

static struct kvd_stripe *kvd_store_open(struct kvd_worker *worker, struct kvd_span key, uint32_t *hash)
{
    kvd_store_flush_due(worker);
    *hash = kvd_hash(key.at, key.length);
    struct kvd_stripe *stripe = kvd_store_stripe(worker->kvd, *hash);
    kvd_lock_acquire(&stripe->lock);
    return stripe;
}

static struct kvd_item *kvd_store_get_any(struct kvd_worker *worker, struct kvd_span key, const uint64_t *expires)
{
    uint32_t hash;
    struct kvd_stripe *stripe = kvd_store_open(worker, key, &hash);
    struct kvd_item *item = kvd_store_find(worker, stripe, hash, key);
    if (item != NULL) {
        if (expires != NULL)
            item->expires = *expires;
        if (stripe->newest != item) {
            kvd_store_use_none(stripe, item);
            kvd_store_use_first(stripe, item);
        }
        __atomic_add_fetch(&item->refs, 1, __ATOMIC_RELAXED);
    }
    kvd_lock_release(&stripe->lock);
    return item;
}

struct kvd_item *kvd_store_get(struct kvd_worker *worker, struct kvd_span key)
{
    return kvd_store_get_any(worker, key, NULL);
}

struct kvd_item *kvd_store_get_touch(struct kvd_worker *worker, struct kvd_span key, uint64_t expires)
{
    return kvd_store_get_any(worker, key, &expires);
}

void kvd_store_release(struct kvd *kvd, struct kvd_item *item)
{
    struct kvd_stripe *stripe = kvd_store_stripe(kvd, item->hash);
    if (__atomic_sub_fetch(&item->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    kvd_lock_acquire(&stripe->lock); /* rare: it was replaced or deleted while an answer showed it */
    kvd_heap_give(&stripe->heap, item);
    kvd_lock_release(&stripe->lock);
}

enum kvd_result kvd_store_update(struct kvd_worker *worker, const struct kvd_update *update)
{
    uint32_t hash;
    struct kvd_stripe *stripe = kvd_store_open(worker, update->key, &hash);
    struct kvd_item *old = kvd_store_find(worker, stripe, hash, update->key);
    enum kvd_result result;
    kvd_tally(&worker->sets);
    if (update->verb == KVD_CAS && old == NULL)
        result = KVD_NOT_FOUND;
    else if (update->verb == KVD_CAS && old->cas != update->cas)
        result = KVD_EXISTS;
    else if (update->verb == KVD_ADD ? old != NULL : update->verb != KVD_SET && old == NULL)
        result = KVD_NOT_STORED;
    else
        result = kvd_store_compose(worker, stripe, hash, update, old);
    kvd_lock_release(&stripe->lock);
    return result;
}

enum kvd_result kvd_store_delete(struct kvd_worker *worker, struct kvd_span key)
{
    uint32_t hash;
    struct kvd_stripe *stripe = kvd_store_open(worker, key, &hash);
    struct kvd_item *item = kvd_store_find(worker, stripe, hash, key);
    if (item != NULL)
        kvd_store_unlink(stripe, item);
    kvd_lock_release(&stripe->lock);
    return item != NULL ? KVD_DONE : KVD_NOT_FOUND;
}

/* Writes the number in place, padded with spaces, where it fits and nobody is looking; else in a new item. */
static enum kvd_result kvd_store_number(struct kvd_worker *worker, struct kvd_stripe *stripe, struct kvd_item *item, uint64_t number)
{
    uint8_t text[KVD_DECIMAL];
    size_t digits = kvd_decimal(text, number);
    if (digits <= item->value_length && __atomic_load_n(&item->refs, __ATOMIC_ACQUIRE) == 1) {
        uint8_t *value = item->bytes + item->key_length;
        kvd_copy(value, text, digits);
        kvd_fill(value + digits, ' ', item->value_length - digits);
        item->cas = kvd_store_next_cas(worker->kvd);
        return KVD_DONE;
    }
    uint8_t key[KVD_KEY_MAX]; /* a copy: making room may free the item */
    kvd_copy(key, item->bytes, item->key_length);
    struct kvd_update update = {
        .verb = KVD_REPLACE,
        .key = {key, item->key_length},
        .value = {text, digits},
        .flags = item->flags,
        .expires = item->expires,
    };
    return kvd_store_compose(worker, stripe, item->hash, &update, item);
}

enum kvd_result kvd_store_count(struct kvd_worker *worker, struct kvd_span key, bool down, uint64_t delta, uint64_t *number)
{
    uint32_t hash;
    struct kvd_stripe *stripe = kvd_store_open(worker, key, &hash);
    struct kvd_item *item = kvd_store_find(worker, stripe, hash, key);
    enum kvd_result result = KVD_NOT_FOUND;
    if (item != NULL) {
        uint64_t value;
        if (kvd_parse_unsigned((struct kvd_span){item->bytes + item->key_length, item->value_length}, &value)) {
            value = down ? (delta > value ? 0 : value - delta) : value + delta;
            *number = value;
            result = kvd_store_number(worker, stripe, item, value);
        } else {
            result = KVD_NOT_A_NUMBER;
        }
    }
    kvd_lock_release(&stripe->lock);
    return result;
}

void kvd_store_flush(struct kvd_worker *worker, int32_t delay)
{
    struct kvd *kvd = worker->kvd;
    uint64_t at = delay > 0 ? kvd_expiry(worker, delay) : 0;
    if (at > kvd_now(worker)) {
        __atomic_store_n(&kvd->flush_at, at, __ATOMIC_RELAXED);
        return;
    }
    __atomic_store_n(&kvd->flush_at, 0, __ATOMIC_RELAXED);
    kvd_store_flush_now(kvd);
}
