/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the 9P client's parts want of each other: ninep.c (sessions, tags), ninep_calls.c (questions), ninep_reply.c (replies), and carriers. */
#ifndef NINEP_PARTS_H
#define NINEP_PARTS_H

#include "ninep.h"
#include "wire.h"

#define NINEP_PATIENCE_NS 4000000000ull

/* How frames get there and back. A carrier has one question under way (`tags` 1), or several. */
struct ninep_carrier {
    unsigned tags;
    void (*send)(struct ninep_call *call);      /* call->frame; then ninep_have or ninep_lost, once, on any vCPU */
    void (*over)(struct ninep *session);        /* the session has ended: no more is sent; what is under way is still owed. NULL: nothing to do */
};

extern const struct ninep_carrier ninep_by_messages;

/* ninep.c */
void ninep_start(struct ninep *session, const struct ninep_carrier *by, struct future *begun);
void ninep_ask(struct ninep *session, struct ninep_call *call);         /* call->frame is whole but for its tag; NULL: no memory */
void ninep_have(struct ninep_call *call, const uint8_t *frame, uint32_t size);
void ninep_lost(struct ninep_call *call, int error);                    /* and with it the session */
void ninep_end(struct ninep *session, int why);

/* ninep_calls.c: frames of the session's own. False: no memory. */
bool ninep_put_version(struct ninep_call *call);
bool ninep_put_attach(struct ninep_call *call);

/* ninep_reply.c: what the frame says of the question; 0, or an error of ninep.h. Nothing in the frame is trusted. */
int ninep_reply(struct ninep_call *call, const uint8_t *frame, uint32_t size);

#endif
