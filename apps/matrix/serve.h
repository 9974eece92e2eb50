/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node that keeps tiles: the matrix's representative there. */
#ifndef MATRIX_SERVE_H
#define MATRIX_SERVE_H

#include "store.h"

/* Takes matrices' messages from now on. False: no more message targets. */
bool matrix_node_start(void);

/* The answer to a request: what is known of the node goes before `values`. */
void matrix_answer(const struct message *question, uint64_t since_ns, uint64_t generated, const void *values, uint32_t length);
void matrix_refuse(const struct message *question, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* MULTIPLY, whose request is `length` bytes of a valid one; keeps what it needs of the message. */
void matrix_multiply(struct matrix_store *store, const struct message *message);

#endif
