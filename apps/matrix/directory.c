/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which matrices there are, and who has their tiles. */
#include "front.h"

#define TILES_ACROSS 10u                /* unless told */

static struct front_matrix *matrices[FRONT_MATRICES];
static uint32_t matrices_made;

static uint64_t front_tile_side(uint64_t side)
{
    uint64_t tile = (side + TILES_ACROSS - 1) / TILES_ACROSS;

    return (tile + MATRIX_BLOCK - 1) / MATRIX_BLOCK * MATRIX_BLOCK;
}

static uint64_t front_rounded(uint64_t side)
{
    return (side + MATRIX_BLOCK - 1) / MATRIX_BLOCK * MATRIX_BLOCK;
}

static bool front_sides(struct matrix_shape *shape, char *sentence)
{
    if (shape->rows - 1 >= MATRIX_DIMENSION_MOST || shape->columns - 1 >= MATRIX_DIMENSION_MOST) {
        format_string(sentence, FRONT_SENTENCE, "a matrix has 1 to %llu rows and columns, not %lu and %lu", MATRIX_DIMENSION_MOST, shape->rows,
                      shape->columns);
        return false;
    }
    if (shape->tile_rows == 0)
        shape->tile_rows = front_tile_side(shape->rows);
    if (shape->tile_columns == 0)
        shape->tile_columns = front_tile_side(shape->columns);
    if (shape->tile_rows > front_rounded(shape->rows))
        shape->tile_rows = front_rounded(shape->rows);
    if (shape->tile_columns > front_rounded(shape->columns))
        shape->tile_columns = front_rounded(shape->columns);
    if (!matrix_shape_valid(shape)) {
        format_string(sentence, FRONT_SENTENCE, "tiles of %lu x %lu elements: give multiples of %u that make at most %u tiles", shape->tile_rows,
                      shape->tile_columns, MATRIX_BLOCK, MATRIX_TILES_MOST);
        return false;
    }
    return true;
}

struct front_matrix *front_matrix_make(struct matrix_shape shape, char *sentence)
{
    struct front_matrix **slot = matrices, *matrix;

    if (!front_sides(&shape, sentence))
        return NULL;
    while (slot < matrices + FRONT_MATRICES && *slot)
        slot++;
    if (slot == matrices + FRONT_MATRICES) {
        format_string(sentence, FRONT_SENTENCE, "there are %u matrices already; drop one", FRONT_MATRICES);
        return NULL;
    }

    uint64_t tiles = matrix_tiles_down(&shape) * matrix_tiles_across(&shape);

    matrix = mem_zalloc(sizeof(*matrix));
    if (matrix)
        matrix->nodes = mem_alloc(tiles * sizeof(*matrix->nodes));
    if (matrix && matrix->nodes)
        matrix->id = distributed_create(MATRIX_KIND, &shape, sizeof(shape), &matrix->known);
    if (matrix == NULL || matrix->id == 0) {
        format_string(sentence, FRONT_SENTENCE, node_number() && !node_joined() ? "gpos does not answer: another matrix needs an id of its"
                                                                                 : "the front end has no memory for another matrix");
        if (matrix)
            mem_free(matrix->nodes);
        mem_free(matrix);
        return NULL;
    }
    for (uint64_t i = 0; i < tiles; i++)
        matrix->nodes[i] = MATRIX_NOWHERE;
    matrix->number = ++matrices_made;
    matrix->shape = shape;
    matrix->base.epoch = 1;
    *slot = matrix;
    return matrix;
}

static void front_known(void *arg)
{
    const struct front_matrix *matrix = arg;

    if (matrix->known.state == FUTURE_FAILED)
        front_fail("gpos does not answer: it must know what matrix %u is before other nodes have a part of it", matrix->number);
    front_step();
}

void front_matrix_known(struct front_matrix *matrix)
{
    front_wait();
    future_then(&matrix->known, &matrix->wait, front_known, matrix);
}

struct front_matrix *front_matrix_find(uint64_t number)
{
    for (unsigned i = 0; i < FRONT_MATRICES; i++)
        if (matrices[i] && matrices[i]->number == number)
            return matrices[i];
    return NULL;
}

void front_matrix_forget(struct front_matrix *matrix)
{
    uint64_t tiles = matrix_tiles_down(&matrix->shape) * matrix_tiles_across(&matrix->shape);

    for (uint64_t i = 0; i < tiles; i++)
        if (matrix->nodes[i] != MATRIX_NOWHERE)
            front_nodes[matrix->nodes[i]].tiles--;
    for (unsigned i = 0; i < FRONT_MATRICES; i++)
        if (matrices[i] == matrix)
            matrices[i] = NULL;
    mem_free(matrix->nodes);
    mem_free(matrix);
}
