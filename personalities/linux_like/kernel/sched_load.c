/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How busy a thread, and a vCPU, has been: time is counted in periods of 1,024 us, and each period's share halves every 32 periods, so the newest
 * matter most (Turner, "per-entity load tracking", 2012). `runnable` counts time on a run queue, `running` time on a processor; a thread's history goes with it when
 * it moves. Placing a thread where nobody idles, and pulling from the busiest, go by it.
 */
#include "sched.h"

#define PERIOD 1024u
#define HALF_LIFE 32u
#define LOAD_MAX 47742u   /* what an everlasting sum of 1,024 a period comes to */

static u32 decay_by[HALF_LIFE];     /* 2^32 * 2^(-n/32) */

/* 2^(-1/32) in 32 bits of fraction: its powers by multiplication. */
void load_init(void)
{
    u64 y = 4202935003ul, v = 0xffffffff;
    for (u32 i = 0; i < HALF_LIFE; i++, v = v * y >> 32)
        decay_by[i] = (u32)v;
}

static u64 load_decay(u64 v, u64 periods)
{
    if (periods >= 63 * HALF_LIFE)
        return 0;
    return (v >> periods / HALF_LIFE) * decay_by[periods % HALF_LIFE] >> 32;
}

/* What a stretch adds: the rest of the old period, the whole ones between, the new one's beginning. */
static u32 load_segments(u64 periods, u32 first, u32 last)
{
    u32 whole = LOAD_MAX - (u32)load_decay(LOAD_MAX, periods) - PERIOD;
    return (u32)load_decay(first, periods) + whole + last;
}

/* Time has come to `now`; until then it was runnable (so many threads), and running, or not. */
noinline void load_update(struct load *l, u64 now, u32 runnable, bool running)
{
    u64 us = (now - l->at) >> 10;     /* nearly: 1,024 ns, as the periods are 2^20 ns */
    if ((s64)(now - l->at) < 0) {
        l->at = now;                  /* another vCPU's clock was ahead */
        return;
    }
    if (!us)
        return;
    l->at += us << 10;
    u32 add = (u32)us;
    u64 periods = (us + l->part) / PERIOD;
    if (periods) {
        l->runnable_sum = load_decay(l->runnable_sum, periods);
        l->running_sum = (u32)load_decay(l->running_sum, periods);
        u32 last = (u32)((us + l->part) % PERIOD);
        add = load_segments(periods, PERIOD - l->part, last);
        l->part = last;
    } else {
        l->part += (u32)us;
    }
    l->runnable_sum += (u64)add * runnable;
    if (running)
        l->running_sum += add;
    if (!periods)
        return;
    u32 divider = LOAD_MAX - PERIOD + l->part;
    l->runnable = (u32)(l->runnable_sum * LOAD_SCALE / divider);
    l->running = (u32)((u64)l->running_sum * LOAD_SCALE / divider);
}
