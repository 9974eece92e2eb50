/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two ends of a run. */
#include "console.h"
#include "cpu.h"

#define EXIT_PORT 0xF4
#define PANIC_STATUS 125

void machine_exit(uint32_t status)
{
    outl(EXIT_PORT, status);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void panic(const char *format, ...)
{
    va_list args;

    console_break_lock();
    console_printf("panic: ");
    va_start(args, format);
    console_vprintf(format, args);
    va_end(args);
    console_printf("\n");
    machine_exit(PANIC_STATUS);
}
