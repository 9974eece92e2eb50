/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The application of an image that a Linux program (on apps/runtime_linux) was linked into: system calls are C calls. */
#include "compat.h"

void _start(void);

void app_main(int argc, char **argv)
{
    struct program program = { .name = argc ? argv[0] : "(no name)", .entry = (uint64_t)_start, .gate = linux_gate };

    linux_init();
    remote_start(program.name);

    struct thread *thread = thread_new(program.entry, program_stack(&program, argc, argv));

    if (thread == NULL)
        panic("linux: no memory for a thread");
    thread_start(thread);
}
