/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes of keys: `fnv SIZE` (FNV-1a, 64 bits) and `jenkins SIZE` (one-at-a-time), cycles a key; lengths from SIZE / 2 to 3 SIZE / 2, evenly. */
#include "kernels.h"

#define KEYS 2048u

static uint8_t *hash_bytes;
static struct { uint32_t at, length; } hash_keys[KEYS];

static __attribute__((noinline)) uint64_t hash_fnv(const uint8_t *at, uint64_t length)
{
    uint64_t hash = 0xCBF29CE484222325ull;
    while (length-- > 0)
        hash = (hash ^ *at++) * 0x100000001B3ull;
    return hash;
}

static __attribute__((noinline)) uint32_t hash_jenkins(const uint8_t *at, uint64_t length)
{
    uint32_t hash = 0;
    while (length-- > 0) {
        hash += *at++;
        hash += hash << 10;
        hash ^= hash >> 6;
    }
    hash += hash << 3;
    hash ^= hash >> 11;
    return hash + (hash << 15);
}

static uint64_t hash_run_fnv(void)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < KEYS; i++)
        all += hash_fnv(hash_bytes + hash_keys[i].at, hash_keys[i].length);
    kernel_result = all;
    return KEYS;
}

static uint64_t hash_run_jenkins(void)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < KEYS; i++)
        all += hash_jenkins(hash_bytes + hash_keys[i].at, hash_keys[i].length);
    kernel_result = all;
    return KEYS;
}

void kernels_run(void)
{
    static const uint32_t sizes[] = { 8, 20, 48, 120 };
    uint64_t seed = 3;

    hash_bytes = micro_small(KEYS * 192);
    for (uint64_t i = 0; i < KEYS * 192; i += 8)
        *(uint64_t *)(hash_bytes + i) = micro_random(&seed);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t at = 0;
        for (unsigned j = 0; j < KEYS; j++) {
            hash_keys[j].at = at;
            hash_keys[j].length = sizes[i] / 2 + (uint32_t)(micro_random(&seed) >> 32) % (sizes[i] + 1);
            at += hash_keys[j].length;
        }
        kernel_measure("fnv", sizes[i], hash_run_fnv, 1);
        kernel_measure("jenkins", sizes[i], hash_run_jenkins, 1);
    }
}
