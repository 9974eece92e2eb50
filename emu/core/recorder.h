/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the predictor can tell beyond a number: each micro-op's way through the window, and the window with some bound taken away. */
#ifndef CS_RECORDER_H
#define CS_RECORDER_H
#include "window.h"

struct recorder;
struct recorder *recorder_new(struct window *, const struct uops *, cs_uop_view *out, uint32_t max);   /* NULL: no memory */
void recorder_free(struct recorder *);
void recorder_attach(struct recorder *);                          /* as the window's witness, from now on */
void recorder_iteration(struct recorder *, uint32_t number, const struct accesses *);     /* one begins */
uint32_t recorder_count(const struct recorder *);

void predict_lift(struct window *, struct uops *, uint32_t lift);    /* lift.c: enum cs_lift */
#endif
