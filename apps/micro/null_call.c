/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does it cost to ask the kernel for nothing? `null_call 0`: cycles of one getpid, of many in a row. */
#include "micro.h"
#include "runtime.h"

#define NR_GETPID 39
#define CALLS 200ul

static void micro_calls(uint64_t n)
{
    while (n-- > 0)
        rt_syscall(NR_GETPID, 0, 0, 0, 0, 0, 0);
}

void micro_main(int argc, char **argv)
{
    uint64_t samples[MICRO_SAMPLES];

    (void)argc, (void)argv;
    micro_timed(true);
    micro_window("null_call", CALLS, micro_calls);
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        uint64_t start = micro_now();
        micro_calls(CALLS);
        samples[i] = (micro_now() - start) * 100 / CALLS;
    }
    micro_report("null_call", 0, micro_median(samples, MICRO_SAMPLES));
}
