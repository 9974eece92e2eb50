/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A block as the window model runs it: micro-ops in program order, and what the front end needs of each instruction. Made once a
 * block from its decoded instructions and the processor table (uop.c); read-only afterwards. */
#ifndef CS_UOP_H
#define CS_UOP_H
#include "decode.h"

enum { UOP_LOAD = 1, UOP_STORE_ADDRESS = 2, UOP_STORE_DATA = 4,
       UOP_SLOT = 8,         /* opens an issue slot; the micro-ops behind it without this flag are fused with it */
       UOP_SERIAL = 16,      /* waits for all before it, and all behind it wait; costs `cost` cycles */
       UOP_LOCKED = 32,      /* a LOCKed access: waits for all stores before it; loads behind it wait */
       UOP_MOVE = 64,        /* eliminated: its result is ready when its source is */
       UOP_BRANCH = 128, UOP_CHASED = 256 /* a simple address whose base may come from a load: may be a cycle faster */,
       UOP_STACK = 512,      /* PUSH, POP, CALL, RET: the stack engine moves RSP. This and the next only where a slot opens, as every instruction's first does */
       UOP_STACK_READ = 1024 /* names RSP otherwise: costs a micro-op if the stack engine has moved it */,
       UOP_WINDOW = 2048 /* first of a 32-byte window of code: the micro-op cache delivers one a cycle */, UOP_REP = 4096,
       UOP_DRAIN = 8192 /* UOP_SERIAL: waits for all before it */, UOP_MORE = 32768 /* uses its third and fourth source, or fourth result */, UOP_REST = 16384 /* UOP_SERIAL: reads memory that its operands do not name */,
       UOP_PAIR = 65536 /* the next slot is issued in the same cycle: a pair that was one in the decoders */ };
enum { REG_SINK = DREG_COUNT /* nobody reads it */, REG_LOADED, REG_CHAIN, REG_DATA, REG_COUNT };
enum { UOP_SOURCES = 4, UOP_RESULTS = 4 };

enum uop_kind { KIND_OP, KIND_LOAD, KIND_STORE, KIND_NONE /* no port */, KIND_SERIAL, KIND_REP };

struct uop {
    uint8_t src[UOP_SOURCES];            /* registers; DREG_NONE is always ready */
    uint8_t dst[UOP_RESULTS];            /* REG_SINK where there is none */
    uint16_t ports;                      /* bit mask; 0: none, done when issued */
    uint32_t flags;
    uint16_t cost;                       /* latency; a load's: the L1 hit's; UOP_SERIAL: the row's cycles */
    uint8_t hold;                        /* cycles its unit is busy beyond the first (dividers) */
    uint8_t kind;                        /* by ports and flags */
    uint8_t entries;                     /* of the access log that it takes: 8 bytes each */
};

struct uop_insn {
    uint16_t end;                        /* micro-ops up to and including this instruction */
    uint8_t length, slots /* as decoded: fused, not yet unlaminated */, opcode /* offset of the opcode byte */;
    bool complex, microcoded, lcp, joined /* macro-fused: it is decoded with the one before */, fusible /* it would be, with some branch behind it */, branch;
};

struct uops {
    uint32_t n, ninsn;
    struct uop *at /* behind the last one: an end mark, which opens a slot */; struct uop_insn *insn;
    uint32_t loads, stores, syncs /* of the stack engine, at most */; bool roomy;  /* roomy: nothing in it can fill a buffer of the window that had room before it */
    uint32_t nwindows; uint8_t *window;  /* 32-byte windows of code it touches; ways of the micro-op cache each needs, 0: cannot be held */
};

int uops_make(const struct uarch *, const struct dop *, uint32_t n, uint64_t va, struct uops *out);    /* for code at va (its last five bits count); -1: no memory */
void uops_seal(struct uops *);           /* kinds, sums and the end mark, from the micro-ops */
void uops_free(struct uops *);
/* uoptable.c: the same for all blocks of that code on machines with that processor table. NULL: world_fail has said why. */
const struct uops *uop_table_find(struct machine *, const uint8_t *code, uint32_t size, uint32_t flags, uint64_t va, uint64_t hash);
void uop_table_free(struct uop_table *);          /* NULL is fine */
/* decode.c: code at va, flags BLK_CODE16/32; decoded, if not NULL: its instructions, until the next call */
int decode_uops(struct machine *, const uint8_t *code, uint32_t size, uint32_t flags, uint64_t va, struct uops *out, struct dop **decoded);
#endif
