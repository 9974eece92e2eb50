/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernels.h"

#define MOST_SAMPLES 1001u
#define SAMPLE_CYCLES 20000ul       /* at least */

volatile uint64_t kernel_result;
static uint64_t kernel_samples = 9;

void kernel_measure(const char *name, uint64_t size, kernel_fn run, uint64_t scale)
{
    static uint64_t samples[MOST_SAMPLES];
    uint64_t times = 0, start;

    micro_timed(true);
    run();
    start = micro_now();
    do
        run(), times++;
    while (micro_now() - start < SAMPLE_CYCLES);
    for (unsigned i = 0; i < kernel_samples; i++) {
        uint64_t units = 0;
        start = micro_now();
        for (uint64_t j = 0; j < times; j++)
            units += run();
        samples[i] = (micro_now() - start) * 100 * scale / units;
    }
    micro_report(name, size, micro_median(samples, (unsigned)kernel_samples));
    micro_timed(false);
}

void micro_main(int argc, char **argv)
{
    if (argc > 1)
        kernel_samples = micro_argument(argv[1], MOST_SAMPLES);
    micro_timed(false);
    kernels_run();
}
