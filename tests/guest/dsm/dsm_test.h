/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the test of distributed shared memory have in common. Page 0 of node 0 is for barriers and locks. */
#ifndef TEST_DSM_H
#define TEST_DSM_H

#include "check.h"
#include "dsm.h"

struct test_ground {                    /* page 0 */
    uint64_t ready;                     /* the home has set its pages aside */
    uint64_t arrived;
    uint64_t lock;
    uint64_t ended;
};

#define GROUND ((volatile struct test_ground *)dsm_address(0, 0))
#define WORD(page, index) ((volatile uint64_t *)dsm_address(0, page) + (index))

extern uint32_t test_nodes, test_own, test_seed, test_count;

void test_pause(uint64_t ns);           /* of a context */
void test_barrier(uint64_t *round);     /* of one context of each node */
void test_lock(void);
void test_unlock(void);

void test_history(void *arg);           /* history.c: contexts' functions */
void test_mortal(void *arg);
void test_litmus(void *arg);            /* litmus.c */
void test_locks(void *arg);

#endif
