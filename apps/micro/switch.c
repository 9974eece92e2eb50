/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does a context switch cost? Two who hand each other a byte through two pipes, on one vCPU, as lmbench's lat_ctx has it: a round trip is
 * two switches and two pairs of a write and a read. `pipe_pair 1`: cycles of such a pair without a switch. `switch_threads 2` (one
 * address space) and `switch_processes 2` (two): half a round trip less a pair. On a machine with several vCPUs it is something else: the two
 * wake each other.
 */
#include "micro.h"
#include "runtime.h"

#define NR_READ 0
#define NR_PIPE 22
#define NR_FORK 57
#define ROUNDS 50ul
#define STACK 65536u

static int micro_there[2], micro_back[2], micro_own[2];

static void micro_send(const int *pipe)
{
    char byte = 1;
    if (rt_syscall(RT_NR_WRITE, pipe[1], (long)&byte, 1, 0, 0, 0) != 1)
        micro_fail("the pipe takes no byte");
}

static void micro_receive(const int *pipe)
{
    char byte;
    if (rt_syscall(NR_READ, pipe[0], (long)&byte, 1, 0, 0, 0) != 1)
        micro_fail("the pipe gives no byte");
}

static void micro_partner(void *argument)
{
    (void)argument;
    for (;;) {
        micro_receive(micro_there);
        micro_send(micro_back);
    }
}

static void micro_pairs(uint64_t n)
{
    while (n-- > 0) {
        micro_send(micro_own);
        micro_receive(micro_own);
    }
}

static void micro_rounds(uint64_t n)
{
    while (n-- > 0) {
        micro_send(micro_there);
        micro_receive(micro_back);
    }
}

static uint64_t micro_measure(const char *name, void (*run)(uint64_t))
{
    uint64_t samples[MICRO_SAMPLES];

    micro_window(name, ROUNDS, run);
    for (unsigned i = 0; i < MICRO_SAMPLES; i++) {
        uint64_t start = micro_now();
        run(ROUNDS);
        samples[i] = (micro_now() - start) * 100 / ROUNDS;
    }
    return micro_median(samples, MICRO_SAMPLES);
}

static void micro_pipes(void)
{
    int *pipes[] = { micro_there, micro_back, micro_own };
    for (unsigned i = 0; i < 3; i++)
        if (rt_syscall(NR_PIPE, (long)pipes[i], 0, 0, 0, 0, 0) != 0)
            micro_fail("no pipe");
}

void micro_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    micro_pipes();
    micro_timed(true);

    uint64_t pair = micro_measure("pipe_pair", micro_pairs);
    micro_report("pipe_pair", 1, pair);
    if (rt_thread_start(micro_partner, NULL, STACK) != 0)
        micro_fail("no thread");
    uint64_t half = micro_measure("round_threads", micro_rounds) / 2;
    micro_report("switch_threads", 2, half > pair ? half - pair : 0);

    micro_pipes();      /* the thread keeps waiting at the old ones */
    long child = rt_syscall(NR_FORK, 0, 0, 0, 0, 0, 0);
    if (child < 0)
        micro_fail("no process");
    if (child == 0)
        micro_partner(NULL);
    half = micro_measure("round_processes", micro_rounds) / 2;
    micro_report("switch_processes", 2, half > pair ? half - pair : 0);
    rt_syscall(62, child, 9, 0, 0, 0, 0);       /* kill, SIGKILL */
}
