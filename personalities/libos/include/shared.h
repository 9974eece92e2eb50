/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared objects: a named run of bytes, of a fixed size, with a home node, that any node of a MultiLibOS reads and writes. What carries it is an
 * integration's business: messages, 9P, or distributed shared memory, chosen when the object is opened. All keep to this:
 *
 * - A block is the SHARED_BLOCK bytes at a multiple of SHARED_BLOCK. The part of a read or write that lies in one block is atomic: it takes effect whole,
 *   at one moment between the call and its future's being fulfilled. So what a completed write wrote, every read begun later sees, on every node;
 *   and of two writes at once to the same bytes of a block one is last, in all of them.
 * - Nothing holds between blocks, nor between operations of which none waited for the other, not even of one handle: who wants an order waits.
 * - Bytes never written are 0. An operation that fails may have taken effect in some of its blocks, and a write whose future failed may still do so
 *   later (what carried it may be under way), each block at most once.
 * - All of [offset, offset + length) must lie in the object: nothing is read or written in part. Length 0 is allowed.
 * - Every future is decided: it fails when the home has not answered a question for SHARED_PATIENCE_NS (one for each 32 KiB, a few to open).
 */
#ifndef SHARED_H
#define SHARED_H

#include "libos.h"

#define SHARED_BLOCK 4096u
#define SHARED_NAME_MOST 63u            /* bytes of a name: letters, digits, '.', '-' and '_', the first a letter or digit */
#define SHARED_SIZE_MOST (1ull << 30)
#define SHARED_PATIENCE_NS 4000000000ull

/* Why a future fails. */
enum {
    SHARED_UNREACHABLE = 1,     /* the home does not answer, or did not get to it */
    SHARED_STALE,               /* the home lives anew, or has forgotten us: open it again */
    SHARED_ABSENT,              /* the home has no object of that name */
    SHARED_RANGE,               /* beyond the object's end */
    SHARED_CLOSED,              /* the handle is not open */
    SHARED_NO_MEMORY,
    SHARED_REFUSED,             /* by the home, for another reason (a name that is none, rights, too many) */
    SHARED_NONSENSE,            /* what the home answered is no answer */
    SHARED_LOST,                /* a block's contents died with the node that had last written it (memory) */
};

const char *shared_error(int error);    /* in words */

struct shared_integration;

/* A handle: the caller's, all zero when it is opened, untouched until it is closed. */
struct shared {
    const struct shared_integration *with;
    uint64_t size;              /* once it is open */
    uint16_t home;
    char name[SHARED_NAME_MOST + 1];
    /* the library's */
    struct spinlock lock;
    uint32_t state;
    uint32_t under_way;
    struct future *closed;
    uint64_t own[4];            /* the integration's */
};

/* An integration by its word: messages, ninep, memory. NULL: there is none of that name here. */
const struct shared_integration *shared_integration(const char *word);

/* That of the command line's integration=WORD, or of `fallback`; a panic when there is none. */
const struct shared_integration *shared_chosen(const char *fallback);

/*
 * ---- at home. The messenger runs (messenger_start); `with` is the integration that others will open the object with.
 */

/* Takes what the integration sends to this node; once, before objects. 0, or why not. */
int shared_serve(const struct shared_integration *with);

/* Makes an object of zeros. 0, or why not: SHARED_REFUSED (no name; taken), SHARED_NO_MEMORY. It stays for as long as the node lives. */
int shared_host(const struct shared_integration *with, const char *name, uint64_t size);

/*
 * ---- everywhere. The home may be this node itself. `object` may be used from any vCPU. Futures are the caller's, and so is the memory that is read into or
 * written from, untouched until the future is decided.
 */

void shared_open(struct shared *object, const struct shared_integration *with, uint16_t home, const char *name, struct future *opened);
void shared_read(struct shared *object, uint64_t offset, void *to, uint32_t length, struct future *done);
void shared_write(struct shared *object, uint64_t offset, const void *from, uint32_t length, struct future *done);

/*
 * From now on, nothing more begins; what is under way ends as it would, and then `closed` is decided: the handle is the caller's again, also when it fails.
 * A handle whose opening failed needs no closing.
 */
void shared_close(struct shared *object, struct future *closed);

#endif
