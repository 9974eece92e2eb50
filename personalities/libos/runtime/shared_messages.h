/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared objects by messages: what goes to the Ebb NODE_EBB_SHARED of the home, and what comes back. Little-endian. */
#ifndef SHARED_MESSAGES_H
#define SHARED_MESSAGES_H

#include <stdint.h>

/* Types of messages. An answer to any may be ANSWER_REFUSED with a uint32_t, one of shared.h's errors. */
enum {
    ASK_OPEN = 1,       /* the name -> struct opened */
    ASK_READ,           /* struct place -> the bytes */
    ASK_WRITE,          /* struct place, and behind it the bytes -> nothing */
    ANSWER_DONE = 0x80,
    ANSWER_REFUSED,
};

struct opened {
    uint32_t number;    /* of the object at its home, */
    uint32_t life;      /* in this life of the home */
    uint64_t size;
} __attribute__((packed));

struct place {
    uint32_t number, life;
    uint64_t offset;
    uint32_t length;
} __attribute__((packed));

/* shared_messages_home.c */
int shared_messages_serve(void);
int shared_messages_host(const char *name, uint64_t size);

#endif
