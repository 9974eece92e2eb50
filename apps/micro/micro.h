/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the microbenchmarks share: one source per program, built for libos (ring 0, 2 MiB pages, nothing else running) and, where a
 * system is part of the question or at least does not spoil it, for Linux, so that the same program can be tried on hardware.
 *
 * Each prints lines `NAME PARAM VALUE`: a decimal parameter and a figure with two decimals, in cycles unless the program says otherwise.
 * Between them stand lines for who runs the guest: `untimed` and `timed` (what follows is preparation, or is measured), and
 * `mark NAME OPERATIONS` ... `mark end` around OPERATIONS of a kind, which the ledger takes apart. Nothing depends on their being heeded.
 */
#ifndef MICRO_H
#define MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MICRO_LINE 64u          /* bytes of a cache line */
#define MICRO_PAGE 4096u
#define MICRO_SAMPLES 5u        /* a figure is the median of so many */

/* The program. A word it cannot use ends the run with a sentence (micro_fail). */
void micro_main(int argc, char **argv);

/* ---- of the port ---- */

void micro_text(const char *text);
void micro_end(int status) __attribute__((noreturn));
void micro_fail(const char *why) __attribute__((noreturn));

/* Memory, not yet touched and aligned to 2 MiB; ends the run when there is none. Large: in 2 MiB pages, if the system has them. */
void *micro_large(size_t bytes);
void *micro_small(size_t bytes);                /* in 4 KiB pages; at most 16 MiB, once */

/* ---- common ---- */

void micro_number(uint64_t number);
void micro_report(const char *name, uint64_t param, uint64_t hundredths);
void micro_timed(bool timed);
void micro_mark(const char *name, uint64_t operations);
void micro_mark_end(void);

/* Operations of one kind twice, n and 3n of them, each between marks: their difference holds nothing of the marks. */
void micro_window(const char *name, uint64_t n, void (*run)(uint64_t n));

uint64_t micro_median(uint64_t *values, unsigned count);        /* sorts */
uint64_t micro_random(uint64_t *state);                         /* xorshift64*; the state must not be 0 */
uint64_t micro_argument(const char *text, uint64_t most);       /* 1..most, with K or M for powers of 1,024 */
bool micro_same(const char *a, const char *b);

/* Links `count` words, `step(i)` bytes from `base`, to one cycle in random order (Sattolo's); every word holds the next one's address. */
void micro_cycle(uint8_t *base, uint64_t count, uint64_t (*step)(uint64_t i), uint64_t seed);

/* The TSC, when all before has completed. */
static inline uint64_t micro_now(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

#define MICRO_TEXT_(n) #n
#define MICRO_TEXT(n) MICRO_TEXT_(n)
/* The assembly text `code`, n times. */
#define MICRO_REPEAT(n, code) ".rept " MICRO_TEXT(n) "\n\t" code "\n\t.endr\n\t"

#endif
