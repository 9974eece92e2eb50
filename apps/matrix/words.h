/* SPDX-License-Identifier: GPL-2.0-or-later */
/* key=value words, on the command line before " -- " or among the program's own; addresses. */
#ifndef MATRIX_WORDS_H
#define MATRIX_WORDS_H

#include "libos.h"

const char *matrix_word(int argc, char **argv, const char *key, const char *fallback);

/* A panic, in a sentence, when it is no number from `least` to `most`. */
uint32_t matrix_word_number(int argc, char **argv, const char *key, uint32_t fallback, uint32_t least, uint32_t most);

/* An IPv4 address in network byte order, at the begin of a text; 0: none is there. `end`, unless NULL, is set behind it. */
uint32_t matrix_address_at(const char *text, const char **end);

/* N@A.B.C.D:PORT, at the begin of a text; without N@ or :PORT these stay as they are. False: none is there. */
struct matrix_end {
    uint64_t node, port;
    uint32_t ip;
};

bool matrix_end_at(const char *text, struct matrix_end *found, const char **end);

/* A decimal number at the begin of a text, at most `most`; false: none, or more. */
bool matrix_number_at(const char *text, uint64_t most, uint64_t *number, const char **end);

#endif
