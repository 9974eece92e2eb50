/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One vCPU's branch predictors (branch.c). */
#ifndef CS_BRANCH_H
#define CS_BRANCH_H
#include "internal.h"

enum branch_answer {
    BRANCH_RIGHT,
    BRANCH_RESTEER,    /* right, but the front end did not know of the branch: the decoder turned fetch round */
    BRANCH_MISSED };   /* wrong direction or target, found out when the branch executed */
enum { BLK_BRANCH = BLK_COND | BLK_INDIRECT | BLK_CALL | BLK_RET | BLK_JUMP };

struct branch;
int branch_geometry(cs_world *, const struct uarch *);       /* -1: the table asks for what cannot be modelled, with a sentence */
struct branch *branch_new(const struct uarch *);             /* NULL: no memory */
void branch_free(struct branch *);

/* A branch is known by the address of its last byte; what tables by address need of that is worked out once. */
static inline struct branch_site branch_site(uint64_t end)
{
    uint32_t a = (uint32_t)(end - 1), m = a * 0x9e3779b1u;
    m = (m ^ m >> 15) >> 16;
    return (struct branch_site){ .spot = a ^ a >> 13, .line = a >> 4 ^ a >> 14, .tag = (uint16_t)(m | !m) };
}

/* end: address behind the branch, whose site is given; next: where control went */
enum branch_answer branch_next(struct branch *, uint32_t kind /* of BLK_BRANCH */, const struct branch_site *, uint64_t end, uint64_t next);
#endif
