/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One decoded instruction as the cost model sees it: decode.c makes them, blockcost.c adds them up. */
#ifndef CS_DECODE_H
#define CS_DECODE_H
#include "uarch.h"

enum { DREG_NONE = 0, DREG_GPR = 1 /* ..16 */, DREG_CARRY = 17, DREG_FLAGS = 18 /* the others */, DREG_VEC = 19 /* ..50 */,
       DREG_MM = 51 /* ..58 */, DREG_OTHER = 59, DREG_COUNT = 60 };
enum { DOP_MAX = 512, DOP_REGS = 12 };
enum dop_kind {
    DOP_PLAIN,
    DOP_ZERO,             /* xor r,r and friends: no input, no port */
    DOP_MOVE,             /* register move the renamer does: no port, no latency */
    DOP_NOP,              /* takes a slot, no port */
    DOP_SERIAL,           /* charged by a row alone */
    DOP_REP };            /* REP string iteration: charged by line elsewhere */

enum dop_effect { EFFECT_NONE, EFFECT_MOVE, EFFECT_SIGN, EFFECT_ZERO, EFFECT_LEA, EFFECT_ADD, EFFECT_SUB, EFFECT_AND, EFFECT_OR, EFFECT_XOR, EFFECT_SHL, EFFECT_SHR, EFFECT_SAR,
    EFFECT_IMUL, EFFECT_NEG, EFFECT_NOT, EFFECT_CHOOSE };    /* on its first operand (values.c) */

struct dop {
    const struct form *form;             /* NULL: the default rows (uncosted), or kind SERIAL/REP */
    uint8_t kind, length, nreads, nwrites, naddr, opcode /* offset of its opcode byte */, unlaminated /* slots more than decoded */;
    uint16_t bytes;                      /* of its memory operand */
    uint8_t merged;                      /* its destination, where it is read for the part that stays alone */
    bool by_cl;                          /* a shift by CL: keeps the flags if CL is 0 */
    bool branch, locked, drains /* SERIAL: waits for all before it */, stack /* moves RSP implicitly */, stack_read /* names RSP otherwise */;
    bool load, store, fused /* with the branch behind it */, fusible /* it would, with some branch */, uncosted, lcp /* a prefix that changes its length: the legacy decoder stalls */;
    uint8_t reads[DOP_REGS], writes[DOP_REGS], addr[3];
    uint8_t segment, scale; int64_t disp;  /* with addr[0] base and addr[1] index: the memory operand's name */
    uint8_t effect, effect_bytes, effect_to /* DREG_NONE: its memory operand */, effect_left /* other than `to`, if any */, effect_from /* DREG_NONE: memory or effect_value */, effect_from_bytes;
    bool effect_from_memory; int64_t effect_value;
    uint32_t serial16; int16_t row;      /* its own row, -1: none */
};

struct block_cost { uint32_t cost16, serial16, retire16, load_hidden; };

/* Steady-state cost of a block that runs again and again: the largest of the issue, port, front-end and loop-carried
 * dependency bounds, plus what serialises. */
void block_cost(const struct uarch *, const struct dop *, uint32_t n, uint32_t bytes, bool rep, struct block_cost *out);
#endif
