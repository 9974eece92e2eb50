/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The application of the image libos-linux: a static Linux program, unmodified, that comes as the first boot module. */
#include "compat.h"

#define PROGRAM_HEAP 0x1000000ull   /* what brk may give, if the image is not in its way */

extern uint8_t image_text[];

void app_main(int argc, char **argv)
{
    struct program program = { .name = argc ? argv[0] : "(no name)" };
    const char *calls = cmdline_get("calls", "syscall");

    if (!boot_module_get(&program))
        panic("linux: no program; boot this image with a static x86-64 program as the first module");
    if (strcmp(calls, "function") == 0)
        program.gate = linux_gate;
    else if (strcmp(calls, "syscall") != 0)
        panic("linux: calls= takes syscall or function, not %s", calls);
    linux_init();
    remote_start(program.name);
    program_load(&program);
    memory_init(program.end, program.end + PROGRAM_HEAP < (uint64_t)image_text ? program.end + PROGRAM_HEAP : (uint64_t)image_text);

    struct thread *thread = thread_new(program.entry, program_stack(&program, argc, argv));

    if (thread == NULL)
        panic("linux: no memory for a thread");
    thread_start(thread);
}
