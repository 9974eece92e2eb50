/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Datagrams of all kinds into kvd's core: commands written by a small grammar, then broken at random, reproducibly by seed.
 *
 *     kvd_fuzz SEED CASES [THREADS]
 *
 * Built with the address and undefined-behaviour sanitizers (or, for several threads, the thread sanitizer), which watch
 * the core; here the answers' framing, the locks' use and, every so often, the store's structure are checked. Prints the counts.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define WALK_EVERY 1000

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);         \
            abort();                                                                \
        }                                                                           \
    } while (0)

struct fuzzer {
    struct kvd *kvd;
    unsigned worker;
    uint64_t random, cases;
    uint64_t answered, datagrams, bytes;
    uint8_t *text;   /* the case under construction */
    size_t length;
    uint8_t *buffer; /* out at the sink */
    size_t cap;
    unsigned sequence, total, dropping;
    size_t last;
    uint8_t id[2];
    bool serving;
};

static uint64_t seconds = 1000;
static __thread unsigned locks_held;
static unsigned threads = 1;

/* --- the port --- */

static pthread_mutex_t mutexes[KVD_MAX_STRIPES];

static pthread_mutex_t *mutex_of(struct kvd_lock *lock)
{
    static struct kvd_lock *known[KVD_MAX_STRIPES];
    for (unsigned i = 0; i < KVD_MAX_STRIPES; i++) {
        struct kvd_lock *none = NULL;
        if (__atomic_load_n(&known[i], __ATOMIC_ACQUIRE) == lock ||
            __atomic_compare_exchange_n(&known[i], &none, lock, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) || none == lock)
            return &mutexes[i];
    }
    abort();
}

void kvd_lock_acquire(struct kvd_lock *lock)
{
    CHECK(locks_held == 0);
    pthread_mutex_lock(mutex_of(lock));
    locks_held++;
}

void kvd_lock_release(struct kvd_lock *lock)
{
    CHECK(locks_held == 1);
    locks_held--;
    pthread_mutex_unlock(mutex_of(lock));
}

uint64_t kvd_port_seconds(void)
{
    return __atomic_load_n(&seconds, __ATOMIC_RELAXED);
}

/* --- chance --- */

static uint64_t chance(struct fuzzer *f, uint64_t below)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return (f->random * 0x2545F4914F6CDD1Du >> 33) % below;
}

/* --- the sink --- */

static uint8_t *sink_begin(void *ctx, size_t *cap)
{
    struct fuzzer *f = ctx;
    CHECK(locks_held == 0 && f->buffer == NULL && f->serving);
    *cap = f->cap;
    if (chance(f, 50) == 0) {
        f->dropping = 1;
        return NULL;
    }
    f->buffer = malloc(f->cap);
    return f->buffer;
}

static void sink_end(void *ctx, uint8_t *buffer, size_t length)
{
    struct fuzzer *f = ctx;
    size_t room = f->cap < KVD_UDP_PAYLOAD ? f->cap : KVD_UDP_PAYLOAD;
    CHECK(locks_held == 0 && buffer == f->buffer && buffer != NULL);
    CHECK(length > KVD_UDP_HEADER && length <= room);
    CHECK(memcmp(buffer, f->id, 2) == 0 && buffer[6] == 0 && buffer[7] == 0);
    CHECK((buffer[2] << 8 | buffer[3]) == (uint16_t)f->sequence);
    unsigned total = (unsigned)(buffer[4] << 8 | buffer[5]);
    CHECK(f->sequence == 0 || (total == f->total && f->last == room)); /* all full but the last */
    f->total = total;
    f->last = length;
    f->sequence++;
    f->datagrams++;
    f->bytes += length;
    free(buffer);
    f->buffer = NULL;
}

/* --- the grammar --- */

static void put(struct fuzzer *f, const void *bytes, size_t length)
{
    if (f->length + length <= 65507) {
        memcpy(f->text + f->length, bytes, length);
        f->length += length;
    }
}

static void put_text(struct fuzzer *f, const char *text)
{
    put(f, text, strlen(text));
}

#define PICK(f, list) put_text(f, list[chance(f, sizeof list / sizeof list[0])])

static void put_key(struct fuzzer *f)
{
    char key[300];
    if (chance(f, 40) == 0) {
        memset(key, 'k', sizeof key);
        put(f, key, 245 + chance(f, 10));
    } else {
        put(f, key, (size_t)snprintf(key, sizeof key, "key%u", (unsigned)chance(f, chance(f, 3) ? 20 : 2000)));
    }
}

static void put_number(struct fuzzer *f)
{
    static const char *const numbers[] = {"0", "0", "0", "1", "2", "10", "100", "-1", "18446744073709551615", "18446744073709551616",
                                          "4294967295", "4294967296", "2147483647", "2592001", "1700000000", "x", "1x", "+1", "-", ""};
    static const char *const plain[] = {"0", "1", "7"};
    if (chance(f, 4))
        PICK(f, plain);
    else
        PICK(f, numbers);
}

static void put_value(struct fuzzer *f, size_t length)
{
    static const uint8_t filler[65536] = {'1', '2', '3', 0};
    put(f, filler, length);
}

static void put_end(struct fuzzer *f)
{
    static const char *const ends[] = {"\n", " noreply\r\n", " x\r\n", "\r\r\n", ""};
    if (chance(f, 5))
        put_text(f, "\r\n");
    else
        PICK(f, ends);
}

static void put_command(struct fuzzer *f)
{
    static const char *const storing[] = {"set ", "set ", "set ", "add ", "replace ", "append ", "prepend ", "cas "};
    static const char *const getting[] = {"get ", "gets ", "gat 0 ", "gats 1 ", "gat ", "bget "};
    static const char *const others[] = {"version", "verbosity 1", "stats", "shutdown", ""};
    static const char *const rare[] = {"flush_all", "flush_all 2", "flush_all -1", "quit"};
    static const char *const single[] = {"incr ", "decr ", "touch ", "delete "};
    uint64_t kind = chance(f, 20);
    char number[24];
    if (kind < 8) {
        size_t length = chance(f, 4) ? chance(f, 40) : chance(f, chance(f, 8) ? 3000 : 40000);
        PICK(f, storing);
        put_key(f);
        put_text(f, " ");
        put_number(f);
        put_text(f, " ");
        put_number(f);
        snprintf(number, sizeof number, " %zu", chance(f, 20) ? length : (size_t)chance(f, 3000000));
        put_text(f, number);
        if (chance(f, 8) == 0) {
            put_text(f, " ");
            put_number(f);
        }
        put_end(f);
        put_value(f, chance(f, 20) ? length : chance(f, 40));
        put_text(f, chance(f, 20) ? "\r\n" : "");
    } else if (kind < 14) {
        PICK(f, getting);
        for (uint64_t keys = chance(f, 6) ? 1 : chance(f, chance(f, 40) ? 30 : 3000); keys-- > 0;) {
            put_key(f);
            put_text(f, chance(f, 9) ? " " : "  ");
        }
        put_end(f);
    } else if (kind < 18) {
        PICK(f, single);
        put_key(f);
        put_text(f, " ");
        put_number(f);
        put_end(f);
    } else {
        if (chance(f, 40))
            PICK(f, others);
        else
            PICK(f, rare);
        put_end(f);
    }
}

static void break_at_random(struct fuzzer *f)
{
    for (uint64_t times = chance(f, 6); times-- > 0 && f->length > 0;) {
        size_t at = chance(f, f->length);
        switch (chance(f, 5)) {
        case 0:
            f->text[at] = (uint8_t)chance(f, 256);
            break;
        case 1:
            f->text[at] = (uint8_t) "\r\n\0 \t-+9"[chance(f, 8)];
            break;
        case 2:
            f->length = at;
            break;
        case 3:
            memmove(f->text + at, f->text + at + 1, --f->length - at);
            break;
        default:
            f->text[at] ^= (uint8_t)(1u << chance(f, 8));
        }
    }
}

/* --- the store's structure, while nobody is in it --- */

static void walk_stripe(struct kvd_stripe *stripe)
{
    struct kvd_heap *heap = &stripe->heap;
    uint64_t linked = 0, used = 0, taken = 0, used_units = 0;
    uint32_t before = 0;
    bool below_free = false;
    for (uint32_t at = 0; at < heap->units;) {
        const uint32_t *block = (const uint32_t *)(const void *)(heap->base + (size_t)at * 8);
        uint32_t units = block[0] >> 1;
        bool is_free = block[0] & 1;
        CHECK(units > 0 && units <= heap->units - at && block[1] == before);
        CHECK(!(is_free && below_free));
        taken += !is_free;
        used_units += is_free ? 0 : units;
        below_free = is_free;
        before = units;
        at += units;
    }
    CHECK(used_units == heap->used);
    for (uint32_t i = 0; i <= stripe->bucket_mask; i++) {
        for (struct kvd_item *item = stripe->buckets[i]; item != NULL; item = item->next) {
            CHECK(item->refs == 1 && item->hash == kvd_hash(item->bytes, item->key_length));
            CHECK(memcmp(item->bytes + item->key_length + item->value_length, "\r\n", 2) == 0);
            linked++;
        }
    }
    for (struct kvd_item *item = stripe->newest, *newer = NULL; item != NULL; newer = item, item = item->older, used++)
        CHECK(item->newer == newer && (item->older != NULL || stripe->oldest == item));
    CHECK(linked == stripe->items && used == linked && taken == linked);
}

static void walk(struct kvd *kvd)
{
    for (unsigned i = 0; i <= kvd->stripe_mask; i++)
        walk_stripe(&kvd->stripe[i]);
}

/* --- cases --- */

static void one_case(struct fuzzer *f)
{
    struct kvd_sink sink = {sink_begin, sink_end, f};
    uint8_t header[KVD_UDP_HEADER] = {(uint8_t)chance(f, 256), (uint8_t)chance(f, 256), 0, 0, 0, 1, 0, 0};
    f->length = 0;
    put(f, header, sizeof header);
    for (uint64_t commands = 1 + chance(f, 4); commands-- > 0;)
        put_command(f);
    if (chance(f, 3) == 0)
        break_at_random(f);
    uint8_t *datagram = malloc(f->length ? f->length : 1); /* of this very size, so that a byte too far is seen */
    memcpy(datagram, f->text, f->length);
    memcpy(f->id, datagram, f->length < 2 ? f->length : 2);
    f->cap = chance(f, 10) ? 1400 : KVD_UDP_HEADER + 1 + chance(f, 2000);
    if (chance(f, 20) && f->cap < 200)
        f->cap = 200; /* tiny buffers make thousands of datagrams: some will do */
    f->sequence = f->dropping = 0;
    f->serving = true;
    kvd_serve(f->kvd, f->worker, datagram, f->length, &sink);
    f->serving = false;
    CHECK(f->buffer == NULL && locks_held == 0);
    CHECK(f->sequence == 0 || f->dropping || (uint16_t)f->sequence == f->total);
    f->answered += f->sequence > 0;
    free(datagram);
    if (chance(f, 100) == 0)
        __atomic_add_fetch(&seconds, 1, __ATOMIC_RELAXED);
}

static void *all_cases(void *argument)
{
    struct fuzzer *f = argument;
    f->text = malloc(65536);
    for (uint64_t i = 0; i < f->cases; i++) {
        one_case(f);
        if (threads == 1 && i % WALK_EVERY == 0)
            walk(f->kvd);
    }
    free(f->text);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct fuzzer fuzzer[KVD_MAX_WORKERS];
    pthread_t thread[KVD_MAX_WORKERS];
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, cases = argc > 2 ? strtoull(argv[2], NULL, 0) : 200000;
    uint64_t answered = 0, datagrams = 0, bytes = 0;
    threads = argc > 3 ? (unsigned)atoi(argv[3]) : 1;
    CHECK(threads >= 1 && threads <= KVD_MAX_WORKERS);
    for (unsigned i = 0; i < KVD_MAX_STRIPES; i++)
        pthread_mutex_init(&mutexes[i], NULL);
    struct kvd_config config = {.workers = threads, .stripes = 2, .budget = 512 << 10, .epoch = 1600000000};
    size_t size = kvd_size(&config);
    void *arena = aligned_alloc(64, size);
    memset(arena, 0xA5, size);
    struct kvd *kvd = kvd_create(arena, size, &config);
    CHECK(kvd != NULL);
    for (unsigned i = 0; i < threads; i++) {
        fuzzer[i] = (struct fuzzer){.kvd = kvd, .worker = i, .cases = cases / threads, .random = (seed + i) * 0x9E3779B97F4A7C15u | 1};
        if (threads > 1)
            pthread_create(&thread[i], NULL, all_cases, &fuzzer[i]);
        else
            all_cases(&fuzzer[i]);
    }
    for (unsigned i = 0; i < threads; i++) {
        if (threads > 1)
            pthread_join(thread[i], NULL);
        answered += fuzzer[i].answered;
        datagrams += fuzzer[i].datagrams;
        bytes += fuzzer[i].bytes;
    }
    walk(kvd);
    uint64_t evictions = 0;
    for (unsigned i = 0; i <= kvd->stripe_mask; i++)
        evictions += kvd->stripe[i].evictions;
    printf("cases %llu answered %llu datagrams %llu bytes %llu evictions %llu\n", (unsigned long long)(cases / threads * threads),
           (unsigned long long)answered, (unsigned long long)datagrams, (unsigned long long)bytes, (unsigned long long)evictions);
    free(arena);
    return 0;
}
