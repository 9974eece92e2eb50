/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does the kernel's tick take from a program that computes? It reads the TSC all the time and adds up the gaps that are long, from one
 * tick to the next: `tick 1` cycles a tick (median), `tick_period 1` cycles from one to the next, `tick_interrupts 1` gaps a tick: a kernel whose
 * timer fires early takes several.
 */
#include "micro.h"

#define TICKS 5u
#define LONG_GAP 400ul          /* cycles; reading the TSC takes a tenth */
#define APART 1000000ul         /* cycles between ticks at least: 2,500 Hz on a 2.5 GHz processor */

void micro_main(int argc, char **argv)
{
    uint64_t taken[TICKS + 1] = { 0 }, began[TICKS + 1] = { 0 }, gaps[TICKS + 1] = { 0 }, last = 0;
    unsigned ticks = 0;             /* the first one is short of what came before us */

    (void)argc, (void)argv;
    micro_timed(true);
    for (;;) {
        uint64_t before = micro_now(), after;
        while ((after = micro_now()) - before < LONG_GAP)
            before = after;
        if (before - last > APART && ++ticks > TICKS + 1)
            break;
        if (before - last > APART)
            began[ticks - 1] = before;
        taken[ticks - 1] += after - before;
        gaps[ticks - 1]++;
        last = before;
    }
    for (unsigned i = 0; i < TICKS; i++)
        began[i] = began[i + 1] - began[i];
    micro_report("tick", 1, micro_median(taken + 1, TICKS) * 100);
    micro_report("tick_period", 1, micro_median(began, TICKS) * 100);
    micro_report("tick_interrupts", 1, micro_median(gaps + 1, TICKS) * 100);
}
