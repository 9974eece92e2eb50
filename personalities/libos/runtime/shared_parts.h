/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an integration behind shared.h offers: one table of functions. shared.c cuts operations into calls, and checks all that can be checked here. */
#ifndef SHARED_PARTS_H
#define SHARED_PARTS_H

#include "node.h"
#include "shared.h"

/* One step of an operation. Within the object; a read's or write's `length` is not 0, and at most the integration's `most`. */
struct shared_call {
    struct shared *object;
    uint64_t offset;
    uint8_t *data;              /* to read into, or write from */
    uint32_t length;
    bool used;
    struct shared_transfer *transfer;
    uint8_t own[] __attribute__((aligned(16)));         /* the integration's, `call_bytes` of it, all zero */
};

/*
 * Each function begins, and shared_done ends it, once, on the vCPU that began it: at once or later. Calls of one object may be under way at
 * the same time; each is atomic in each block.
 */
struct shared_integration {
    const char *word;
    uint32_t most;              /* bytes of a call: a multiple of SHARED_BLOCK; calls end at multiples of it. UINT32_MAX: whatever the caller asked for */
    uint32_t call_bytes;
    int (*serve)(void);
    int (*host)(const char *name, uint64_t size);       /* name and size are well formed */
    void (*open)(struct shared_call *call);             /* sets object->size, and object->own as it likes */
    void (*read)(struct shared_call *call);
    void (*write)(struct shared_call *call);
    void (*close)(struct shared_call *call);            /* gives up object->own; nothing else is under way */
};

/* `error` is 0 or one of shared.h's. The call is gone then. */
void shared_done(struct shared_call *call, int error);

/* What a message's failure (MESSAGE_*) means here. */
int shared_error_of_message(int error);

bool shared_name_is_one(const char *name);

/* Of shared.c's table. */
extern const struct shared_integration shared_messages, shared_ninep, shared_memory;

/* hosted/ninep_home.c serves the files below ninep_root=DIRECTORY; a native library OS has none (runtime/ninep_no_home.c), and refuses. */
int shared_ninep_host(const char *name, uint64_t size);

#endif
