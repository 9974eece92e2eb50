/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UDP_H
#define UDP_H

#include "ip.h"

void udp_init(void);
void udp_input(struct iobuf *segment, const struct ip_header *ip, const struct eth_header *eth);    /* takes it over */

#endif
