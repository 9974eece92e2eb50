/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line language: a line asks for an operation, and one line answers, "ok ..." or "error ..."; one after the other. */
#include "lines.h"
#include "decimal.h"
#include "words.h"

#define LINES_WAITING 256u

struct line {
    struct line *next;
    front_reply reply;
    void *arg;
    size_t length;
    char text[];                        /* and a zero */
};

unsigned front_log;
unsigned front_refused;

static struct line *lines, **lines_last = &lines, *line_now;
static unsigned lines_waiting;
static bool line_bits;                  /* values as bits */
static const struct command *line_command = line_commands;
static struct front_figures line_before;        /* of the last operation on matrices */
static struct event line_event;

/* ---- answers ---- */

static void line_next(void *arg);

static void line_log(const char *how)
{
    const struct front_figures *f = &front.figures;
    char text[256];

    if (front_log == 0)
        return;
    if (front_log == 2)
        front_mark(line_command->name);
    format_string(text, sizeof(text), "matrix: %s %s: %lu ns, nodes %lu ns, messages %lu, bytes %lu, generated %lu, provisioned %u, freed %u\n",
                  line_command->name, how, f->ns, f->node_ns, f->messages, f->bytes, f->generated, f->provisioned, f->freed);
    front_note(text);
}

void line_answer(const char *text, size_t length)
{
    struct line *line = line_now;

    line->reply(line->arg, text, length);
    mem_free(front.values);
    front.values = NULL;
    mem_free(line);
    line_now = NULL;
    lines_waiting--;
    if (lines)
        event_post(cpu_id(), &line_event, line_next, NULL);
}

void line_error(const char *format, ...)
{
    char text[FRONT_SENTENCE + 10];
    va_list args;

    format_string(text, sizeof(text), "error ");
    va_start(args, format);
    format_vstring(text + 6, sizeof(text) - 7, format, args);
    va_end(args);
    for (char *at = text; *at; at++)
        *at = *at < ' ' || *at > '~' ? '?' : *at;
    front_refused++;

    size_t length = strlen(text);

    text[length] = '\n';
    line_answer(text, length + 1);
}

void line_ok(const char *format, ...)
{
    char text[512];
    va_list args;

    format_string(text, sizeof(text), "ok ");
    va_start(args, format);
    format_vstring(text + 3, sizeof(text) - 4, format, args);
    va_end(args);

    size_t length = strlen(text);

    text[length] = '\n';
    line_answer(text, length + 1);
}

void line_values(const double *values, uint64_t count)
{
    char *text = mem_alloc(count * DECIMAL_TEXT + 8), *at = text;

    if (text == NULL) {
        line_error("the front end has no memory for the text of %lu values", count);
        return;
    }
    memcpy(at, "ok", 2);
    at += 2;
    for (uint64_t i = 0; i < count; i++) {
        *at++ = ' ';
        at += line_bits ? decimal_write_bits(values[i], at) : decimal_write(values[i], at);
    }
    *at++ = '\n';
    line_answer(text, (size_t)(at - text));
    mem_free(text);
}

bool line_over(void)
{
    front.figures.ns = clock_ns() - front.figures.since_ns;
    line_before = front.figures;
    line_log(front.failed[0] ? "failed" : "done");
    if (front.failed[0])
        line_error("%s", front.failed);
    return front.failed[0] == '\0';
}

void line_usage(void)
{
    line_error("%s takes: %s", line_command->name, line_command->usage[0] ? line_command->usage : "nothing");
}

const struct front_figures *line_figures(void)
{
    return &line_before;
}

/* ---- words ---- */

bool line_word(struct words *words, const char **word, size_t *length)
{
    while (words->at < words->end && *words->at == ' ')
        words->at++;
    *word = words->at;
    while (words->at < words->end && *words->at != ' ')
        words->at++;
    *length = (size_t)(words->at - *word);
    return *length > 0;
}

bool line_at_end(struct words *words)
{
    while (words->at < words->end && *words->at == ' ')
        words->at++;
    return words->at == words->end;
}

bool line_number(struct words *words, uint64_t *number)
{
    const char *word, *end;
    size_t length;

    return line_word(words, &word, &length) && length <= 20 && matrix_number_at(word, ~0ull >> 1, number, &end) && end == word + length;
}

bool line_value(struct words *words, double *value)
{
    const char *word;
    size_t length;

    return line_word(words, &word, &length) && decimal_read(word, length, value);
}

/* ---- lines ---- */

static void line_run(struct line *line)
{
    struct words words = { line->text, line->text + line->length };
    const char *word;
    size_t length;

    line_bits = false;
    line_word(&words, &word, &length);
    if (length == 1 && *word == 'x') {
        line_bits = true;
        line_word(&words, &word, &length);
    }
    for (const struct command *command = line_commands; command->name; command++)
        if (strlen(command->name) == length && memcmp(command->name, word, length) == 0) {
            line_command = command;
            front.figures = (struct front_figures){ .since_ns = clock_ns() };
            command->run(&words);
            return;
        }

    char text[256];
    unsigned at = 0;

    for (const struct command *command = line_commands; command->name; command++)
        at += (unsigned)format_string(text + at, sizeof(text) - at, "%s %s", at ? "," : "", command->name);
    line_error("there is no such command; there are:%s", text);
}

static void line_next(void *arg)
{
    (void)arg;
    if (line_now || lines == NULL)
        return;
    line_now = lines;
    lines = lines->next;
    if (lines == NULL)
        lines_last = &lines;
    line_run(line_now);
}

bool front_idle(void)
{
    return lines_waiting == 0;
}

bool front_line(const char *text, size_t length, front_reply reply, void *arg)
{
    struct line *line = lines_waiting < LINES_WAITING ? mem_alloc(sizeof(*line) + length + 1) : NULL;

    if (line == NULL)
        return false;
    *line = (struct line){ .reply = reply, .arg = arg, .length = length };
    memcpy(line->text, text, length);
    line->text[length] = '\0';
    *lines_last = line;
    lines_last = &line->next;
    if (lines_waiting++ == 0)
        event_post(cpu_id(), &line_event, line_next, NULL);
    return true;
}
