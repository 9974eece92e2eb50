/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From main to the first event, in the order of kernel/boot.c. The words are those of a native image: `KEY=VALUE... -- NAME ARGUMENTS`. */
#include "boot.h"
#include "clock.h"
#include "ebb.h"
#include "event.h"
#include "hosted.h"
#include "iobuf.h"
#include "mem.h"
#include "mmu.h"
#include "page.h"
#include "runtime.h"
#include "smp.h"
#include "timer.h"

#define MEMORY_AT 0x100000000ull        /* far from the program, and low: chunks are numbered from address 0 */
#define MEMORY_MIB_MOST 65536
#define MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE 0x4032

struct boot_info boot_info;
uint8_t image_end[1];                   /* memory starts behind it */

uint64_t mmu_ram_top(void)
{
    return boot_info.regions[0].end;
}

static char **hosted_argv;

static void hosted_die(const char *why)
{
    rt_print(2, why);
    rt_exit(2);
}

static void hosted_take_words(int argc, char **argv)
{
    static char text[BOOT_MAX_CMDLINE];
    size_t length = 0;

    for (int i = 1; i < argc; i++) {
        size_t more = strlen(argv[i]);

        if (length + more + 2 > sizeof(text))
            hosted_die("libos: the command line is too long; give fewer or shorter words\n");
        memcpy(text + length, argv[i], more);
        length += more;
        text[length++] = ' ';
    }
    cmdline_init(text);
}

static void hosted_map_memory(void)
{
    long megabytes = rt_parse(cmdline_get("memory", "256"), 1, MEMORY_MIB_MOST);

    if (megabytes < 0)
        hosted_die("libos: memory= takes MiB, from 1 to 65536\n");

    uint64_t size = (uint64_t)megabytes << 20;
    long at = rt_syscall(RT_NR_MMAP, (long)MEMORY_AT, (long)size, RT_PROT_READ_WRITE, MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE, -1, 0);

    if (at != (long)MEMORY_AT)
        hosted_die("libos: there is no room for its memory; give less with memory=MIB\n");
    boot_info.regions[0] = (struct boot_region){ MEMORY_AT, MEMORY_AT + size, true };
    boot_info.region_count = 1;
}

static void hosted_application(void *arg)
{
    char **words;
    int count = cmdline_app_words(&words);

    (void)arg;
    app_main(count, words);
}

char **hosted_program_words(void)
{
    for (char **at = hosted_argv; *at; at++)
        if (strcmp(*at, "--") == 0)
            return at + 1;
    return NULL;
}

int main(int argc, char **argv)
{
    hosted_argv = argv;
    hosted_take_words(argc, argv);
    hosted_map_memory();
    page_init();
    ebb_init();
    smp_init_first();
    mem_init();
    iobuf_init();
    event_init();
    timer_init();
    clock_init();
    hosted_start_threads();
    udp_init();
    event_spawn(0, hosted_application, NULL);
    event_loop();
}
