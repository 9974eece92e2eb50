/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A matrix of doubles as a distributed Ebb: cut into tiles, each kept by one node, in blocks that are made when they are first written. What was
 * never written has the value of the matrix's base: a constant, or element (row, column) of a counter-based random sequence.
 * Here: shapes, and what nodes say to each other (little-endian, as laid out).
 */
#ifndef MATRIX_H
#define MATRIX_H

#include "distributed.h"

#define MATRIX_KIND 1u                  /* as a distributed Ebb */
#define MATRIX_BLOCK 32u                /* rows, and columns, of a block */
#define MATRIX_BLOCK_ELEMENTS (MATRIX_BLOCK * MATRIX_BLOCK)
#define MATRIX_DIMENSION_MOST 1000000000ull
#define MATRIX_TILES_MOST 4096u         /* of one matrix */
#define MATRIX_RECT_MOST 8000u          /* elements of one message */
#define MATRIX_TILE_MULTIPLIED_MOST (1u << 20)  /* elements of a product's tile: it is worked out in one piece of memory */
#define MATRIX_WORK_MOST (1ul << 28)    /* random elements, or multiplications, that a node does for one message */
#define MATRIX_NOWHERE 0xFFFFu          /* in place of a node: nobody has that tile */

struct matrix_shape {                   /* the description of the Ebb */
    uint64_t rows, columns;
    uint64_t tile_rows, tile_columns;   /* multiples of MATRIX_BLOCK */
};

struct matrix_base {
    uint64_t bits;                      /* the constant's, or the seed */
    uint32_t epoch;                     /* a later one ends what was written under an earlier one */
    uint32_t random;
};

struct matrix_rect {
    uint64_t row, column;
    uint32_t rows, columns;
};

/* All requests to the Ebb begin so. READ, WRITE: a rectangle within one tile; SUM, MULTIPLY: the tile that its corner is in. */
struct matrix_request {
    struct matrix_base base;
    struct matrix_rect rect;
};

struct matrix_product {                 /* behind the request of MULTIPLY: this tile becomes its part of a x b */
    global_id a, b;
    struct matrix_base a_base, b_base;
    struct matrix_shape a_shape, b_shape;
    /* and then, of all tiles of a's row of tiles, the nodes (uint16_t); of all of b's column of tiles, the nodes */
};

enum {
    MATRIX_READ = 1,                    /* answered with the values, row by row */
    MATRIX_WRITE,                       /* followed by the values */
    MATRIX_SUM,                         /* answered with the sum */
    MATRIX_REBASE,                      /* all that was written is no more */
    MATRIX_MULTIPLY,
    MATRIX_DONE = 32,
    MATRIX_REFUSED,                     /* followed by a sentence */
};

struct matrix_done {                    /* before an answer's values */
    uint64_t ns;                        /* that the node was at work */
    uint64_t generated;                 /* random elements that were made */
    uint64_t blocks, tiles;             /* that the node keeps now, of all matrices */
    uint64_t free_bytes;                /* of its memory */
};

/* The node's own service. */
#define EBB_MATRIX_NODE 701u
enum { MATRIX_MEET = 1, MATRIX_MET };

struct matrix_meet {                    /* another node, that messages may come from and go to */
    uint32_t ip;                        /* network byte order */
    uint16_t node, port;
};

/* ---- elements ---- */

/* Philox4x64-10 (Salmon et al., SC11), key (seed, 0), counter (column / 4 + 1, row, 0, 0): row r is NumPy's Philox(key=seed, counter=r << 64). */
void matrix_random_row(uint64_t seed, uint64_t row, uint64_t column, unsigned count, double *out);

/* Elements of a base; returns how many were random ones. */
unsigned matrix_base_row(const struct matrix_base *base, uint64_t row, uint64_t column, unsigned count, double *out);

static inline double matrix_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint64_t matrix_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* ---- shapes ---- */

bool matrix_shape_valid(const struct matrix_shape *shape);

static inline uint64_t matrix_tiles_down(const struct matrix_shape *shape)
{
    return (shape->rows + shape->tile_rows - 1) / shape->tile_rows;
}

static inline uint64_t matrix_tiles_across(const struct matrix_shape *shape)
{
    return (shape->columns + shape->tile_columns - 1) / shape->tile_columns;
}

static inline uint64_t matrix_tile_of(const struct matrix_shape *shape, uint64_t row, uint64_t column)
{
    return row / shape->tile_rows * matrix_tiles_across(shape) + column / shape->tile_columns;
}

/* Whether a rectangle is not empty, in one tile, and fits into a message. */
bool matrix_rect_valid(const struct matrix_shape *shape, const struct matrix_rect *rect);

/* The sum of `count` values in pairs of pairs, position by position: ((0 + 1) + (2 + 3)) + ...; what is missing to a power of two is 0. `values` is used up. */
double matrix_pairwise(double *values, unsigned count);

#endif
