/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a matrix is made of: random elements, shapes, the order of a sum. */
#include "matrix.h"

#define ROUNDS 10u
/* Philox's constants (Salmon, Moraes, Dror, Shaw: Parallel random numbers, SC11). */
#define MULTIPLY_0 0xD2E7470EE14C6C93ull
#define MULTIPLY_1 0xCA5A826395121157ull
#define KEY_0 0x9E3779B97F4A7C15ull
#define KEY_1 0xBB67AE8584CAA73Bull

static void matrix_philox(uint64_t seed, uint64_t word[4])
{
    uint64_t key0 = seed, key1 = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned __int128 product0 = (unsigned __int128)MULTIPLY_0 * word[0], product1 = (unsigned __int128)MULTIPLY_1 * word[2];

        word[0] = (uint64_t)(product1 >> 64) ^ word[1] ^ key0;
        word[1] = (uint64_t)product1;
        word[2] = (uint64_t)(product0 >> 64) ^ word[3] ^ key1;
        word[3] = (uint64_t)product0;
        key0 += KEY_0;
        key1 += KEY_1;
    }
}

void matrix_random_row(uint64_t seed, uint64_t row, uint64_t column, unsigned count, double *out)
{
    uint64_t word[4];

    for (unsigned i = 0; i < count; i++, column++) {
        if (i == 0 || column % 4 == 0) {
            word[0] = column / 4 + 1;
            word[1] = row;
            word[2] = word[3] = 0;
            matrix_philox(seed, word);
        }
        out[i] = (double)(word[column % 4] >> 11) * 0x1p-53;
    }
}

unsigned matrix_base_row(const struct matrix_base *base, uint64_t row, uint64_t column, unsigned count, double *out)
{
    if (base->random) {
        matrix_random_row(base->bits, row, column, count, out);
        return count;
    }
    for (unsigned i = 0; i < count; i++)
        out[i] = matrix_double(base->bits);
    return 0;
}

bool matrix_shape_valid(const struct matrix_shape *shape)
{
    return shape->rows - 1 < MATRIX_DIMENSION_MOST && shape->columns - 1 < MATRIX_DIMENSION_MOST && shape->tile_rows && shape->tile_columns &&
           shape->tile_rows < 2 * MATRIX_DIMENSION_MOST && shape->tile_columns < 2 * MATRIX_DIMENSION_MOST &&
           shape->tile_rows % MATRIX_BLOCK == 0 && shape->tile_columns % MATRIX_BLOCK == 0 &&
           matrix_tiles_down(shape) * matrix_tiles_across(shape) <= MATRIX_TILES_MOST;
}

bool matrix_rect_valid(const struct matrix_shape *shape, const struct matrix_rect *rect)
{
    return rect->row < shape->rows && rect->column < shape->columns && rect->rows && rect->columns && rect->rows <= MATRIX_RECT_MOST &&
           rect->columns <= MATRIX_RECT_MOST && rect->rows * rect->columns <= MATRIX_RECT_MOST && rect->rows <= shape->rows - rect->row &&
           rect->columns <= shape->columns - rect->column &&
           matrix_tile_of(shape, rect->row, rect->column) ==
               matrix_tile_of(shape, rect->row + rect->rows - 1, rect->column + rect->columns - 1);
}

double matrix_pairwise(double *values, unsigned count)
{
    for (; count > 1; count = (count + 1) / 2)
        for (unsigned i = 0; i < (count + 1) / 2; i++)
            values[i] = 2 * i + 1 < count ? values[2 * i] + values[2 * i + 1] : values[2 * i];
    return count ? values[0] : 0;
}
