/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Distributed shared memory: a range of addresses, the same on all nodes, of which each node is home to 2 GiB. A page is readable on many nodes or writable on one;
 * touching one that is not here is a page fault, in which a context (context.h) waits until it has come. docs/shared-memory.md has the protocol and
 * what is promised.
 */
#ifndef DSM_H
#define DSM_H

#include "context.h"

#define DSM_PAGE 4096u
#define DSM_HOME_PAGES 524288u          /* of a node */
#define DSM_LEASE_NS 2000000000ull

/* Why an access fails. */
enum {
    DSM_LOST = 1,               /* the page was writable on a node that died: its contents are gone */
    DSM_HOME_LOST,              /* its home does not answer, or started anew */
    DSM_ABSENT,                 /* its home has no such page */
    DSM_NO_MEMORY,
};

const char *dsm_error(int error);       /* in words */

/*
 * On each node, after messenger_start; again, it does nothing. A node that has said nothing for `lease_ns` (the same on all nodes; 0: DSM_LEASE_NS) has lost what it
 * had. No event may take as long as an eighth of it.
 */
void dsm_start(uint64_t lease_ns);

/* Sets so many pages of zeros aside, with this node for their home. Their address, good on every node; NULL: there is no room. From any vCPU. */
void *dsm_share(uint32_t pages);

/* The address of page `page` of that home. */
static inline void *dsm_address(uint16_t home, uint32_t page)
{
    return (void *)(0x200000000000ul + ((uint64_t)home * DSM_HOME_PAGES + page) * DSM_PAGE);
}

/*
 * What a fault does, without one: waits until the page may be read or written here. 0, or why not. Until the context next waits or yields, or the event ends, the page
 * stays. Only in a context.
 */
int dsm_acquire(const void *address, bool write);

/* Runs in a context whose access to `address` failed, which ends when it returns. Without one: a panic. Once. */
typedef void (*dsm_failed_fn)(void *arg, const void *address, int error);
void dsm_on_failure(dsm_failed_fn fn, void *arg);

/*
 * The life of a home (its messenger_session) whose pages its addresses stand for here; 0: it has ended, or is not known. A new life is not taken for it until dsm_accept says so:
 * then what was got from the old one is gone, and what is touched next comes from the new one. From any vCPU.
 */
uint32_t dsm_life(uint16_t home);
void dsm_accept(uint16_t home, uint32_t life);

/* At a home: that node is dead for certain, so its lease need not be waited for. From any vCPU. */
void dsm_expel(uint16_t node);

struct dsm_counts {
    uint64_t read_faults, write_faults;         /* that waited for something */
    uint64_t granted, granted_data;             /* to this node; of these, with a page's contents */
    uint64_t invalidated, recalled;             /* from this node */
    uint64_t asked;                             /* as a home, by all nodes */
    uint64_t lost;                              /* pages of this home */
    uint64_t malformed;                         /* messages that made no sense here and now */
};

const struct dsm_counts *dsm_counts(void);

#endif
