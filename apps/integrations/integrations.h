/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the home and the client of the measurement agree on. */
#ifndef INTEGRATIONS_H
#define INTEGRATIONS_H

#include "messenger.h"
#include "shared.h"

enum { BENCH_HOME, BENCH_CLIENT };

#define BENCH_TIMES 64u                 /* operations of each kind */
#define BENCH_BULK (1u << 20)           /* bytes of a large one */

/*
 * Objects of each integration: one for reading and one for writing places never touched before, block after block, for two lengths; one for the same place
 * again and again; two large ones. Names are NAME-INTEGRATION, so a node may be home to several.
 */
#define BENCH_OBJECTS(X) \
    X(read64, BENCH_TIMES * SHARED_BLOCK) X(read4096, BENCH_TIMES * SHARED_BLOCK) \
    X(write64, BENCH_TIMES * SHARED_BLOCK) X(write4096, BENCH_TIMES * SHARED_BLOCK) \
    X(again, SHARED_BLOCK) X(readbulk, BENCH_BULK) X(writebulk, BENCH_BULK)

#define BENCH_READY "ready"             /* an object, of the first integration, that is there when all others are */

/* The integrations of the word integrations=, in order; at most 4. */
struct bench_integrations {
    const struct shared_integration *with[4];
    char words[4][16];
    unsigned count;
};

void bench_integrations(struct bench_integrations *found);
void bench_name(char *name, const char *object, const char *word);     /* SHARED_NAME_MOST + 1 bytes */

void bench_home(const struct bench_integrations *integrations);
void bench_client(const struct bench_integrations *integrations);

#endif
