/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"

void client_begin(struct ninep *session, struct future *begun)
{
    ninep_begin_stream(session, 0, 0, begun);
}
