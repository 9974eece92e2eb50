/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memcached's ASCII commands (protocol.txt of memcached 1.6), as memcached 1.6.18 reads and answers them, quirks included:
 * a line ends with LF, one CR before it is dropped (unless the line is only that), a NUL ends the line's text, words are parted by spaces alone.
 */
#include "internal.h"

#define KVD_WORDS 8 /* words kept of a line; no command but the retrievals takes more */

static const char kvd_error[] = "ERROR\r\n";
static const char kvd_bad_format[] = "CLIENT_ERROR bad command line format\r\n";
static const char kvd_bad_chunk[] = "CLIENT_ERROR bad data chunk\r\n";
static const char kvd_bad_exptime[] = "CLIENT_ERROR invalid exptime argument\r\n";
static const char kvd_no_memory[] = "SERVER_ERROR out of memory storing object\r\n";

struct kvd_line {
    struct kvd_worker *worker;
    struct kvd_span word[KVD_WORDS];
    unsigned words;        /* how many the line has; counting stops at KVD_WORDS + 1 */
    struct kvd_span rest;  /* of the line, from its second word on */
    struct kvd_span *text; /* of the datagram, behind the line: storage commands take their value from it */
    bool quiet;            /* "noreply" */
};

struct kvd_command {
    const char *name;
    uint8_t least, most; /* words, the command's name and "noreply" included */
    bool (*serve)(struct kvd_line *line, unsigned argument);
    unsigned argument;
};

/* --- words --- */

/* Takes the next word off the front of `rest`; its length is 0 when there is none. */
static struct kvd_span kvd_next_word(struct kvd_span *rest)
{
    const uint8_t *at = rest->at, *end = rest->at + rest->length;
    while (at < end && *at == ' ')
        at++;
    const uint8_t *start = at;
    while (at < end && *at != ' ')
        at++;
    *rest = (struct kvd_span){at, (size_t)(end - at)};
    return (struct kvd_span){start, (size_t)(at - start)};
}

static bool kvd_answer(struct kvd_line *line, const char *text)
{
    return line->quiet || kvd_reply_text(line->worker, text);
}

/* Most commands take "noreply" as their last word. */
static void kvd_take_noreply(struct kvd_line *line)
{
    line->quiet = kvd_is(line->word[line->words - 1], "noreply");
}

/* memcached keeps numbers given as 32-bit ones by their low bits. */
static bool kvd_take_int32(struct kvd_span word, int32_t *value)
{
    int64_t wide;
    if (!kvd_parse_signed(word, &wide))
        return false;
    *value = (int32_t)(uint32_t)(uint64_t)wide;
    return true;
}

/* --- retrieval --- */

enum { KVD_GET_CAS = 1, KVD_GET_TOUCH = 2 };

static bool kvd_serve_get(struct kvd_line *line, unsigned argument)
{
    struct kvd_worker *worker = line->worker;
    uint64_t expires = 0;
    struct kvd_span rest = line->rest, key;
    if (argument & KVD_GET_TOUCH) {
        int32_t exptime;
        if (!kvd_take_int32(kvd_next_word(&rest), &exptime))
            return kvd_answer(line, kvd_bad_exptime);
        expires = kvd_expiry(worker, exptime);
    }
    while ((key = kvd_next_word(&rest)).length > 0) {
        if (key.length > KVD_KEY_MAX) {
            kvd_reply_cut(worker, worker->settled); /* memcached drops earlier commands' answers, too, back to a retrieval's */
            return kvd_answer(line, kvd_bad_format);
        }
        struct kvd_item *item = argument & KVD_GET_TOUCH ? kvd_store_get_touch(worker, key, expires) : kvd_store_get(worker, key);
        if (item == NULL) {
            kvd_tally(&worker->get_misses);
            continue;
        }
        kvd_tally(&worker->get_hits);
        if (!kvd_reply_value(worker, item, argument & KVD_GET_CAS))
            return false;
    }
    bool whole = kvd_answer(line, "END\r\n");
    worker->settled = worker->parts;
    return whole;
}

/* --- storage --- */

static const char *kvd_update_answer(enum kvd_result result)
{
    switch (result) {
    case KVD_DONE:
        return "STORED\r\n";
    case KVD_EXISTS:
        return "EXISTS\r\n";
    case KVD_NOT_FOUND:
        return "NOT_FOUND\r\n";
    case KVD_TOO_LARGE:
        return "SERVER_ERROR object too large for cache\r\n";
    case KVD_NO_MEMORY:
        return kvd_no_memory;
    default:
        return "NOT_STORED\r\n";
    }
}

/*
 * The value stands behind the line. memcached goes on to read what is missing from later datagrams, headers and all, and then
 * serves nobody else; here a value that is not all there is a bad chunk, and ends the datagram.
 */
static bool kvd_take_value(struct kvd_line *line, size_t length, struct kvd_span *value)
{
    struct kvd_span *text = line->text;
    *value = (struct kvd_span){text->at, length};
    if (text->length < length + KVD_CRLF) {
        *text = (struct kvd_span){text->at + text->length, 0};
        return false;
    }
    *text = (struct kvd_span){text->at + length + KVD_CRLF, text->length - length - KVD_CRLF};
    return value->at[length] == '\r' && value->at[length + 1] == '\n';
}

static bool kvd_serve_update(struct kvd_line *line, unsigned verb)
{
    struct kvd_update update = {.verb = (enum kvd_verb)verb, .key = line->word[1]};
    uint64_t flags;
    int32_t exptime, length;
    kvd_take_noreply(line);
    if (update.key.length > KVD_KEY_MAX || !kvd_parse_unsigned(line->word[2], &flags) ||
        !kvd_take_int32(line->word[3], &exptime) || !kvd_take_int32(line->word[4], &length) ||
        (verb == KVD_CAS && !kvd_parse_unsigned(line->word[5], &update.cas)) || length < 0 || length > INT32_MAX - KVD_CRLF)
        return kvd_answer(line, kvd_bad_format);
    update.flags = (uint32_t)flags;
    update.expires = kvd_expiry(line->worker, exptime);
    bool whole = kvd_take_value(line, (size_t)length, &update.value);
    if (whole || length > (int32_t)KVD_ITEM_MAX) /* too large is answered whether or not the value is there */
        return kvd_answer(line, kvd_update_answer(kvd_store_update(line->worker, &update)));
    return kvd_answer(line, kvd_bad_chunk);
}

/* --- one key --- */

static bool kvd_serve_delete(struct kvd_line *line, unsigned argument)
{
    (void)argument;
    if (line->words > 2) {
        kvd_take_noreply(line);
        bool zero = kvd_is(line->word[2], "0"); /* a delay, of which only 0 is left */
        if (!(line->words == 3 ? zero || line->quiet : zero && line->quiet))
            return kvd_answer(line, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n");
    }
    if (line->word[1].length > KVD_KEY_MAX)
        return kvd_answer(line, kvd_bad_format);
    bool done = kvd_store_delete(line->worker, line->word[1]) == KVD_DONE;
    return kvd_answer(line, done ? "DELETED\r\n" : "NOT_FOUND\r\n");
}

static bool kvd_serve_count(struct kvd_line *line, unsigned down)
{
    uint64_t delta, number;
    kvd_take_noreply(line);
    if (line->word[1].length > KVD_KEY_MAX)
        return kvd_answer(line, kvd_bad_format);
    if (!kvd_parse_unsigned(line->word[2], &delta))
        return kvd_answer(line, "CLIENT_ERROR invalid numeric delta argument\r\n");
    switch (kvd_store_count(line->worker, line->word[1], down != 0, delta, &number)) {
    case KVD_DONE:
        return line->quiet || (kvd_reply_number(line->worker, number) && kvd_reply_text(line->worker, "\r\n"));
    case KVD_NOT_A_NUMBER:
        return kvd_answer(line, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    case KVD_NOT_FOUND:
        return kvd_answer(line, "NOT_FOUND\r\n");
    default:
        return kvd_answer(line, kvd_no_memory);
    }
}

static bool kvd_serve_touch(struct kvd_line *line, unsigned argument)
{
    int32_t exptime;
    (void)argument;
    kvd_take_noreply(line);
    if (line->word[1].length > KVD_KEY_MAX)
        return kvd_answer(line, kvd_bad_format);
    if (!kvd_take_int32(line->word[2], &exptime))
        return kvd_answer(line, kvd_bad_exptime);
    struct kvd_worker *worker = line->worker;
    struct kvd_item *item = kvd_store_get_touch(worker, line->word[1], kvd_expiry(worker, exptime));
    if (item == NULL)
        return kvd_answer(line, "NOT_FOUND\r\n");
    kvd_store_release(worker->kvd, item);
    return kvd_answer(line, "TOUCHED\r\n");
}

/* --- the server --- */

static bool kvd_serve_flush_all(struct kvd_line *line, unsigned argument)
{
    int32_t delay = 0;
    (void)argument;
    kvd_take_noreply(line);
    if (line->words > (line->quiet ? 2u : 1u) && !kvd_take_int32(line->word[1], &delay))
        return kvd_answer(line, kvd_bad_exptime);
    kvd_store_flush(line->worker, delay);
    return kvd_answer(line, "OK\r\n");
}

static bool kvd_serve_version(struct kvd_line *line, unsigned argument)
{
    (void)argument;
    return kvd_answer(line, "VERSION " KVD_VERSION "\r\n");
}

static bool kvd_serve_verbosity(struct kvd_line *line, unsigned argument)
{
    uint64_t level; /* accepted, as clients send it; there is nothing more to say */
    (void)argument;
    kvd_take_noreply(line);
    return kvd_answer(line, kvd_parse_unsigned(line->word[1], &level) ? "OK\r\n" : kvd_bad_format);
}

static bool kvd_serve_shutdown(struct kvd_line *line, unsigned argument)
{
    (void)argument;
    return kvd_answer(line, "ERROR: shutdown not enabled\r\n");
}

static bool kvd_serve_quit(struct kvd_line *line, unsigned argument)
{
    (void)line, (void)argument;
    return false; /* there is no connection to close; what follows is not served */
}

static bool kvd_stat(struct kvd_worker *worker, const char *name, uint64_t value)
{
    return kvd_reply_text(worker, name) && kvd_reply_number(worker, value) && kvd_reply_text(worker, "\r\n");
}

/* Counters of other workers are read as they run: each is right, their sum is of no single moment. */
static bool kvd_serve_stats(struct kvd_line *line, unsigned argument)
{
    struct kvd_worker *worker = line->worker;
    struct kvd *kvd = worker->kvd;
    uint64_t items = 0, evictions = 0, bytes = 0, hits = 0, misses = 0, sets = 0;
    (void)argument;
    for (unsigned i = 0; i <= kvd->stripe_mask; i++) {
        struct kvd_stripe *stripe = &kvd->stripe[i];
        kvd_lock_acquire(&stripe->lock);
        items += stripe->items;
        evictions += stripe->evictions;
        bytes += (uint64_t)stripe->heap.used * 8;
        kvd_lock_release(&stripe->lock);
    }
    for (unsigned i = 0; i < kvd->config.workers; i++) {
        hits += __atomic_load_n(&kvd->worker[i].get_hits, __ATOMIC_RELAXED);
        misses += __atomic_load_n(&kvd->worker[i].get_misses, __ATOMIC_RELAXED);
        sets += __atomic_load_n(&kvd->worker[i].sets, __ATOMIC_RELAXED);
    }
    return kvd_reply_text(worker, "STAT version " KVD_VERSION "\r\n") &&
           kvd_stat(worker, "STAT threads ", kvd->config.workers) && kvd_stat(worker, "STAT cmd_get ", hits + misses) &&
           kvd_stat(worker, "STAT cmd_set ", sets) && kvd_stat(worker, "STAT get_hits ", hits) &&
           kvd_stat(worker, "STAT get_misses ", misses) && kvd_stat(worker, "STAT limit_maxbytes ", kvd->config.budget) &&
           kvd_stat(worker, "STAT bytes ", bytes) && kvd_stat(worker, "STAT curr_items ", items) &&
           kvd_stat(worker, "STAT evictions ", evictions) && kvd_reply_text(worker, "END\r\n");
}

static const struct kvd_command kvd_command[] = {
    {"get", 2, UINT8_MAX, kvd_serve_get, 0},
    {"set", 5, 6, kvd_serve_update, KVD_SET},
    {"gets", 2, UINT8_MAX, kvd_serve_get, KVD_GET_CAS},
    {"add", 5, 6, kvd_serve_update, KVD_ADD},
    {"replace", 5, 6, kvd_serve_update, KVD_REPLACE},
    {"append", 5, 6, kvd_serve_update, KVD_APPEND},
    {"prepend", 5, 6, kvd_serve_update, KVD_PREPEND},
    {"cas", 6, 7, kvd_serve_update, KVD_CAS},
    {"delete", 2, 4, kvd_serve_delete, 0},
    {"incr", 3, 4, kvd_serve_count, false},
    {"decr", 3, 4, kvd_serve_count, true},
    {"touch", 3, 4, kvd_serve_touch, 0},
    {"gat", 2, UINT8_MAX, kvd_serve_get, KVD_GET_TOUCH},
    {"gats", 2, UINT8_MAX, kvd_serve_get, KVD_GET_TOUCH | KVD_GET_CAS},
    {"bget", 2, UINT8_MAX, kvd_serve_get, 0},
    {"flush_all", 1, 3, kvd_serve_flush_all, 0},
    {"version", 1, UINT8_MAX, kvd_serve_version, 0},
    {"verbosity", 2, 3, kvd_serve_verbosity, 0},
    {"stats", 1, 1, kvd_serve_stats, 0},
    {"shutdown", 1, UINT8_MAX, kvd_serve_shutdown, 0},
    {"quit", 1, UINT8_MAX, kvd_serve_quit, 0},
};

/* Serves one line; false: serve nothing more of this datagram. */
static bool kvd_serve_line(struct kvd_worker *worker, struct kvd_span whole, struct kvd_span *text)
{
    struct kvd_line line; /* not cleared: `words` says how much of it is set */
    struct kvd_span rest = whole, word;
    line.worker = worker;
    line.text = text;
    line.words = 0;
    line.quiet = false;
    while (line.words <= KVD_WORDS && (word = kvd_next_word(&rest)).length > 0) {
        if (line.words == 0)
            line.rest = rest;
        if (line.words < KVD_WORDS)
            line.word[line.words] = word;
        line.words++;
        if (line.words == 2 && line.word[0].length <= 4 && line.word[0].at[0] == 'g')
            break; /* the retrievals walk their keys themselves */
    }
    for (size_t i = 0; line.words > 0 && i < sizeof kvd_command / sizeof kvd_command[0]; i++) {
        const struct kvd_command *command = &kvd_command[i];
        if (!kvd_is(line.word[0], command->name))
            continue;
        if (line.words < command->least || line.words > command->most)
            break;
        return command->serve(&line, command->argument);
    }
    return kvd_answer(&line, kvd_error);
}

void kvd_commands(struct kvd_worker *worker, struct kvd_span text)
{
    while (text.length > 0) {
        size_t end = 0, length;
        while (end < text.length && text.at[end] != '\n')
            end++;
        if (end == text.length)
            return; /* the line's end is in a datagram that will never come */
        struct kvd_span line = {text.at, end > 1 && text.at[end - 1] == '\r' ? end - 1 : end};
        for (length = 0; length < line.length && line.at[length] != '\0'; length++)
            continue;
        line.length = length;
        text = (struct kvd_span){text.at + end + 1, text.length - end - 1};
        if (!kvd_serve_line(worker, line, &text))
            return;
    }
}
