/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of a node's library share. */
#ifndef NODE_PARTS_H
#define NODE_PARTS_H

#include "node_wire.h"

struct node_state {
    uint16_t number;
    uint32_t session;
    bool joined;
    uint32_t prefix, beat_us;
    uint32_t ids;                       /* given out, with this prefix */
    const char *name, *image;
    struct future *first;               /* who waits for the welcome */
    char refusal[NODE_SENTENCE];
};

extern struct node_state node_own;

void node_log_start(void);             /* node_log.c */
void node_config_start(void);          /* node_config.c */
void node_profile_start(void);         /* node_profile.c */
void node_profile(const struct message *question);
void node_stat(const struct message *question);        /* node_stat.c */
void node_stranger(uint16_t node, uint32_t ip, uint16_t port);      /* node_map.c */

#endif
