/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Internet checksum (RFC 1071): `checksum SIZE`, cycles for 1,024 bytes of packets of SIZE bytes, which lie 32 behind one another. */
#include "kernels.h"

#define PACKETS 32u

static uint8_t *checksum_packets;
static uint32_t checksum_size;

/* Words of four bytes, summed wide: carries are folded in at the end. */
static __attribute__((noinline)) uint16_t checksum(const uint8_t *at, uint64_t length)
{
    uint64_t sum = 0;
    for (; length >= 16; length -= 16, at += 16) {
        uint32_t words[4];
        __builtin_memcpy(words, at, 16);
        sum += (uint64_t)words[0] + words[1];
        sum += (uint64_t)words[2] + words[3];
    }
    for (; length >= 2; length -= 2, at += 2)
        sum += (uint32_t)at[0] | (uint32_t)at[1] << 8;
    if (length)
        sum += at[0];
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint64_t checksum_run(void)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < PACKETS; i++)
        all += checksum(checksum_packets + i * (uint64_t)(checksum_size + 32), checksum_size);
    kernel_result = all;
    return PACKETS * (uint64_t)checksum_size;
}

void kernels_run(void)
{
    static const uint32_t sizes[] = { 20, 64, 256, 577, 1480, 8980 };
    uint64_t seed = 2;

    checksum_packets = micro_small(PACKETS * 9216);
    for (uint64_t i = 0; i < PACKETS * 9216; i += 8)
        *(uint64_t *)(checksum_packets + i) = micro_random(&seed);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        checksum_size = sizes[i];
        kernel_measure("checksum", sizes[i], checksum_run, 1024);
    }
}
