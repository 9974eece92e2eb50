/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store.h"

#define CHUNK 65536u                    /* as the allocator hands memory out: memory of one size stays with that size, so it is blocks that are counted */
#define CHUNK_BLOCKS (CHUNK / (MATRIX_BLOCK_ELEMENTS * sizeof(double)) - 1)

static struct matrix_kept matrix_all;
static uint64_t matrix_blocks_most;

/* An eighth of the memory, and at least 1 MiB, stays for messages and indexes: a full node still answers. */
void matrix_store_start(void)
{
    uint64_t bytes = mem_free_bytes(), kept = bytes / 8 > 1u << 20 ? bytes / 8 : 1u << 20;

    matrix_blocks_most = bytes > kept ? (bytes - kept) / CHUNK * CHUNK_BLOCKS : 0;
}

/* A tile's place and its blocks: where row `row` and column `column` of the matrix lie. */
struct matrix_place {
    uint64_t row, column;               /* of its corner */
    uint64_t rows, columns;             /* less at the matrix's edges */
    uint64_t blocks_across;
};

static struct matrix_place matrix_place(const struct matrix_shape *shape, uint64_t tile)
{
    struct matrix_place place = {
        .row = tile / matrix_tiles_across(shape) * shape->tile_rows,
        .column = tile % matrix_tiles_across(shape) * shape->tile_columns,
    };
    uint64_t down = shape->rows - place.row, across = shape->columns - place.column;

    place.rows = down < shape->tile_rows ? down : shape->tile_rows;
    place.columns = across < shape->tile_columns ? across : shape->tile_columns;
    place.blocks_across = (place.columns + MATRIX_BLOCK - 1) / MATRIX_BLOCK;
    return place;
}

static uint64_t matrix_block_at(const struct matrix_place *place, uint64_t row, uint64_t column)
{
    return (row - place->row) / MATRIX_BLOCK * place->blocks_across + (column - place->column) / MATRIX_BLOCK;
}

static unsigned matrix_least(uint64_t a, uint64_t b)
{
    return (unsigned)(a < b ? a : b);
}

struct matrix_store *matrix_store_make(const struct matrix_shape *shape)
{
    struct matrix_store *store = mem_zalloc(sizeof(*store));

    if (store == NULL)
        return NULL;
    store->shape = *shape;
    store->tiles = mem_zalloc(matrix_tiles_down(shape) * matrix_tiles_across(shape) * sizeof(*store->tiles));
    if (store->tiles == NULL) {
        mem_free(store);
        return NULL;
    }
    return store;
}

static uint64_t matrix_count(const struct matrix_block *root)
{
    return root == NULL ? 0 : root->level == 0 ? 1 : matrix_count(root->half[0]) + matrix_count(root->half[1]);
}

bool matrix_store_rebase(struct matrix_store *store, const struct matrix_base *base)
{
    uint64_t tiles = matrix_tiles_down(&store->shape) * matrix_tiles_across(&store->shape);

    spin_lock(&store->lock);

    bool newer = base->epoch > store->base.epoch, same = base->epoch == store->base.epoch;

    for (uint64_t i = 0; newer && i < tiles; i++)
        if (store->tiles[i]) {
            __atomic_sub_fetch(&matrix_all.blocks, matrix_count(store->tiles[i]), __ATOMIC_RELAXED);
            __atomic_sub_fetch(&matrix_all.tiles, 1, __ATOMIC_RELAXED);
            matrix_blocks_free(store->tiles[i]);
            store->tiles[i] = NULL;
        }
    if (newer)
        store->base = *base;
    spin_unlock(&store->lock);
    return newer || same;
}

/* What a rectangle and a block have in common: rows and columns, and where they begin in the block's values and in the rectangle's. */
struct matrix_common {
    uint64_t row, column;
    unsigned rows, columns;
    uint64_t in_block, in_rect;
};

static struct matrix_common matrix_overlap(const struct matrix_place *place, const struct matrix_rect *rect, uint64_t index)
{
    uint64_t row = place->row + index / place->blocks_across * MATRIX_BLOCK, column = place->column + index % place->blocks_across * MATRIX_BLOCK;
    struct matrix_common common = { .row = row > rect->row ? row : rect->row, .column = column > rect->column ? column : rect->column };

    common.rows = matrix_least(row + MATRIX_BLOCK - common.row, rect->row + rect->rows - common.row);
    common.columns = matrix_least(column + MATRIX_BLOCK - common.column, rect->column + rect->columns - common.column);
    common.in_block = (common.row - row) * MATRIX_BLOCK + (common.column - column);
    common.in_rect = (common.row - rect->row) * rect->columns + (common.column - rect->column);
    return common;
}

/* A block as the base has it, in the matrix; 0 outside. */
static uint64_t matrix_fill(const struct matrix_store *store, const struct matrix_place *place, uint64_t index, double *values)
{
    uint64_t down = index / place->blocks_across * MATRIX_BLOCK, across = index % place->blocks_across * MATRIX_BLOCK;
    unsigned rows = matrix_least(MATRIX_BLOCK, place->rows - down), columns = matrix_least(MATRIX_BLOCK, place->columns - across);
    uint64_t generated = 0;

    if (rows < MATRIX_BLOCK || columns < MATRIX_BLOCK)
        memset(values, 0, MATRIX_BLOCK_ELEMENTS * sizeof(double));
    for (unsigned i = 0; i < rows; i++)
        generated += matrix_base_row(&store->base, place->row + down + i, place->column + across, columns, values + i * MATRIX_BLOCK);
    return generated;
}

typedef bool (*matrix_visit)(struct matrix_store *store, struct matrix_block **root, const struct matrix_place *place, uint64_t index, void *arg);

/* Every block that a rectangle has a part in, until a visit says false. */
static bool matrix_each_block(struct matrix_store *store, const struct matrix_rect *rect, matrix_visit visit, void *arg)
{
    uint64_t tile = matrix_tile_of(&store->shape, rect->row, rect->column);
    struct matrix_place place = matrix_place(&store->shape, tile);
    uint64_t first = matrix_block_at(&place, rect->row, rect->column);
    uint64_t last = matrix_block_at(&place, rect->row + rect->rows - 1, rect->column + rect->columns - 1);
    uint64_t width = last % place.blocks_across - first % place.blocks_across + 1;

    for (uint64_t line = first; line <= last; line += place.blocks_across)
        for (uint64_t index = line; index < line + width; index++)
            if (!visit(store, &store->tiles[tile], &place, index, arg))
                return false;
    return true;
}

struct matrix_copy {
    const struct matrix_rect *rect;
    double *out;
    const double *in;
    uint64_t generated;
};

static bool matrix_read_block(struct matrix_store *store, struct matrix_block **root, const struct matrix_place *place, uint64_t index, void *arg)
{
    struct matrix_copy *copy = arg;
    const struct matrix_block *block = matrix_block_find(*root, index);
    struct matrix_common common = matrix_overlap(place, copy->rect, index);

    for (unsigned i = 0; i < common.rows; i++) {
        double *to = copy->out + common.in_rect + i * copy->rect->columns;

        if (block)
            memcpy(to, block->values + common.in_block + i * MATRIX_BLOCK, common.columns * sizeof(double));
        else
            copy->generated += matrix_base_row(&store->base, common.row + i, common.column, common.columns, to);
    }
    return true;
}

static bool matrix_make_block(struct matrix_store *store, struct matrix_block **root, const struct matrix_place *place, uint64_t index, void *arg)
{
    struct matrix_copy *copy = arg;
    bool first = *root == NULL;

    if (matrix_block_find(*root, index))
        return true;

    struct matrix_block *block = __atomic_load_n(&matrix_all.blocks, __ATOMIC_RELAXED) < matrix_blocks_most ? matrix_block_add(root, index) : NULL;

    if (block == NULL)
        return false;
    copy->generated += matrix_fill(store, place, index, block->values);
    __atomic_add_fetch(&matrix_all.blocks, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&matrix_all.tiles, first, __ATOMIC_RELAXED);
    return true;
}

static bool matrix_write_block(struct matrix_store *store, struct matrix_block **root, const struct matrix_place *place, uint64_t index, void *arg)
{
    struct matrix_copy *copy = arg;

    struct matrix_block *block = matrix_block_find(*root, index);
    struct matrix_common common = matrix_overlap(place, copy->rect, index);

    (void)store;
    for (unsigned i = 0; i < common.rows; i++)
        memcpy(block->values + common.in_block + i * MATRIX_BLOCK, copy->in + common.in_rect + i * copy->rect->columns,
               common.columns * sizeof(double));
    return true;
}

uint64_t matrix_store_read(struct matrix_store *store, const struct matrix_rect *rect, double *out)
{
    struct matrix_copy copy = { rect, out, NULL, 0 };

    spin_lock(&store->lock);
    matrix_each_block(store, rect, matrix_read_block, &copy);
    spin_unlock(&store->lock);
    return copy.generated;
}

bool matrix_store_write(struct matrix_store *store, const struct matrix_rect *rect, const double *values, uint64_t *generated)
{
    struct matrix_copy copy = { rect, NULL, values, 0 };

    spin_lock(&store->lock);

    bool room = matrix_each_block(store, rect, matrix_make_block, &copy) && matrix_each_block(store, rect, matrix_write_block, &copy);

    spin_unlock(&store->lock);
    *generated = copy.generated;
    return room;
}

/* ---- sums ---- */

struct matrix_summing {
    const struct matrix_store *store;
    struct matrix_place place;
    uint64_t blocks;                    /* of the tile */
    uint64_t generated, touched;        /* elements */
};

static __attribute__((noinline)) double matrix_sum_block(struct matrix_summing *sum, const struct matrix_block *block, uint64_t index)
{
    double values[MATRIX_BLOCK_ELEMENTS];
    uint64_t down = index / sum->place.blocks_across * MATRIX_BLOCK, across = index % sum->place.blocks_across * MATRIX_BLOCK;

    if (block) {
        memcpy(values, block->values, sizeof(values));
        sum->touched += (uint64_t)matrix_least(MATRIX_BLOCK, sum->place.rows - down) * matrix_least(MATRIX_BLOCK, sum->place.columns - across);
    } else {
        sum->generated += matrix_fill(sum->store, &sum->place, index, values);
    }
    return matrix_pairwise(values, MATRIX_BLOCK_ELEMENTS);
}

/* Blocks first .. first + 2^level - 1, of which `root` has the written ones. */
static double matrix_sum_range(struct matrix_summing *sum, const struct matrix_block *root, uint64_t first, unsigned level)
{
    if (first >= sum->blocks || (root == NULL && !sum->store->base.random))
        return 0;
    if (level == 0)
        return matrix_sum_block(sum, root, first);

    uint64_t middle = first + (1ull << (level - 1));
    const struct matrix_block *low = root, *high = root;

    if (root && root->level == level) {
        low = root->half[0];
        high = root->half[1];
    } else if (root && root->index >= middle) {
        low = NULL;
    } else {
        high = NULL;
    }

    double left = matrix_sum_range(sum, low, first, level - 1);

    return left + matrix_sum_range(sum, high, middle, level - 1);
}

double matrix_store_sum(struct matrix_store *store, uint64_t tile, uint64_t *generated)
{
    struct matrix_summing sum = { .store = store, .place = matrix_place(&store->shape, tile) };
    unsigned level = 0;

    sum.blocks = (sum.place.rows + MATRIX_BLOCK - 1) / MATRIX_BLOCK * sum.place.blocks_across;
    while (1ull << level < sum.blocks)
        level++;
    spin_lock(&store->lock);

    double total = matrix_sum_range(&sum, store->tiles[tile], 0, level);
    double constant = matrix_double(store->base.bits);
    uint64_t untouched = sum.place.rows * sum.place.columns - sum.touched;

    if (!store->base.random && untouched && constant != 0)
        total += constant * (double)untouched;
    spin_unlock(&store->lock);
    *generated = sum.generated;
    return total;
}

struct matrix_kept matrix_kept(void)
{
    return (struct matrix_kept){ __atomic_load_n(&matrix_all.blocks, __ATOMIC_RELAXED), __atomic_load_n(&matrix_all.tiles, __ATOMIC_RELAXED) };
}
