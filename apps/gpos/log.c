/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes' lines, appended to LOG/NAME on this system's files. A batch is answered once it is written, so what a node was told is stored is there. Of lines that come again only the new
 * ones are written; a gap between their numbers is said to be one.
 */
#include "gpos.h"
#include "process.h"

#define PATH_BYTES 96u
#define OPEN_APPEND_CREATE 0x441        /* O_WRONLY, O_CREAT, O_APPEND */
#define NOTE_MOST 64u
#define TEXT_MOST (MESSAGE_MAX + MESSAGE_MAX / sizeof(struct node_line) * (NOTE_MOST + 48))      /* of a batch: each line with a stamp and a note */

struct log_life {
    uint32_t session;                   /* 0: nothing came */
    uint32_t next;                      /* number of the line expected */
};

static struct log_life lives[MESSENGER_NODES];
static const char *folder;
static char text[TEXT_MOST];
static uint32_t text_length;

void log_path(char path[static 96], const char *name)
{
    format_string(path, PATH_BYTES, "%s/%s", folder, name);
}

/* All of it, or nothing is said to be stored: a file that was written in part gets the rest when the batch comes again. */
static bool log_write(const char *name)
{
    char path[PATH_BYTES];
    uint32_t written = 0;

    log_path(path, name);

    long fd = rt_syscall(RT_NR_OPEN, (long)path, OPEN_APPEND_CREATE, 0644, 0, 0, 0);

    if (fd < 0)
        return false;
    while (written < text_length) {
        long more = rt_syscall(RT_NR_WRITE, fd, (long)(text + written), text_length - written, 0, 0, 0);

        if (more <= 0 && more != -RT_EINTR)
            break;
        if (more > 0)
            written += (uint32_t)more;
    }

    bool whole = written == text_length;

    if (!whole && written) {            /* no half lines: the batch comes again */
        long end = rt_syscall(RT_NR_LSEEK, fd, 0, 1, 0, 0, 0);

        if (end >= (long)written)
            rt_syscall(RT_NR_FTRUNCATE, fd, end - (long)written, 0, 0, 0, 0);
    }
    rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
    return whole;
}

static void log_add(const char *from, size_t length)
{
    for (size_t i = 0; i < length && text_length < sizeof(text); i++) {
        char c = from[i];

        text[text_length++] = c == '\n' || c == '\t' || (c >= ' ' && c < 127) || (uint8_t)c >= 128 ? c : '?';
    }
}

static void log_add_note(const char *format, uint32_t number)
{
    char note[NOTE_MOST];

    format_string(note, sizeof(note), format, number);
    log_add(note, strlen(note));
}

static void log_add_line(struct log_life *life, const struct node_line *line)
{
    char stamp[32];

    if (line->number != life->next)
        log_add_note(life->session ? "[%u lines were lost on the node]\n" : "[a new gpos: it has seen no line before number %u]\n",
                     life->session ? line->number - life->next : line->number);
    life->next = line->number + 1;
    format_string(stamp, sizeof(stamp), "[%5lu.%06lu] ", line->ns / 1000000000u, line->ns / 1000 % 1000000u);
    log_add(stamp, strlen(stamp));
    for (unsigned i = 0; i < line->length; i++)
        log_add(line->text[i] == '\n' ? "?" : &line->text[i], 1);
    log_add("\n", 1);
}

/* A whole batch, checked first. */
static bool lines_fit(const struct message *message)
{
    const struct node_lines *lines = (const struct node_lines *)message->body;
    uint32_t at = sizeof(*lines);

    if (message->length < at || lines->session == 0 || lines->count > MESSAGE_MAX / sizeof(struct node_line))
        return false;
    for (uint32_t i = 0; i < lines->count; i++) {
        const struct node_line *line = (const struct node_line *)(message->body + at);

        if (message->length - at < sizeof(*line) || message->length - at - sizeof(*line) < line->length || line->length > 512)
            return false;
        at += (uint32_t)sizeof(*line) + line->length;
    }
    return at == message->length;
}

static void log_lines(const struct gpos_node *node, const struct message *message)
{
    const struct node_lines *lines = (const struct node_lines *)message->body;
    struct log_life *known = &lives[node->number], life = *known;
    const uint8_t *at = message->body + sizeof(*lines);

    if (!lines_fit(message))
        return;
    if (life.session != lines->session)
        life = (struct log_life){ 0 };
    text_length = 0;
    for (uint32_t i = 0; i < lines->count; i++) {
        const struct node_line *line = (const struct node_line *)at;

        at += sizeof(*line) + line->length;
        if (life.session && (int32_t)(line->number - life.next) < 0)
            continue;                   /* it came before */
        log_add_line(&life, line);
        life.session = lines->session;
    }
    if (text_length && !log_write(node->name)) {
        message_answer(message, NODE_LOG_FULL, NULL, 0);
        return;
    }
    *known = life;
    message_answer(message, NODE_LOG_STORED, &life.next, sizeof(life.next));
}

static void log_text(const struct gpos_node *node, const struct message *message)
{
    text_length = 0;
    log_add((const char *)message->body, message->length);
    if (text_length)
        log_write(node->name);
}

static void log_message(void *ctx, const struct message *message)
{
    const struct gpos_node *node = nodes_at(message->from);

    (void)ctx;
    nodes_heard(message->from);
    if (message->type == NODE_LOG_LINES && message->call && nodes_version(node, NODE_EBB_LOG) >= 2)
        log_lines(node, message);
    else if (message->type == NODE_LOG_TEXT && nodes_speaks(node, NODE_EBB_LOG))
        log_text(node, message);
}

void log_note(const char *name, const char *note)
{
    text_length = 0;
    log_add("[gpos] ", 7);
    log_add(note, strlen(note));
    log_add("\n", 1);
    log_write(name);
}

void log_start(void)
{
    folder = cmdline_get("log", "/log");
    if (strlen(folder) > PATH_BYTES - NODE_NAME - 2)
        panic("gpos: the word log=%s is too long", folder);
    rt_syscall(RT_NR_MKDIR, (long)folder, 0755, 0, 0, 0, 0);
    if (!messenger_target(NODE_EBB_LOG, log_message, NULL))
        panic("gpos: too many targets of messages");
}
