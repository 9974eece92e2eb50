/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLIENT_H
#define CLIENT_H

#include "context.h"
#include "ninep.h"

/* In a context. client_stream.c, hosted: with the server that standard input leads to; client_node.c: with gpos's. */
void client_begin(struct ninep *session, struct future *begun);

#endif
