/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The front end: which matrices there are, which node has which tile, and one operation at a time on them. Everything runs on vCPU 0. */
#ifndef MATRIX_FRONT_H
#define MATRIX_FRONT_H

#include "matrix.h"

#define FRONT_MATRICES 256u
#define FRONT_ELEMENTS_MOST (1u << 20)          /* of one read or write */
#define FRONT_SENTENCE 320u

/* ---- nodes ---- */

struct front_node {
    bool known, lost, pooled;
    uint32_t ip;                                /* network byte order */
    uint16_t port;
    uint32_t tiles;                             /* placed there */
    struct matrix_done last;                    /* what it last said of itself */
};

extern struct front_node front_nodes[MESSENGER_NODES];

/* Where nodes come from (provision.c). `number` is set to the new node's, whose messenger is known by then, or to MATRIX_NOWHERE: there are no more. */
struct front_grant {
    uint16_t number;
    uint32_t ip;                                /* network byte order */
    uint16_t port;
    bool pooled;                                /* a machine that was powered on */
    struct future given;
    struct future_wait wait;
    struct node_grant machine;
    struct future_wait machine_wait;
};

void front_provision(struct front_grant *grant);

/* A list of nodes, N@A.B.C.D:PORT or A.B.C.D, joined by commas: they are taken first. False: it is none. */
bool front_provision_list(const char *list);
void front_provision_pool(const char *kind);    /* and then machines of that kind, of gpos */
void front_give_back(void);                     /* machines without tiles; the operation waits */

/* ---- matrices ---- */

struct front_matrix {
    uint32_t number;
    global_id id;
    struct matrix_shape shape;
    struct matrix_base base;
    uint16_t *nodes;                            /* of each tile; MATRIX_NOWHERE: untouched */
    struct future known;                        /* other nodes can find out what its id is */
    struct future_wait wait;
};

/* All zero shape.tile_*: chosen. NULL: refused, with a sentence. */
struct front_matrix *front_matrix_make(struct matrix_shape shape, char *sentence);
void front_matrix_known(struct front_matrix *matrix);   /* the operation waits for that */
struct front_matrix *front_matrix_find(uint64_t number);
void front_matrix_forget(struct front_matrix *matrix);

/* ---- the operation that is under way ---- */

struct front_figures {
    uint64_t since_ns, ns;                      /* of the front end's clock */
    uint64_t node_ns;                           /* that nodes were at work, added up */
    uint64_t generated, messages, bytes;        /* to and from nodes; bytes of their bodies */
    uint32_t provisioned, freed;
};

struct front_operation {
    struct front_matrix *matrix, *a, *b;
    struct matrix_rect rect;                    /* rows x columns may exceed a message's */
    double *values;                             /* row by row */
    double result;
    double *tile_sums;
    void (*step)(void);                         /* when nothing is waited for any more */
    void (*done)(void);                         /* always the last */
    unsigned waiting;
    char failed[FRONT_SENTENCE];
    struct front_figures figures;
};

extern struct front_operation front;
extern uint64_t front_limit;                    /* random elements, or multiplications, of one operation */
extern uint64_t front_patience_ns;

void front_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What is waited for: begin with front_begin, count with front_wait, and take away with front_step; then `step` runs, or, after a failure, `done`. */
void front_begin(void (*step)(void), void (*done)(void));
void front_next(void (*step)(void));            /* from a step: another one follows, with what has been asked for since */
void front_wait(void);
void front_step(void);

/* A node for a tile, if it has none yet. */
void front_place(struct front_matrix *matrix, uint64_t tile);

/* Asks the node of a tile. `take` gets what it answered behind matrix_done. */
typedef void (*front_take)(void *arg, const struct matrix_rect *rect, const uint8_t *values, uint32_t length);

void front_ask(struct front_matrix *matrix, uint64_t tile, uint16_t type, const struct matrix_rect *rect, const void *more, uint32_t more_bytes,
               uint32_t answer_bytes, front_take take, void *arg);

/* The operations: front.matrix, .rect, .values are set; then `done` runs once, with .failed, .values or .result. */
void front_read(void (*done)(void));
void front_write(void (*done)(void));
void front_sum(void (*done)(void));
void front_rebase(struct matrix_base base, void (*done)(void));
void front_multiply(void (*done)(void));
void front_drop(void (*done)(void));            /* front.matrix, and machines that then have no tiles */
void front_create(void (*done)(void));          /* nodes can find out what front.matrix is */

/* ---- lines ---- */

typedef void (*front_reply)(void *arg, const char *text, size_t length);

/* Does what the line says, now or when those before are done; `reply` gets the answer, whole lines. False: too many wait. */
bool front_line(const char *line, size_t length, front_reply reply, void *arg);
bool front_idle(void);
extern unsigned front_log;                      /* 1: figures of each operation, to front_note; 2: a mark when it is over, too, figures at the end */
void front_note(const char *line);              /* front_main.c: on standard error, which is the console */
void front_mark(const char *command);
extern unsigned front_refused;                  /* operations that ended in an error */

#endif
