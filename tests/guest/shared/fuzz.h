/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers and questions that are nearly right. */
#ifndef FUZZ_H
#define FUZZ_H

#include "check.h"
#include "messenger.h"
#include "node.h"

extern uint32_t fuzz_state, fuzz_asked;

static inline uint32_t fuzz_random(void)
{
    return test_random(&fuzz_state);
}

void fuzz_home(void *ctx, const struct message *question);      /* answers as shared_messages_home.c does, nearly */
void fuzz_server(void *ctx, const struct message *question);    /* as a 9P server, nearly */

/* A question for a home, or a 9P frame, in `body` (MESSAGE_MAX bytes are too many: at most 8,000); its length. Counts fuzz_asked. */
uint32_t fuzz_question(uint8_t *body, uint16_t *type, bool ninep);

#endif
