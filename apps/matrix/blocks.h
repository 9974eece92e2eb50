/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The blocks of a tile that were written, by their index: a binary trie on the index's bits (only where it branches), so that its shape depends
 * on what is in it alone, and a sum over it is in pairs by position, whatever the order of writing.
 */
#ifndef MATRIX_BLOCKS_H
#define MATRIX_BLOCKS_H

#include "matrix.h"

struct matrix_block {
    uint64_t index;                     /* of a branch: the bits above `level`, the others 0 */
    unsigned level;                     /* 0: a block; else what is below differs in bit level - 1 */
    struct matrix_block *half[2];
    double *values;                     /* row by row; outside of the matrix 0 */
};

/* NULL: not there. */
struct matrix_block *matrix_block_find(struct matrix_block *root, uint64_t index);

/* A block with that index, which is not there yet; its values are not set. NULL: no memory. */
struct matrix_block *matrix_block_add(struct matrix_block **root, uint64_t index);

void matrix_blocks_free(struct matrix_block *root);

#define MATRIX_BLOCK_BYTES (MATRIX_BLOCK_ELEMENTS * sizeof(double) + 2 * sizeof(struct matrix_block))   /* with its share of the trie */

#endif
