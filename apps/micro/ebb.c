/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a call through an Ebb cost beside a plain one? `call_direct 0` and `call_ebb 0`: cycles of one of many calls of the same function, by
 * address of its object and by the Ebb's id; `call_ebb 1`: the id is what the call before returned, so that nothing hides the look-up.
 */
#include "libos.h"
#include "micro.h"

#define CALLS 2000ul
#define VALUES 64u

struct micro_object {
    uint64_t values[VALUES];
    ebb_id self;
};

static struct micro_object micro_object;
static ebb_id micro_id;

static __attribute__((noinline, noclone)) ebb_id micro_put(struct micro_object *object, uint64_t n)
{
    object->values[n % VALUES] = n;
    return object->self;
}

static void micro_direct(uint64_t n)
{
    struct micro_object *object = &micro_object;

    while (n-- > 0)
        micro_put(object, n);
}

static void micro_ebb(uint64_t n)
{
    ebb_id id = micro_id;

    while (n-- > 0)
        micro_put(ebb_rep(id), n);
}

static void micro_direct_chain(uint64_t n)
{
    struct micro_object *object = &micro_object;
    ebb_id id = 0;

    while (n-- > 0) {
        id = micro_put(object, id ^ n);
        __asm__ volatile("" : "+r"(object) : "r"(id));
    }
}

static void micro_chain(uint64_t n)
{
    ebb_id id = micro_id;

    while (n-- > 0)
        id = micro_put(ebb_rep(id), n);
}

static void micro_measure(const char *name, uint64_t param, void (*run)(uint64_t n))
{
    uint64_t samples[MICRO_SAMPLES];

    run(CALLS);
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        uint64_t start = micro_now();

        run(CALLS);
        samples[i] = (micro_now() - start) * 100 / CALLS;
    }
    micro_report(name, param, micro_median(samples, MICRO_SAMPLES));
}

void micro_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    micro_id = ebb_create_shared(&micro_object);
    micro_object.self = micro_id;
    micro_timed(true);
    micro_measure("call_direct", 0, micro_direct);
    micro_measure("call_ebb", 0, micro_ebb);
    micro_measure("call_direct", 1, micro_direct_chain);
    micro_measure("call_ebb", 1, micro_chain);
}
