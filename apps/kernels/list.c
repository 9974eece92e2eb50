/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A walk over a linked list whose nodes (64 bytes) lie in random order in SIZE bytes: `list SIZE`, cycles a node. */
#include "kernels.h"

#define MOST (64ul << 20)
#define STEP 8192u          /* nodes a run */

struct node {
    const struct node *next;
    uint64_t value[7];
};

static const struct node *list_at;

static uint64_t list_node(uint64_t i)
{
    return i * sizeof(struct node);
}

static uint64_t list_run(void)
{
    const struct node *at = list_at;
    uint64_t sum = 0, large = 0;
    for (unsigned i = 0; i < STEP; i++, at = at->next) {
        sum += at->value[0];
        large += at->value[0] > at->value[1];
    }
    list_at = at;
    kernel_result = sum + large;
    return STEP;
}

void kernels_run(void)
{
    uint8_t *memory = micro_small(MOST);

    for (uint64_t size = 16 << 10; size <= MOST; size *= 4) {
        uint64_t seed = size;
        micro_cycle(memory, size / sizeof(struct node), list_node, size);
        for (uint64_t i = 0; i < size / sizeof(struct node); i++)
            ((struct node *)memory)[i].value[0] = micro_random(&seed) >> 32;
        list_at = (const struct node *)memory;
        for (uint64_t lap = 0; lap < size / sizeof(struct node) && size <= 4 << 20; lap += STEP)
            list_run();     /* once round: untimed in a guest, where the caches learn nothing from it */
        kernel_measure("list", size, list_run, 1);
    }
}
