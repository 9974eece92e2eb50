/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "blocks.h"

struct matrix_block *matrix_block_find(struct matrix_block *root, uint64_t index)
{
    while (root && root->level)
        root = root->half[index >> (root->level - 1) & 1];
    return root && root->index == index ? root : NULL;
}

struct matrix_block *matrix_block_add(struct matrix_block **root, uint64_t index)
{
    struct matrix_block *block = mem_zalloc(sizeof(*block)), *branch = NULL, *near = *root;
    double *values = mem_alloc(MATRIX_BLOCK_ELEMENTS * sizeof(double));

    if (near)
        branch = mem_zalloc(sizeof(*branch));
    if (block == NULL || values == NULL || (near && branch == NULL)) {
        mem_free(block);
        mem_free(values);
        mem_free(branch);
        return NULL;
    }
    block->index = index;
    block->values = values;
    if (near == NULL) {
        *root = block;
        return block;
    }
    while (near->level)
        near = near->half[index >> (near->level - 1) & 1];
    branch->level = 64u - (unsigned)__builtin_clzll(near->index ^ index);
    branch->index = branch->level < 64 ? index >> branch->level << branch->level : 0;

    struct matrix_block **link = root;

    while ((*link)->level > branch->level)
        link = &(*link)->half[index >> ((*link)->level - 1) & 1];
    branch->half[index >> (branch->level - 1) & 1] = block;
    branch->half[~index >> (branch->level - 1) & 1] = *link;
    *link = branch;
    return block;
}

void matrix_blocks_free(struct matrix_block *root)
{
    if (root == NULL)
        return;
    matrix_blocks_free(root->half[0]);
    matrix_blocks_free(root->half[1]);
    mem_free(root->values);
    mem_free(root);
}
