/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses a block's runs touch, where that can be followed: registers, and memory that is one page, wherever one looks. */
#ifndef CS_VALUES_H
#define CS_VALUES_H
#include "decode.h"
#include "machine.h"

enum { PAGES_SEEN = 64 };               /* the last ones entered: first-level TLBs have about as many entries */
struct value { uint64_t is; bool known; };
struct values {
    struct value reg[17];
    uint8_t memory[PAGE]; bool known[PAGE];
    uint64_t fresh, pages[PAGES_SEEN]; uint32_t npages;
};

void values_init(struct values *, uint64_t fill);
/* The address of its memory operand, and whether its page was touched lately; then its effect. */
enum page { PAGE_KNOWN, PAGE_FAR, PAGE_NEXT /* the one behind or before a page touched lately */ };
uint64_t values_address(struct values *, const struct dop *, enum page *page);
void values_step(struct values *, const struct dop *);
#endif
