/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be done with matrices, each in steps: nodes for untouched tiles first, where the work needs them, then questions to all at once. */
#include "front.h"

/* ---- rectangles, tile by tile and message by message ---- */

typedef void (*front_part)(uint64_t tile, const struct matrix_rect *rect);

static uint32_t front_less(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* The part of the operation's rectangle in each tile. */
static void front_each_tile(front_part part)
{
    const struct matrix_shape *shape = &front.matrix->shape;
    const struct matrix_rect *whole = &front.rect;
    struct matrix_rect rect;

    for (uint64_t row = whole->row; row < whole->row + whole->rows; row += rect.rows) {
        rect.row = row;
        rect.rows = front_less(whole->row + whole->rows - row, shape->tile_rows - row % shape->tile_rows);
        for (uint64_t column = whole->column; column < whole->column + whole->columns; column += rect.columns) {
            rect.column = column;
            rect.columns = front_less(whole->column + whole->columns - column, shape->tile_columns - column % shape->tile_columns);
            part(matrix_tile_of(shape, row, column), &rect);
        }
    }
}

/* In pieces of what a message holds. */
static void front_pieces(uint64_t tile, const struct matrix_rect *rect, front_part part)
{
    struct matrix_rect piece;

    for (uint32_t column = 0; column < rect->columns; column += piece.columns) {
        piece.columns = front_less(rect->columns - column, MATRIX_RECT_MOST);
        piece.column = rect->column + column;
        for (uint32_t row = 0; row < rect->rows; row += piece.rows) {
            piece.rows = front_less(rect->rows - row, MATRIX_RECT_MOST / piece.columns);
            piece.row = rect->row + row;
            part(tile, &piece);
        }
    }
}

static double *front_values_at(uint64_t row, uint64_t column)
{
    return front.values + (row - front.rect.row) * front.rect.columns + (column - front.rect.column);
}

/* ---- read ---- */

static void front_read_took(void *arg, const struct matrix_rect *rect, const uint8_t *values, uint32_t length)
{
    (void)arg;
    (void)length;
    for (uint32_t i = 0; i < rect->rows; i++)
        memcpy(front_values_at(rect->row + i, rect->column), values + (uint64_t)i * rect->columns * sizeof(double), rect->columns * sizeof(double));
}

static void front_read_piece(uint64_t tile, const struct matrix_rect *rect)
{
    front_ask(front.matrix, tile, MATRIX_READ, rect, NULL, 0, rect->rows * rect->columns * (uint32_t)sizeof(double), front_read_took, NULL);
}

/* What nobody has is the base's. */
static void front_read_tile(uint64_t tile, const struct matrix_rect *rect)
{
    if (front.matrix->nodes[tile] != MATRIX_NOWHERE) {
        front_pieces(tile, rect, front_read_piece);
        return;
    }
    for (uint32_t i = 0; i < rect->rows; i++)
        front.figures.generated +=
            matrix_base_row(&front.matrix->base, rect->row + i, rect->column, rect->columns, front_values_at(rect->row + i, rect->column));
}

void front_read(void (*done)(void))
{
    front_begin(done, done);
    front_each_tile(front_read_tile);
}

/* ---- write ---- */

static void front_write_piece(uint64_t tile, const struct matrix_rect *rect)
{
    uint32_t bytes = rect->rows * rect->columns * (uint32_t)sizeof(double);
    double *values = mem_alloc(bytes);

    if (values == NULL) {
        front_fail("the front end has no memory for %u bytes", bytes);
        return;
    }
    for (uint32_t i = 0; i < rect->rows; i++)
        memcpy(values + (uint64_t)i * rect->columns, front_values_at(rect->row + i, rect->column), rect->columns * sizeof(double));
    front_ask(front.matrix, tile, MATRIX_WRITE, rect, values, bytes, 0, NULL, NULL);
    mem_free(values);
}

static void front_write_tile(uint64_t tile, const struct matrix_rect *rect)
{
    front_pieces(tile, rect, front_write_piece);
}

static void front_place_part(uint64_t tile, const struct matrix_rect *rect)
{
    (void)rect;
    front_place(front.matrix, tile);
}

static void front_write_placed(void)
{
    front_next(front.done);
    front_each_tile(front_write_tile);
}

void front_write(void (*done)(void))
{
    front_begin(front_write_placed, done);
    front_each_tile(front_place_part);
}

/* ---- whole matrices ---- */

static uint64_t front_tiles(const struct front_matrix *matrix)
{
    return matrix_tiles_down(&matrix->shape) * matrix_tiles_across(&matrix->shape);
}

static struct matrix_rect front_tile(const struct front_matrix *matrix, uint64_t tile)
{
    const struct matrix_shape *shape = &matrix->shape;
    uint64_t row = tile / matrix_tiles_across(shape) * shape->tile_rows, column = tile % matrix_tiles_across(shape) * shape->tile_columns;

    return (struct matrix_rect){ row, column, 1, 1 };
}

static void front_place_all(struct front_matrix *matrix)
{
    for (uint64_t tile = 0; tile < front_tiles(matrix); tile++)
        front_place(matrix, tile);
}

/* ---- sum: in pairs by tile ---- */

static void front_sum_took(void *arg, const struct matrix_rect *rect, const uint8_t *values, uint32_t length)
{
    (void)rect;
    memcpy(arg, values, length);
}

static void (*front_sum_then)(void);

static void front_sum_done(void)
{
    if (front.failed[0] == '\0')
        front.result = matrix_pairwise(front.tile_sums, (unsigned)front_tiles(front.matrix));
    mem_free(front.tile_sums);
    front.tile_sums = NULL;
    front_sum_then();
}

/* A tile that nobody has sums to the constant times its size. */
static void front_sum_placed(void)
{
    const struct matrix_shape *shape = &front.matrix->shape;

    front_sum_then = front.done;
    front.done = front_sum_done;
    front_next(front_sum_done);
    front.tile_sums = mem_zalloc(front_tiles(front.matrix) * sizeof(double));
    if (front.tile_sums == NULL)
        front_fail("the front end has no memory for the tiles' sums");
    for (uint64_t tile = 0; front.tile_sums && tile < front_tiles(front.matrix); tile++) {
        struct matrix_rect rect = front_tile(front.matrix, tile);

        if (front.matrix->nodes[tile] != MATRIX_NOWHERE) {
            front_ask(front.matrix, tile, MATRIX_SUM, &rect, NULL, 0, sizeof(double), front_sum_took, &front.tile_sums[tile]);
            continue;
        }

        uint64_t rows = front_less(shape->rows - rect.row, shape->tile_rows), columns = front_less(shape->columns - rect.column, shape->tile_columns);
        double constant = matrix_double(front.matrix->base.bits);

        front.tile_sums[tile] = constant != 0 ? constant * (double)(rows * columns) : 0;
    }
}

void front_sum(void (*done)(void))
{
    const struct matrix_shape *shape = &front.matrix->shape;
    bool random = front.matrix->base.random;

    front_begin(front_sum_placed, done);
    if (random && shape->rows * shape->columns > front_limit)
        front_fail("to add it up, up to %lu random elements must be made, on up to %lu nodes; the limit is %lu (limit N)", shape->rows * shape->columns,
                   front_tiles(front.matrix), front_limit);
    else if (random)
        front_place_all(front.matrix);
}

/* ---- fill, randomize: untouched tiles hear nothing ---- */

void front_rebase(struct matrix_base base, void (*done)(void))
{
    struct front_matrix *matrix = front.matrix;
    struct matrix_rect rect;
    bool told[MESSENGER_NODES] = { false };

    base.epoch = matrix->base.epoch + 1;
    matrix->base = base;
    front_begin(done, done);
    for (uint64_t tile = 0; tile < front_tiles(matrix); tile++) {
        uint16_t node = matrix->nodes[tile];

        if (node == MATRIX_NOWHERE || told[node])
            continue;
        if (front_nodes[node].lost) {   /* what was lost there is no more anyhow */
            matrix->nodes[tile] = MATRIX_NOWHERE;
            front_nodes[node].tiles--;
            continue;
        }
        told[node] = true;
        rect = front_tile(matrix, tile);
        front_ask(matrix, tile, MATRIX_REBASE, &rect, NULL, 0, 0, NULL, NULL);
    }
}

/* ---- multiply: each tile of the product where it will be kept ---- */

static uint32_t front_factors(uint8_t *out, uint64_t tile)
{
    const struct front_matrix *a = front.a, *b = front.b;
    uint64_t across = matrix_tiles_across(&front.matrix->shape), row = tile / across, column = tile % across;
    uint64_t inner_a = matrix_tiles_across(&a->shape), inner_b = matrix_tiles_down(&b->shape);
    struct matrix_product product = { a->id, b->id, a->base, b->base, a->shape, b->shape };
    uint16_t *nodes = (uint16_t *)(out + sizeof(product));

    memcpy(out, &product, sizeof(product));
    for (uint64_t k = 0; k < inner_a; k++)
        *nodes++ = a->nodes[row * inner_a + k];
    for (uint64_t k = 0; k < inner_b; k++)
        *nodes++ = b->nodes[k * matrix_tiles_across(&b->shape) + column];
    return (uint32_t)((uint8_t *)nodes - out);
}

static void front_multiply_placed(void)
{
    static uint8_t factors[sizeof(struct matrix_product) + 2 * MATRIX_TILES_MOST * sizeof(uint16_t)] __attribute__((aligned(8)));

    front_next(front.done);
    for (uint64_t tile = 0; tile < front_tiles(front.matrix); tile++) {
        struct matrix_rect rect = front_tile(front.matrix, tile);

        front_ask(front.matrix, tile, MATRIX_MULTIPLY, &rect, factors, front_factors(factors, tile), 0, NULL, NULL);
    }
}

static void front_check_factor(const struct front_matrix *factor)
{
    for (uint64_t tile = 0; tile < front_tiles(factor); tile++)
        if (factor->nodes[tile] != MATRIX_NOWHERE && front_nodes[factor->nodes[tile]].lost)
            front_fail("node %u is lost, and with it what it had of matrix %u; fill or randomize starts anew", factor->nodes[tile], factor->number);
}

void front_multiply(void (*done)(void))
{
    front_begin(front_multiply_placed, done);
    front_matrix_known(front.matrix);
    front_check_factor(front.a);
    front_check_factor(front.b);
    if (front.failed[0] == '\0')
        front_place_all(front.matrix);
}

void front_create(void (*done)(void))
{
    front_begin(done, done);
    front_matrix_known(front.matrix);
}

/* ---- drop ---- */

static void (*front_drop_then)(void);

static void front_dropped(void)
{
    if (front.failed[0]) {
        front_drop_then();
        return;
    }
    front_matrix_forget(front.matrix);
    front.done = front_drop_then;
    front_next(front_drop_then);
    front_give_back();
}

void front_drop(void (*done)(void))
{
    front_drop_then = done;
    front_rebase((struct matrix_base){ 0 }, front_dropped);
}
