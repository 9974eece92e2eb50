/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must not work: the run ends with a panic that names exception and address. The word says which. */
#include "check.h"

static const uint64_t test_constant = 1;
static uint8_t test_code[] = { 0xC3 };

/* Where the compiler cannot see: it refuses to compile some of this otherwise. */
static uint8_t *test_hidden(uint64_t address)
{
    __asm__("" : "+r"(address));
    return (uint8_t *)address;
}

static int test_recurse(volatile int *depth)
{
    volatile uint8_t frame[1024];

    frame[0] = (uint8_t)*depth;
    if (++*depth < 1000000)
        return test_recurse(depth) + frame[0];
    return 0;
}

static void test_on_last_cpu(void *arg)
{
    const char *what = arg;

    if (strcmp(what, "null") == 0)
        *(volatile uint8_t *)test_hidden(8) = 1;
    else if (strcmp(what, "code") == 0)
        *(volatile uint8_t *)test_hidden((uint64_t)app_main) = 0;
    else if (strcmp(what, "constant") == 0)
        *(volatile uint8_t *)test_hidden((uint64_t)&test_constant) = 2;
    else if (strcmp(what, "execute") == 0)
        ((void (*)(void))test_hidden((uint64_t)test_code))();
    else if (strcmp(what, "divide") == 0)
        __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" : : : "rax", "rcx", "rdx");
    else if (strcmp(what, "undefined") == 0)
        __asm__ volatile("ud2");
    else if (strcmp(what, "ebb") == 0)
        ebb_rep(EBB_MAX - 1);
    else if (strcmp(what, "free") == 0)
        mem_free(test_hidden(0x800000));
    else if (strcmp(what, "stack") == 0) {
        int depth = 0;

        test_recurse(&depth);
    }
    console_printf("went on\n");
    machine_exit(1);
}

void app_main(int argc, char **argv)
{
    CHECK(argc == 2, "which fault?");
    event_spawn(cpu_count() - 1, test_on_last_cpu, argv[1]);
}
