/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operator's questions, a line of text in a datagram, and answers in as many as they need (docs/offload.md). A question that comes again under its number is
 * not acted on again: its answer is kept, and goes out again.
 */
#include "gpos.h"
#include "process.h"

#define OPERATOR_PORT 5642u
#define MAGIC 0x504F5343u               /* "CSOP" */
#define ANSWERS 8u
#define ANSWER_BYTES 32768u
#define PART_BYTES 1400u
#define QUESTION_MOST 400u
#define WORDS_MOST 4u
#define STAT_PATIENCE_NS 1000000000ull
#define LOG_LINES 100u

enum { STATUS_DONE, STATUS_REFUSED };

struct question_head {
    uint32_t magic, number;
} __attribute__((packed));

struct answer_head {
    uint32_t magic, number;
    uint16_t part, parts, status, zero;
} __attribute__((packed));

struct answer {
    struct udp_peer peer;
    uint32_t number;
    uint32_t age;                       /* of asking; 0: free */
    bool open;                          /* its answer is still to come */
    uint16_t status;
    uint32_t length;
    char *text;
    struct message_call call;
    struct future_wait wait;
};

static struct answer answers[ANSWERS];
static uint32_t asked;
static uint16_t port;

static void answer_add(struct answer *answer, const char *format, ...)
{
    va_list args;

    va_start(args, format);

    int length = format_vstring(answer->text + answer->length, ANSWER_BYTES - answer->length, format, args);

    va_end(args);
    answer->length += (uint32_t)length;
    if (answer->length >= ANSWER_BYTES)
        answer->length = ANSWER_BYTES - 1;
}

static void answer_send(const struct answer *answer)
{
    uint32_t parts = answer->length ? (answer->length + PART_BYTES - 1) / PART_BYTES : 1;

    for (uint32_t part = 0; part < parts; part++) {
        struct iobuf *buf = iobuf_alloc_tx();
        uint32_t at = part * PART_BYTES, size = answer->length - at < PART_BYTES ? answer->length - at : PART_BYTES;

        if (buf == NULL)
            return;                     /* as if it were lost: the question comes again */
        *(struct answer_head *)buf->data = (struct answer_head){ MAGIC, answer->number, (uint16_t)part, (uint16_t)parts, answer->status, 0 };
        memcpy(buf->data + sizeof(struct answer_head), answer->text + at, size);
        buf->len = (uint32_t)sizeof(struct answer_head) + size;
        udp_send(port, &answer->peer, buf);
    }
}

static void answer_close(struct answer *answer)
{
    answer->open = false;
    answer_send(answer);
}

static void answer_refuse(struct answer *answer, const char *format, const char *what)
{
    answer->status = STATUS_REFUSED;
    answer->length = 0;
    answer_add(answer, format, what);
    answer_close(answer);
}

/* ---- verbs ---- */

static void do_ps(struct answer *answer)
{
    answer->length = ps_text(answer->text, ANSWER_BYTES);
    if (answer->length)
        answer_close(answer);
    else
        answer_refuse(answer, "this system has no %s", "/proc");
}

static void do_kill(struct answer *answer, const char *name)
{
    const struct gpos_node *node = nodes_named(name, strlen(name));

    if (node == NULL) {
        answer_refuse(answer, "there is no node %s", name);
        return;
    }
    if (node->pid == 0 || rt_syscall(RT_NR_KILL, node->pid, RT_SIGTERM, 0, 0, 0, 0) < 0) {
        answer_refuse(answer, "%s has no process that could be ended", name);
        return;
    }
    answer_add(answer, "%s, process %d, is ended\n", node->name, node->pid);
    answer_close(answer);
}

/* The file's last lines, as many as there is room for. */
static void do_logs(struct answer *answer, const char *name)
{
    char path[96];
    bool plain = strlen(name) < NODE_NAME && name[0] != '.' && !memchr(name, '/', strlen(name));

    log_path(path, plain ? name : "?");

    long fd = rt_syscall(RT_NR_OPEN, (long)path, 0, 0, 0, 0, 0);

    if (fd < 0) {
        answer_refuse(answer, "there is no log of %s", name);
        return;
    }

    long size = rt_syscall(RT_NR_LSEEK, fd, 0, 2, 0, 0, 0);
    long from = size > (long)ANSWER_BYTES - 1 ? size - ((long)ANSWER_BYTES - 1) : 0, got;

    rt_syscall(RT_NR_LSEEK, fd, from, 0, 0, 0, 0);
    while (answer->length < ANSWER_BYTES - 1 &&
           (got = rt_syscall(RT_NR_READ, fd, (long)(answer->text + answer->length), ANSWER_BYTES - 1 - answer->length, 0, 0, 0)) > 0)
        answer->length += (uint32_t)got;
    rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
    if (from) {                         /* from the first whole line on */
        char *end = memchr(answer->text, '\n', answer->length);
        uint32_t skip = end ? (uint32_t)(end + 1 - answer->text) : 0;

        memmove(answer->text, answer->text + skip, answer->length - skip);
        answer->length -= skip;
    }
    answer_close(answer);
}

static void do_config(struct answer *answer, unsigned count, char **words, const char *rest)
{
    const char *why = NULL;

    if (count == 1) {
        answer->length = config_text(answer->text, ANSWER_BYTES);
    } else if (count == 3 && strcmp(words[1], "get") == 0) {
        const char *value = config_get(words[2]);

        if (value == NULL) {
            answer_refuse(answer, "there is no key %s", words[2]);
            return;
        }
        answer_add(answer, "%s=%s\n", words[2], value);
    } else if (count >= 3 && strcmp(words[1], "set") == 0) {
        if ((why = config_set_line(rest, strlen(rest))) == NULL)
            answer_add(answer, "%s is stored\n", rest);
    } else {
        why = "give config, config get KEY, or config set KEY=VALUE";
    }
    if (why)
        answer_refuse(answer, "%s", why);
    else
        answer_close(answer);
}

static void stat_answered(void *arg)
{
    struct answer *answer = arg;

    if (answer->call.answered.state != FUTURE_FULFILLED || answer->call.type != NODE_STAT_IS) {
        mem_free(answer->call.reply);
        answer_refuse(answer, "%s", "the node does not answer");
        return;
    }
    for (uint32_t i = 0; i < answer->call.length && answer->length < ANSWER_BYTES - 1; i++) {
        char c = (char)answer->call.reply[i];

        answer->text[answer->length++] = c == '\n' || (c >= ' ' && c <= '~') ? c : '?';
    }
    mem_free(answer->call.reply);
    answer_close(answer);
}

static void do_stat(struct answer *answer, const char *name, uint16_t what)
{
    const struct gpos_node *node = nodes_named(name, strlen(name));
    unsigned count;
    const struct node_interface *own = node_interfaces(&count);

    if (node == NULL) {
        answer_refuse(answer, "there is no node %s", name);
        return;
    }
    if (what == NODE_STAT)
        answer_add(answer, "name %s\nnode %u\nimage %s\nprocess %d\nprefix %u\n", node->name, node->number, node->image, node->pid, node->prefix);
    for (unsigned i = 0; what == NODE_STAT && i < count; i++)
        answer_add(answer, "version.%s %u\n", own[i].name, node->version[i]);
    answer->call = (struct message_call){ 0 };
    message_ask(&answer->call, node->number, NODE_EBB_CONTROL, what, NULL, 0, STAT_PATIENCE_NS);
    future_then(&answer->call.answered, &answer->wait, stat_answered, answer);
}

/* ---- questions ---- */

static void question_do(struct answer *answer, char *line)
{
    char *words[WORDS_MOST] = { NULL }, *rest = line;
    unsigned count = 0;
    static char copy[QUESTION_MOST + 1];

    memcpy(copy, line, strlen(line) + 1);
    for (char *at = copy; *at && count < WORDS_MOST;) {
        while (*at == ' ')
            *at++ = '\0';
        if (*at == '\0')
            break;
        words[count++] = at;
        if (count == 3)
            rest = line + (at - copy);  /* values may hold spaces */
        while (*at && *at != ' ')
            at++;
    }
    if (count == 1 && strcmp(words[0], "ps") == 0)
        do_ps(answer);
    else if (count == 2 && strcmp(words[0], "kill") == 0)
        do_kill(answer, words[1]);
    else if (count == 2 && strcmp(words[0], "logs") == 0)
        do_logs(answer, words[1]);
    else if (count == 2 && strcmp(words[0], "stat") == 0)
        do_stat(answer, words[1], NODE_STAT);
    else if (count == 2 && strcmp(words[0], "profile") == 0)
        do_stat(answer, words[1], NODE_PROFILE);
    else if (count && strcmp(words[0], "config") == 0)
        do_config(answer, count, words, rest);
    else
        answer_refuse(answer, "%s", "give ps, kill NODE, logs NODE, stat NODE, profile NODE, config, config get KEY, or config set KEY=VALUE");
}

/* One that is asked already, or room for a new one: the oldest that is answered gives way. NULL: all are open. */
static struct answer *answer_for(const struct udp_peer *peer, uint32_t number)
{
    struct answer *oldest = NULL;

    for (struct answer *at = answers; at < answers + ANSWERS; at++) {
        if (at->age && at->number == number && at->peer.ip == peer->ip && at->peer.port == peer->port)
            return at;
        if (!at->open && (oldest == NULL || at->age < oldest->age))
            oldest = at;
    }
    return oldest;
}

static bool question_is_text(const struct iobuf *buf)
{
    if (buf->len <= sizeof(struct question_head) || buf->len > sizeof(struct question_head) + QUESTION_MOST)
        return false;
    for (const uint8_t *at = buf->data + sizeof(struct question_head); at < buf->data + buf->len; at++)
        if (*at < ' ' || *at > '~')
            return false;
    return ((const struct question_head *)buf->data)->magic == MAGIC;
}

static void operator_datagram(void *ctx, const struct udp_peer *from, struct iobuf *buf)
{
    char line[QUESTION_MOST + 1];
    struct answer *answer = NULL;

    (void)ctx;
    if (question_is_text(buf)) {
        const struct question_head *head = (const struct question_head *)buf->data;
        size_t length = buf->len - sizeof(*head);

        answer = answer_for(from, head->number);
        if (answer && !(answer->age && answer->number == head->number && answer->peer.ip == from->ip && answer->peer.port == from->port)) {
            char *text = answer->text ? answer->text : mem_alloc(ANSWER_BYTES);

            if (text) {
                *answer = (struct answer){ .peer = *from, .number = head->number, .age = ++asked, .open = true, .text = text };
                memcpy(line, head + 1, length);
                line[length] = '\0';
                question_do(answer, line);
            }
        } else if (answer && !answer->open) {
            answer_send(answer);
        }
    }
    iobuf_free(buf);
}

void operator_start(void)
{
    port = (uint16_t)words_number("operator_port", OPERATOR_PORT, 1, 65535);
    if (!udp_bind(port, operator_datagram, NULL))
        panic("gpos: port %u is taken; give another with operator_port=N", port);
}
