/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ICMP_H
#define ICMP_H

#include "ip.h"

void icmp_input(struct iobuf *message, const struct ip_header *ip, const struct eth_header *eth);   /* takes it over */

#endif
