/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gpos: what a general-purpose system does for library OSes, as a Linux program on the hosted library OS. One vCPU: every function here is an event of it,
 * so nothing has a lock.
 */
#ifndef GPOS_H
#define GPOS_H

#include "node_wire.h"

struct gpos_node {
    bool joined;
    uint16_t number;
    uint16_t vcpus;
    int32_t pid;                        /* of its proxy process; 0: none */
    uint32_t ip;                        /* network byte order; 0: not heard of */
    uint16_t port;
    uint32_t prefix;
    uint64_t joined_ns, heard_ns;
    uint16_t version[NODE_INTERFACES];  /* agreed, as node_interfaces() are ordered */
    char name[NODE_NAME], image[NODE_NAME];
};

/* nodes.c: who has joined */
void nodes_start(void);
struct gpos_node *nodes_at(unsigned number);                    /* NULL: no such number */
struct gpos_node *nodes_named(const char *name, size_t length); /* joined; a number will do, too */
bool nodes_speaks(const struct gpos_node *node, uint32_t ebb);  /* joined, and agreed on a version of it */
uint16_t nodes_version(const struct gpos_node *node, uint32_t ebb);
void nodes_heard(unsigned number);                              /* a message came */
void nodes_leave(struct gpos_node *node, const char *why);      /* its proxy is gone, or goes */
void nodes_stop(struct gpos_node *node);                        /* is told to power off, and has left */


/* processes.c: proxies, and the node's other program */
void processes_start(void);
int32_t processes_proxy(const char *name);                      /* its number; 0: there is none */
void processes_end(int32_t pid);
void processes_run(char **argv);                      /* the other program */

/* main.c */
uint32_t words_number(const char *key, uint32_t fallback, uint32_t least, uint32_t most);

/* log.c: a file for each node */
void log_start(void);
void log_path(char path[static 96], const char *name);
void log_note(const char *name, const char *note);              /* a line of ours in its file */

/* config.c: keys and values; NULL, or why not */
void config_start(void);
const char *config_get(const char *key);
const char *config_set(const char *key, const char *value);
const char *config_set_line(const char *line, size_t length);   /* KEY=VALUE */
uint32_t config_text(char *text, uint32_t room);                /* all lines */

/* ps.c: this system's processes, by /proc */
uint32_t ps_text(char *text, uint32_t room);

/* operator.c: the person outside, by UDP */
void operator_start(void);

/* power.c: machines on and off */
void power_start(void);
void power_joined(const struct gpos_node *node);                /* its hello has come */

/* map.c: what ids stand for */
void map_start(void);

#endif
