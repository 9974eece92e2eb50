/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doubles as text, exactly. */
#ifndef MATRIX_DECIMAL_H
#define MATRIX_DECIMAL_H

#include "libos.h"

#define DECIMAL_TEXT 32u

/*
 * Sixteen hexadecimal digits behind an x (the bits), nan, inf, or a decimal number that needs one rounding only: up to 2^53 without its point, times
 * a power of ten of at most 22. False: none of these, and nothing behind it. Others would need long arithmetic: give the bits.
 */
bool decimal_read(const char *text, size_t length, double *value);

/* The shorter of 15 and 17 digits that reads back the same, or the bits. Returns its length, below DECIMAL_TEXT. */
unsigned decimal_write(double value, char *out);
unsigned decimal_write_bits(double value, char *out);

#endif
