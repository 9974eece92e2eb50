/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A channel's state, and what its parts (channel.c, channel_out.c, channel_in.c) want of each other. Its times and numbers are our choice, but for RFC 6298's. */
#ifndef CHANNEL_PARTS_H
#define CHANNEL_PARTS_H

#include "channel.h"

#define WINDOW 32u                      /* segments under way; a power of two */
#define FIRST_TIMEOUT_NS 5000000ull
#define LEAST_TIMEOUT_NS 200000ull
#define MOST_TIMEOUT_NS 100000000ull
#define TRIES 12u                       /* then the other node is given up */
#define REPEATS 3u
#define SESSION_SHIFT 16u               /* below: how often we gave this node up */
#define ACK_ROUNDS 2u

struct channel {
    uint32_t ip;                        /* 0: no such node */
    uint16_t port;                      /* network byte order */
    uint16_t node;
    /* out */
    struct outgoing *first, **last;     /* not yet acknowledged whole */
    struct outgoing *next;              /* whose segments go next, */
    uint32_t next_at;                   /* from this byte on */
    uint32_t unacknowledged, sequence;  /* first and next number */
    uint64_t sent_at[WINDOW];           /* in ns; 0: sent again, so its answer says nothing of the time */
    uint32_t repeats;
    uint32_t tries;
    uint64_t smooth_ns, varies_ns, timeout_ns;
    struct timer timer;
    /* in */
    uint32_t session;                   /* the other's; 0: not heard of */
    uint32_t own_session;
    uint32_t expected;
    struct iobuf *early[WINDOW];        /* those behind a gap, by number */
    uint8_t *body;                      /* of the message that is coming, of several segments */
    uint32_t have, total;
    uint32_t owes;                      /* an acknowledgement, in so many rounds: answers to what came may carry it */
    struct event answer;
};

/* channel.c */
extern uint16_t channel_own, channel_port;
struct channel *channel_to(unsigned node);      /* NULL: no such node */
unsigned channel_cpu(unsigned node);

/* channel_out.c */
void channel_bare(struct channel *channel, uint32_t session);           /* a segment without data, to an end that says its session is this one */
void channel_push(struct channel *channel);                             /* fills the window */
void channel_fail(struct channel *channel, int error);                  /* all that is under way is lost, and numbers start again */
void channel_acknowledged(struct channel *channel, const struct segment *segment);

/* channel_in.c */
void channel_forget_incoming(struct channel *channel);
void channel_answer(void *arg);                                         /* the event that acknowledges */
bool channel_data(struct channel *channel, struct iobuf *buf);          /* true: the buffer is kept */

#endif
