/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that say how back ends are managed. */
#include "internal.h"

#define PROVISIONER_PORT 5641
#define PROVISIONER_ADDRESS 0x0302000au /* 10.0.2.3 */

const char kvd_router_options[] =
    "  --health US      back ends that say nothing for so long are asked whether they live, and given up after three times that (1000);\n"
    "                   keys are spread by rendezvous hashing then\n"
    "  --pool KIND      back ends are machines of that pool, asked of the provisioner, as the load needs them\n"
    "  --provisioner A  its IPv4 address (10.0.2.3)\n"
    "  --min N, --max N how many back ends there are (1, 64)\n"
    "  --target N       requests under way to each (4)\n"
    "  --calm US        fewer must have been enough for so long before one is given back (20000)\n"
    "  --tick US        how often all this is looked at (200)\n";

static bool kvd_router_same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b)
        a++, b++;
    return *a == *b;
}

static bool kvd_router_within(const char *text, uint32_t least, uint32_t most, uint32_t *number)
{
    uint32_t digits = 0;
    for (*number = 0; *text >= '0' && *text <= '9' && digits < 9; text++, digits++)
        *number = *number * 10 + (uint32_t)(*text - '0');
    return digits > 0 && *text == '\0' && *number >= least && *number <= most;
}

static void kvd_router_managed(struct kvd_router_plan *plan)
{
    if (plan->managed)
        return;
    plan->managed = true;
    plan->provisioner = (struct kvd_router_peer){PROVISIONER_ADDRESS, __builtin_bswap16(PROVISIONER_PORT)};
    plan->least = 1;
    plan->most = KVD_ROUTER_BACKENDS;
    plan->target = 4;
    plan->tick_ns = 200000;
    plan->health_ns = 1000000;
    plan->calm_ns = 20000000;
}

int kvd_router_option(struct kvd_router *router, const char *name, const char *value)
{
    static const char *const names[] = {"--pool", "--provisioner", "--min", "--max", "--target", "--tick", "--health", "--calm"};
    struct kvd_router_plan *plan = &router->plan;
    size_t which = 0;
    uint32_t n = 0;
    while (which < sizeof names / sizeof *names && !kvd_router_same(name, names[which]))
        which++;
    if (which == sizeof names / sizeof *names)
        return 0;
    kvd_router_managed(plan);
    switch (which) {
    case 0:
        plan->pool = value;
        for (n = 0; value[n] != '\0' && value[n] != ' ';)
            n++;
        return n > 0 && n <= 32 && value[n] == '\0' ? 1 : -1;
    case 1:
        return kvd_router_address(value, &plan->provisioner.address) ? 1 : -1;
    case 2:
        return kvd_router_within(value, 1, KVD_ROUTER_BACKENDS, &plan->least) ? 1 : -1;
    case 3:
        return kvd_router_within(value, 1, KVD_ROUTER_BACKENDS, &plan->most) ? 1 : -1;
    case 4:
        return kvd_router_within(value, 1, 10000, &plan->target) ? 1 : -1;
    default:
        if (!kvd_router_within(value, which == 5 ? 50 : 100, 10000000, &n))
            return -1;
        *(which == 5 ? &plan->tick_ns : which == 6 ? &plan->health_ns : &plan->calm_ns) = n * 1000ull;
        return 1;
    }
}
