/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BYTEORDER_H
#define BYTEORDER_H

#include <stdint.h>

static inline uint16_t swap16(uint16_t value)   /* host <-> network */
{
    return __builtin_bswap16(value);
}

#endif
