/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of distributed shared memory want of each other. All of it runs on one vCPU of the node, its keeper, so none of it needs a lock. */
#ifndef DSM_PARTS_H
#define DSM_PARTS_H

#include "dsm.h"
#include "messenger.h"
#include "node.h"
#include "window.h"

#define DSM_KEEPER 0u
#define DSM_EBB NODE_EBB_MEMORY
#define DSM_LEAF 512u                   /* pages of a leaf: 2 MiB of addresses */

/* Who sends it to whom: docs/shared-memory.md. */
enum {
    DSM_HELLO = 1, DSM_WELCOME, DSM_ASK_READ, DSM_ASK_WRITE, DSM_GRANT, DSM_REFUSE, DSM_INVALIDATE, DSM_INVALIDATED, DSM_RECALL, DSM_RETURN,
};

enum dsm_rights { DSM_RIGHT_NONE, DSM_RIGHT_READ, DSM_RIGHT_WRITE };
enum dsm_content { DSM_KEEP, DSM_ZEROS, DSM_DATA };     /* in a grant: what is here already; all zeros; what follows */

/* A message's body, little-endian, and behind it a page, where there is one. */
struct dsm_head {
    uint32_t page;                      /* of the home that sends or gets it */
    uint32_t epoch;                     /* of the other node at that home */
    uint8_t rights;                     /* GRANT: what is granted; RECALL: what may be kept */
    uint8_t content;                    /* GRANT */
    uint16_t error;                     /* REFUSE */
    uint32_t life;                      /* WELCOME: of the home */
};

/* Why a page's rights are being, or are to be, taken. */
enum dsm_owed { DSM_OWES_NOTHING, DSM_OWES_INVALIDATED, DSM_OWES_RETURN, DSM_OWES_SILENCE };

/* A page as this node has it. */
struct dsm_page {
    struct dsm_waiter *waiters;
    void *frame;                        /* natively */
    uint32_t number;
    uint16_t home;
    uint8_t rights;
    uint8_t asked;                      /* the home was asked for these rights and has not answered */
    uint8_t granting;                   /* they are being put in place */
    uint8_t owed, keeps;                /* with RETURN: the rights that are kept */
    uint8_t revoking;
    uint8_t fenced;                     /* vCPUs may not have run those that were woken */
    uint16_t hops, again;               /* vCPUs still to look at */
    struct event event;                 /* of the fence */
};

/* One who waits, on its stack. */
struct dsm_waiter {
    struct dsm_waiter *next;
    struct context *context;
    struct event event;
    uint64_t address;
    uint32_t cpu;
    uint8_t rights;
    bool asleep, done;
    int error;
};

/* A home as this node knows it. */
struct dsm_link {
    struct dsm_page *leaves[DSM_HOME_PAGES / DSM_LEAF];
    uint32_t epoch, asked_epoch;        /* 0: not joined; when it was asked last */
    uint32_t life;                      /* 0: never joined */
    uint64_t until, asked_at;           /* the lease's end; the question under way */
    uint32_t revoking;                  /* pages */
    uint16_t node;
    bool asking, over;                  /* over: it started anew, so what it was home to is gone */
    struct timer timer;
    struct message_call call;
    struct future_wait answered;
};

extern uint16_t dsm_own;
extern uint64_t dsm_lease_ns;
extern struct dsm_counts dsm_counted;

/* dsm.c: `page` (DSM_PAGE bytes) or NULL. */
void dsm_send(uint16_t node, uint16_t type, const struct dsm_head *head, const void *page);

/* dsm_pages.c: what this node has. */
struct dsm_page *dsm_page_of(struct dsm_link *link, uint32_t number, bool make);        /* NULL: it has none, or no memory */
void dsm_want(void *waiter);            /* an event's function */
void dsm_advance(struct dsm_page *page);
void dsm_wake(struct dsm_page *page, int error);        /* all that wait for it; without an error, those that need no more than it has */
void dsm_take(struct dsm_page *page, enum dsm_owed owed, enum dsm_rights keeps);        /* as soon as may be */
void dsm_from_home(uint16_t home, uint16_t type, const struct dsm_head *head, const void *page);

/* dsm_lease.c: which homes this node has joined, and which nodes have joined this one. */
struct dsm_link *dsm_link_to(uint16_t home, bool make);
void dsm_join(struct dsm_link *link);   /* each page that somebody waits for is advanced when it has; or they fail */
void dsm_lapse(struct dsm_link *link);  /* all of it is gone */
void dsm_each_waiting(struct dsm_link *link, int error);      /* those that wait for its pages fail, or ask on */
bool dsm_joined(uint16_t node, uint32_t epoch);
uint32_t dsm_epoch_of(uint16_t node);   /* 0: it has not joined */
void dsm_hello(const struct message *question, const struct dsm_head *head);
void dsm_undelivered(uint16_t node);
void dsm_lease_start(void);

/* dsm_home.c: pages that this node is home to. */
void dsm_to_home(uint16_t from, uint16_t type, const struct dsm_head *head, const void *page);
void dsm_forget(uint16_t node);         /* it is dead */

/* Of the platform: runtime/native/dsm_rights.c, hosted/dsm_rights.c. */
void dsm_rights_begin(struct dsm_page *leaf, uint64_t address);         /* once a leaf */
/* Gives the page these contents (unless NULL) and rights, for no other vCPU to see half-way; then calls dsm_granted. False: no memory. */
bool dsm_rights_grant(struct dsm_page *page, const void *content, enum dsm_rights rights);
void dsm_granted(struct dsm_page *page, enum dsm_rights rights);        /* dsm_pages.c */
/* Takes rights from all vCPUs; then calls dsm_revoked, during which dsm_rights_content is the page's last content. */
void dsm_rights_revoke(struct dsm_page *page, enum dsm_rights keeps);
const void *dsm_rights_content(struct dsm_page *page);
void dsm_revoked(struct dsm_page *page);                                /* dsm_pages.c */

static inline uint64_t dsm_page_address(const struct dsm_page *page)
{
    return (uint64_t)dsm_address(page->home, page->number);
}

#endif
