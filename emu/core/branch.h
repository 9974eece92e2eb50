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
enum branch_answer branch_next(struct branch *, uint32_t kind /* of BLK_BRANCH */, uint64_t end /* address behind the branch */, uint64_t next /* where control went */);
#endif
