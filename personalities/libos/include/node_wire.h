/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What nodes and gpos say to each other: bodies of messages, little-endian. docs/offload.md. */
#ifndef NODE_WIRE_H
#define NODE_WIRE_H

#include "node.h"

#define NODE_FORMAT 1u                  /* of hello and welcome; later ones only append */

/* To NODE_EBB_HELLO. */
enum {
    NODE_HELLO = 1,                     /* question: struct node_hello; answered by one of the next two */
    NODE_WELCOME,                       /* struct node_welcome */
    NODE_REFUSAL,                       /* a sentence */
    NODE_WHERE,                         /* question: uint16_t node; answered by NODE_HERE, empty where there is none */
    NODE_HERE,                          /* struct node_place */
    NODE_BEAT,                          /* nothing */
};

/* To NODE_EBB_MAP. */
enum {
    NODE_PUBLISH = 1,                   /* question: struct node_root, as long as its bytes; answered by NODE_STORED or NODE_FULL */
    NODE_STORED,
    NODE_FULL,
    NODE_RESOLVE,                       /* question: uint32_t id; answered by NODE_ROOT_IS: struct node_root, or nothing */
    NODE_ROOT_IS,
};

/* To NODE_EBB_CONTROL. */
enum {
    NODE_STOP = 1,                      /* power off */
    NODE_STAT,                          /* question; answered by NODE_STAT_IS */
    NODE_STAT_IS,                       /* lines KEY VALUE with their ends */
    NODE_PROFILE,                       /* question; answered by NODE_STAT_IS with lines VCPU ADDRESS COUNT before those */
    NODE_AGAIN,                         /* gpos does not count you in (any more): say hello */
};

/* To NODE_EBB_LOG. */
enum {
    NODE_LOG_TEXT = 1,                  /* version 1: lines with their ends, which may come twice */
    NODE_LOG_LINES,                     /* version 2, question: struct node_lines; answered by one of the next two */
    NODE_LOG_STORED,                    /* uint32_t: lines with smaller numbers are stored, or known to be lost */
    NODE_LOG_FULL,                      /* gpos has no room for it now */
};

/* To NODE_EBB_CONFIG; the text is lines KEY=VALUE with their ends. */
enum {
    NODE_CONFIG_READ = 1,               /* question; answered by NODE_CONFIG_IS */
    NODE_CONFIG_IS,                     /* all of it */
    NODE_CONFIG_SET,                    /* question: one line; answered by NODE_CONFIG_STORED or NODE_REFUSAL */
    NODE_CONFIG_STORED,
    NODE_CONFIG_CHANGED,                /* to nodes: one line */
};

struct node_line {
    uint32_t number;                    /* from 0 in each life of a node; one that is left out was lost there */
    uint16_t length, zero;
    uint64_t ns;                        /* since the node's boot */
    char text[];
} __attribute__((packed));

struct node_lines {
    uint32_t session, count;            /* of the node's life; lines that follow */
} __attribute__((packed));

/* To NODE_EBB_POWER. */
enum {
    NODE_ALLOCATE = 1,                  /* question: the kind's name; answered by NODE_GIVEN or NODE_NOT_GIVEN when it is decided */
    NODE_GIVEN,                         /* struct node_given */
    NODE_NOT_GIVEN,                     /* a sentence */
    NODE_FREE,                          /* question: uint16_t node; answered by NODE_FREED or NODE_NOT_GIVEN */
    NODE_FREED,
};

struct node_given {
    uint16_t number;
    uint8_t warm, zero;
    uint32_t address;                   /* network byte order */
} __attribute__((packed));

struct node_place {
    uint32_t address;                   /* network byte order */
    uint16_t port, zero;
} __attribute__((packed));

struct node_offer {
    uint32_t ebb;
    uint16_t low, high, needed, zero;
} __attribute__((packed));

struct node_hello {
    uint16_t format, offers, vcpus, zero;
    uint32_t free_mib;
    char name[NODE_NAME], image[NODE_NAME];
    struct node_offer offer[];
} __attribute__((packed));

struct node_choice {
    uint32_t ebb;
    uint16_t version, zero;
} __attribute__((packed));

struct node_welcome {
    uint16_t format, choices;
    uint32_t prefix;
    uint32_t beat_us;                   /* how often gpos wants to hear from us */
    struct node_choice choice[];
} __attribute__((packed));

#define NODE_INTERFACES 16u

/* runtime/node_versions.c */
struct node_interface *node_interfaces(unsigned *count);
struct node_interface *node_interface(uint32_t ebb);            /* NULL: not ours */
void node_narrow(void);                                         /* by the word speaks= */
uint16_t node_agree(const struct node_interface *own, uint16_t low, uint16_t high);    /* 0: nothing in common */

#endif
