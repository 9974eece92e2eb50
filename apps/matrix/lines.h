/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line that is being answered: its words, and the one answer it gets. lines.c has the queue, commands.c what can be asked for. */
#ifndef MATRIX_LINES_H
#define MATRIX_LINES_H

#include "front.h"

struct words {                          /* of a line, from here on */
    const char *at, *end;
};

struct command {
    const char *name, *usage;
    void (*run)(struct words *words);   /* answers now, or when its operation is over */
};

extern const struct command line_commands[];    /* the last has no name */

/* ---- the answer ---- */

void line_ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
void line_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void line_values(const double *values, uint64_t count);
void line_answer(const char *text, size_t length);      /* a whole line */
void line_usage(void);                  /* what the command takes */

/* An operation is over: its figures are taken. False: it failed, which was the answer. */
bool line_over(void);
const struct front_figures *line_figures(void);         /* of the last operation */

/* ---- the words ---- */

bool line_word(struct words *words, const char **word, size_t *length);
bool line_at_end(struct words *words);
bool line_number(struct words *words, uint64_t *number);
bool line_value(struct words *words, double *value);

#endif
