/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of real programs, to be measured by one binary on hardware and in a guest: `NAME SIZE CYCLES` lines, cycles (of the TSC) a unit of
 * work, the median of as many samples as the first word says (9). The work of a sample is long enough that reading the TSC is lost in it.
 */
#ifndef KERNELS_H
#define KERNELS_H

#include "../micro/micro.h"

void kernels_run(void);      /* the program: measures one size after the other */

/* Does the kernel's work once over its prepared data; returns the units done (bytes, keys, nodes, commands). */
typedef uint64_t (*kernel_fn)(void);

/* Repeats `run` until a sample is long enough, and reports hundredths of cycles for `scale` units. */
void kernel_measure(const char *name, uint64_t size, kernel_fn run, uint64_t scale);

extern volatile uint64_t kernel_result;     /* what the kernels compute goes here, lest they be left out */

#endif
