/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one node keeps of one matrix. One lock each: nodes of several vCPUs take turns. Rectangles and tiles are valid ones. */
#ifndef MATRIX_STORE_H
#define MATRIX_STORE_H

#include "blocks.h"

struct matrix_store {
    struct spinlock lock;
    struct matrix_shape shape;
    struct matrix_base base;
    struct matrix_block **tiles;        /* by number: what was written there */
};

void matrix_store_start(void);          /* once, when the node has nothing yet: decides how many blocks it will keep at most */

struct matrix_store *matrix_store_make(const struct matrix_shape *shape);       /* NULL: no memory */

/* A later epoch ends what was written before it. False: this one is over. */
bool matrix_store_rebase(struct matrix_store *store, const struct matrix_base *base);

uint64_t matrix_store_read(struct matrix_store *store, const struct matrix_rect *rect, double *out);   /* random elements made */

/* All of it or, without memory, nothing. */
bool matrix_store_write(struct matrix_store *store, const struct matrix_rect *rect, const double *values, uint64_t *generated);

/*
 * In pairs: the elements of a block row by row, a tile's blocks row by row. Untouched ones of a constant base c are not visited, but count as
 * c times their number; those of a random one are made.
 */
double matrix_store_sum(struct matrix_store *store, uint64_t tile, uint64_t *generated);

/* Of all stores of this node. */
struct matrix_kept {
    uint64_t blocks, tiles;
};

struct matrix_kept matrix_kept(void);

#endif
