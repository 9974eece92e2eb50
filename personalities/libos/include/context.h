/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contexts: straight-line code that may wait. An event runs to completion; a context is a function on a stack of its own that an event
 * enters, and that may stop in the middle, so that its vCPU's other events go on. It is resumed as an event of that vCPU, and belongs to it. What holds
 * for events holds between two waits of a context: nothing preempts it. Nobody waits while holding a lock.
 */
#ifndef CONTEXT_H
#define CONTEXT_H

#include "libos.h"

#define CONTEXT_STACK 61440u    /* bytes; whoever needs more ends the run with a panic that says so */
#define CONTEXTS_MOST 65536u    /* at a time, of a node */

struct context;

/* Runs fn(arg) now, and returns when it has returned or waits. False, and nothing ran: no memory for a stack. */
bool context_run(event_fn fn, void *arg);

struct context *context_current(void);          /* NULL: plain events */

/* Stops the current context until it is resumed, once for each time and by any vCPU; that may have come before. A panic outside a context. */
void context_suspend(void);
void context_resume(struct context *context);

void context_yield(void);                       /* lets what is queued run */
void context_exit(void) __attribute__((noreturn));  /* as if its function returned */

/* Waits until the future is decided. 0, or its error. */
int future_wait(struct future *future);

#endif
