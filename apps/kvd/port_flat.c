/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvd's handler loop with nothing around it: no system calls, no interrupts, no devices. The baseline that an emulator
 * without hooks is timed on (bench/speed.py). The host fills `flat_input` and starts at `flat_start` with a stack; HLT ends.
 */
#include "kvd.h"

enum { FLAT_INPUT = 1 << 20, FLAT_ARENA = 24 << 20, FLAT_BUDGET = 8 << 20 };

/* Datagrams, each behind its length (4 bytes, little-endian), one after another; a length of 0 ends a round. */
uint8_t flat_input[FLAT_INPUT] __attribute__((aligned(4096)));
uint32_t flat_rounds;
uint64_t flat_answered;
static uint8_t flat_arena[FLAT_ARENA] __attribute__((aligned(4096)));
static uint8_t flat_answer[KVD_UDP_PAYLOAD];

void kvd_lock_acquire(struct kvd_lock *lock)
{
    while (__atomic_exchange_n(&lock->word[0], 1, __ATOMIC_ACQUIRE) != 0)
        __builtin_ia32_pause();
}

void kvd_lock_release(struct kvd_lock *lock) { __atomic_store_n(&lock->word[0], 0, __ATOMIC_RELEASE); }

uint64_t kvd_port_seconds(void) { return 1; }

static uint8_t *flat_begin(void *ctx, size_t *cap)
{
    (void)ctx;
    *cap = sizeof flat_answer;
    return flat_answer;
}

static void flat_end(void *ctx, uint8_t *buffer, size_t length)
{
    (void)ctx;
    (void)buffer;
    flat_answered += length != 0;
}

void flat_main(void)
{
    static const struct kvd_config config = {.workers = 1, .budget = FLAT_BUDGET};
    static const struct kvd_sink sink = {.begin = flat_begin, .end = flat_end};
    struct kvd *kvd = kvd_create(flat_arena, sizeof flat_arena, &config);
    if (kvd == NULL)
        return;
    while (flat_rounds-- > 0) {
        const uint8_t *at = flat_input;
        uint32_t length;
        while (__builtin_memcpy(&length, at, 4), length != 0) {
            kvd_serve(kvd, 0, at + 4, length, &sink);
            at += 4 + length;
        }
    }
}

__asm__(".globl flat_start\n.type flat_start, @function\nflat_start:\n\tcall flat_main\n\thlt\n.size flat_start, . - flat_start\n");
