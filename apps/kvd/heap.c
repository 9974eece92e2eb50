/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stripe's memory: blocks of any size side by side, free ones in lists by size (segregated fit, four bins to each power
 * of two, in the manner of Masmano et al., TLSF, ECRTS 2004), neighbours joined as soon as both are free. Positions are counted in
 * units of 8 bytes from the base. A block is a header of one unit, then its payload; a free block's payload begins with its links.
 */
#include "internal.h"

#define KVD_UNIT 8u
#define KVD_NONE UINT32_MAX
#define KVD_SMALLEST 3u /* units: the header and the two links */
#define KVD_TRIES 8     /* blocks looked at in a bin where some may be too small */

struct kvd_block {
    uint32_t units_free;   /* size in units, header included, times 2; lowest bit set: free */
    uint32_t before;       /* size in units of the block below; 0 for the first */
    uint32_t newer, older; /* free blocks only: neighbours in the bin's list */
};

static struct kvd_block *kvd_heap_block(const struct kvd_heap *heap, uint32_t at)
{
    return (struct kvd_block *)(void *)(heap->base + (size_t)at * KVD_UNIT);
}

static uint32_t kvd_heap_position(const struct kvd_heap *heap, const struct kvd_block *block)
{
    return (uint32_t)((size_t)((const uint8_t *)block - heap->base) / KVD_UNIT);
}

static uint32_t kvd_heap_units(const struct kvd_block *block)
{
    return block->units_free >> 1;
}

static bool kvd_heap_is_free(const struct kvd_block *block)
{
    return (block->units_free & 1) != 0;
}

/* The bin for blocks of this size; sizes within a bin differ by less than a quarter. */
static unsigned kvd_heap_bin(uint32_t units)
{
    if (units < 4)
        return units;
    unsigned log = 31u - (unsigned)__builtin_clz(units);
    return (log - 1) * 4 + ((units >> (log - 2)) & 3);
}

static void kvd_heap_insert(struct kvd_heap *heap, struct kvd_block *block, uint32_t units)
{
    unsigned bin = kvd_heap_bin(units);
    uint32_t at = kvd_heap_position(heap, block);
    block->units_free = units << 1 | 1;
    block->newer = KVD_NONE;
    block->older = heap->first[bin];
    if (block->older != KVD_NONE)
        kvd_heap_block(heap, block->older)->newer = at;
    heap->first[bin] = at;
    heap->bins[bin / 64] |= (uint64_t)1 << bin % 64;
    if (at + units < heap->units)
        kvd_heap_block(heap, at + units)->before = units;
}

static void kvd_heap_remove(struct kvd_heap *heap, struct kvd_block *block)
{
    unsigned bin = kvd_heap_bin(kvd_heap_units(block));
    if (block->newer != KVD_NONE)
        kvd_heap_block(heap, block->newer)->older = block->older;
    else
        heap->first[bin] = block->older;
    if (block->older != KVD_NONE)
        kvd_heap_block(heap, block->older)->newer = block->newer;
    if (heap->first[bin] == KVD_NONE)
        heap->bins[bin / 64] &= ~((uint64_t)1 << bin % 64);
}

void kvd_heap_init(struct kvd_heap *heap, uint8_t *base, size_t bytes)
{
    heap->base = base;
    heap->units = (uint32_t)(bytes / KVD_UNIT);
    heap->used = 0;
    for (unsigned i = 0; i < KVD_HEAP_BINS / 64; i++)
        heap->bins[i] = 0;
    for (unsigned i = 0; i < KVD_HEAP_BINS; i++)
        heap->first[i] = KVD_NONE;
    struct kvd_block *whole = kvd_heap_block(heap, 0);
    whole->before = 0;
    kvd_heap_insert(heap, whole, heap->units);
}

size_t kvd_heap_largest(const struct kvd_heap *heap)
{
    return ((size_t)heap->units - 1) * KVD_UNIT;
}

static struct kvd_block *kvd_heap_find(const struct kvd_heap *heap, uint32_t units)
{
    unsigned bin = kvd_heap_bin(units);
    uint32_t at = heap->first[bin];
    for (int tries = 0; at != KVD_NONE && tries < KVD_TRIES; tries++) {
        struct kvd_block *block = kvd_heap_block(heap, at);
        if (kvd_heap_units(block) >= units)
            return block;
        at = block->older;
    }
    for (bin++; bin < KVD_HEAP_BINS; bin = (bin / 64 + 1) * 64) { /* any block of a higher bin will do */
        uint64_t word = heap->bins[bin / 64] >> bin % 64;
        if (word != 0)
            return kvd_heap_block(heap, heap->first[bin + (unsigned)__builtin_ctzll(word)]);
    }
    return NULL;
}

void *kvd_heap_take(struct kvd_heap *heap, size_t bytes)
{
    if (bytes > kvd_heap_largest(heap))
        return NULL;
    uint32_t units = (uint32_t)((bytes + KVD_UNIT - 1) / KVD_UNIT) + 1;
    if (units < KVD_SMALLEST)
        units = KVD_SMALLEST;
    struct kvd_block *block = kvd_heap_find(heap, units);
    if (block == NULL)
        return NULL;
    kvd_heap_remove(heap, block);
    uint32_t whole = kvd_heap_units(block);
    if (whole - units >= KVD_SMALLEST) {
        struct kvd_block *rest = kvd_heap_block(heap, kvd_heap_position(heap, block) + units);
        rest->before = units;
        kvd_heap_insert(heap, rest, whole - units);
        whole = units;
    }
    block->units_free = whole << 1;
    heap->used += whole;
    return (uint8_t *)block + KVD_UNIT;
}

void kvd_heap_give(struct kvd_heap *heap, void *payload)
{
    struct kvd_block *block = (struct kvd_block *)(void *)((uint8_t *)payload - KVD_UNIT);
    uint32_t at = kvd_heap_position(heap, block), units = kvd_heap_units(block);
    heap->used -= units;
    if (at + units < heap->units) {
        struct kvd_block *above = kvd_heap_block(heap, at + units);
        if (kvd_heap_is_free(above)) {
            kvd_heap_remove(heap, above);
            units += kvd_heap_units(above);
        }
    }
    if (at > 0) {
        struct kvd_block *below = kvd_heap_block(heap, at - block->before);
        if (kvd_heap_is_free(below)) {
            kvd_heap_remove(heap, below);
            units += kvd_heap_units(below);
            block = below;
        }
    }
    kvd_heap_insert(heap, block, units);
}
