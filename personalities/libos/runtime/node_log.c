/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines wait in a ring until gpos has stored them; one batch is under way at a time, and goes again when that fails. Lines are numbered, so one that comes
 * twice is known there, and one that found no room here leaves a gap.
 */
#include "node_parts.h"

#define BATCH_BYTES 1300u               /* one datagram */
#define PATIENCE_NS 1000000000ull
#define FULL_PAUSE_NS 100000000ull
#define LINE_MOST 480u

_Static_assert((NODE_LOG_BYTES & (NODE_LOG_BYTES - 1)) == 0, "positions count on");

static uint8_t ring[NODE_LOG_BYTES];
static uint32_t ring_first, ring_end;   /* positions that count on */
static struct node_log_counts counted;
static uint32_t line_next;              /* number */
static struct spinlock log_lock;

static char partial[LINE_MOST];         /* of a line on the console without its end */
static size_t partial_length;
static struct spinlock partial_lock;

static struct node_log_sync *syncs;     /* that wait */

static struct event flush_event;
static bool flush_due;
static bool under_way;                  /* of vCPU 0, as the rest */
static uint32_t under_way_end;
static struct message_call batch_call;
static struct future batch_delivered;
static struct future_wait batch_wait;
static struct timer pause;
static uint8_t batch[sizeof(struct node_lines) + BATCH_BYTES];

static void log_flush(void *arg);

static void ring_put(const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ring[(ring_end + i) % NODE_LOG_BYTES] = ((const uint8_t *)from)[i];
    ring_end += (uint32_t)size;
}

static void ring_get(uint32_t at, void *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = ring[(at + i) % NODE_LOG_BYTES];
}

void node_log(const char *text, size_t length)
{
    struct node_line line = { .length = (uint16_t)(length < LINE_MOST ? length : LINE_MOST), .ns = clock_ns() };

    spin_lock(&log_lock);
    line.number = line_next++;
    counted.lines++;
    if (NODE_LOG_BYTES - (ring_end - ring_first) >= sizeof(line) + line.length) {
        ring_put(&line, sizeof(line));
        ring_put(text, line.length);
    } else {
        counted.lost++;
    }
    spin_unlock(&log_lock);
    if (!__atomic_exchange_n(&flush_due, true, __ATOMIC_ACQ_REL))
        event_post(0, &flush_event, log_flush, NULL);
}

struct node_log_counts node_log_counts(void)
{
    spin_lock(&log_lock);

    struct node_log_counts now = counted;

    spin_unlock(&log_lock);
    return now;
}

/* Those that wait for no more than what is decided by now: taken out, then told. */
static void log_tell(void)
{
    struct node_log_sync *over = NULL, **link = &syncs;

    spin_lock(&log_lock);

    uint64_t decided = counted.stored + counted.lost;

    while (*link) {
        struct node_log_sync *sync = *link;

        if (decided < sync->lines) {
            link = &sync->next;
            continue;
        }
        *link = sync->next;
        sync->next = over;
        over = sync;
    }
    spin_unlock(&log_lock);
    while (over) {
        struct node_log_sync *next = over->next;

        if (over->lost)
            future_fail(&over->done, MESSAGE_NO_MEMORY);
        else
            future_fulfil(&over->done, NULL);
        over = next;
    }
}

static uint64_t lost_told;              /* lines that a sync failed for */

void node_log_sync(struct node_log_sync *sync)
{
    *sync = (struct node_log_sync){ 0 };
    spin_lock(&log_lock);
    sync->lines = counted.lines;
    sync->lost = counted.lost - lost_told;
    lost_told = counted.lost;
    sync->next = syncs;
    syncs = sync;
    spin_unlock(&log_lock);
    log_tell();
}

static void log_console(const char *text, size_t length)
{
    spin_lock(&partial_lock);
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\n')
            partial[partial_length++] = text[i];
        if (text[i] == '\n' || partial_length == LINE_MOST) {
            node_log(partial, partial_length);
            partial_length = 0;
        }
    }
    spin_unlock(&partial_lock);
}

/* ---- to gpos ---- */

/* Whole lines from the ring's first on, as many as a datagram takes; 0: none. */
static uint32_t log_gather(bool numbered)
{
    struct node_lines *lines = (struct node_lines *)batch;
    uint32_t size = numbered ? (uint32_t)sizeof(*lines) : 0, at = ring_first;

    *lines = (struct node_lines){ node_own.session, 0 };
    while (at != ring_end) {
        struct node_line line;

        ring_get(at, &line, sizeof(line));
        if (size + sizeof(line) + line.length > sizeof(batch))
            break;
        at += (uint32_t)sizeof(line);
        if (numbered) {
            memcpy(batch + size, &line, sizeof(line));
            size += (uint32_t)sizeof(line);
        }
        ring_get(at, batch + size, line.length);
        size += line.length;
        at += line.length;
        if (numbered)
            lines->count++;
        else
            batch[size++] = '\n';
    }
    under_way_end = at;
    return at == ring_first ? 0 : size;
}

static void log_done(bool stored)
{
    under_way = false;
    if (!stored)
        return;
    spin_lock(&log_lock);
    for (uint32_t at = ring_first; at != under_way_end;) {
        struct node_line line;

        ring_get(at, &line, sizeof(line));
        at += (uint32_t)sizeof(line) + line.length;
        counted.stored++;
    }
    ring_first = under_way_end;
    spin_unlock(&log_lock);
    log_tell();
    log_flush(NULL);
}

static void log_text_sent(void *arg)
{
    (void)arg;
    log_done(batch_delivered.state == FUTURE_FULFILLED);
}

static void log_lines_answered(void *arg)
{
    bool stored = batch_call.answered.state == FUTURE_FULFILLED && batch_call.type == NODE_LOG_STORED;

    (void)arg;
    if (batch_call.answered.state == FUTURE_FULFILLED && !stored && !timer_start(&pause, FULL_PAUSE_NS, log_flush, NULL))
        panic("node: no memory for a timer");
    mem_free(batch_call.reply);
    batch_call.reply = NULL;
    log_done(stored);
}

static void log_flush(void *arg)
{
    uint16_t version = node_version(NODE_EBB_LOG);

    (void)arg;
    __atomic_store_n(&flush_due, false, __ATOMIC_RELEASE);
    if (under_way || !node_joined() || version == 0)
        return;
    spin_lock(&log_lock);

    uint32_t size = log_gather(version >= 2);

    spin_unlock(&log_lock);
    if (size == 0)
        return;
    under_way = true;
    if (version >= 2) {
        batch_call = (struct message_call){ 0 };
        message_ask(&batch_call, NODE_GPOS, NODE_EBB_LOG, NODE_LOG_LINES, batch, size, PATIENCE_NS);
        future_then(&batch_call.answered, &batch_wait, log_lines_answered, NULL);
    } else {
        batch_delivered = (struct future){ 0 };
        message_send(NODE_GPOS, NODE_EBB_LOG, NODE_LOG_TEXT, batch, size, &batch_delivered);
        future_then(&batch_delivered, &batch_wait, log_text_sent, NULL);
    }
}

void node_log_start(void)
{
    node_on_join(log_flush, NULL);
    console_tap(log_console);
}
