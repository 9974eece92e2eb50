/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which interfaces a node or gpos has, in which versions. */
#include "node_wire.h"

static struct node_interface interfaces[NODE_INTERFACES];
static unsigned interface_count;

struct node_interface *node_interfaces(unsigned *count)
{
    *count = interface_count;
    return interfaces;
}

struct node_interface *node_interface(uint32_t ebb)
{
    for (unsigned i = 0; i < interface_count; i++)
        if (interfaces[i].ebb == ebb)
            return &interfaces[i];
    return NULL;
}

void node_speaks(uint32_t ebb, const char *name, uint16_t low, uint16_t high, bool needed)
{
    if (interface_count == NODE_INTERFACES || low == 0 || low > high || node_interface(ebb))
        panic("node: interface %s cannot be added", name);
    interfaces[interface_count++] = (struct node_interface){ .ebb = ebb, .name = name, .low = low, .high = high, .needed = needed };
}

uint16_t node_version(uint32_t ebb)
{
    const struct node_interface *own = node_interface(ebb);

    return own ? own->agreed : 0;
}

uint16_t node_agree(const struct node_interface *own, uint16_t low, uint16_t high)
{
    if (own->high == 0 || high == 0)
        return 0;

    uint16_t most = own->high < high ? own->high : high;
    uint16_t least = own->low > low ? own->low : low;

    return most >= least ? most : 0;
}

static const char *node_take_number(const char *at, uint16_t *number)
{
    uint32_t value = 0;

    while (*at >= '0' && *at <= '9' && value < 10000)
        value = value * 10 + (uint32_t)(*at++ - '0');
    *number = (uint16_t)value;
    return at;
}

/* One NAME:LOW-HIGH; where the next begins. */
static const char *node_narrow_one(const char *at)
{
    const char *name = at;
    uint16_t low = 0, high = 0;

    while (*at && *at != ':' && *at != ',')
        at++;

    size_t length = (size_t)(at - name);
    struct node_interface *own = NULL;

    for (unsigned i = 0; i < interface_count; i++)
        if (strlen(interfaces[i].name) == length && memcmp(interfaces[i].name, name, length) == 0)
            own = &interfaces[i];
    if (*at == ':')
        at = node_take_number(at + 1, &low);
    high = low;
    if (*at == '-')
        at = node_take_number(at + 1, &high);
    bool none = low == 0 && high == 0;

    if (own == NULL || (!none && low < own->low) || high > own->high || low > high || (*at && *at != ','))
        panic("node: speaks=%s: give NAME:LOW-HIGH within what this image has, or NAME:0, joined by commas", name);
    own->low = low;
    own->high = high;
    return *at ? at + 1 : at;
}

void node_narrow(void)
{
    const char *at = cmdline_get("speaks", "");

    while (*at)
        at = node_narrow_one(at);
}
