/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standard output for a console, and the two ends of a run: the process ends with the status that a machine would. */
#include "cpu.h"
#include "runtime.h"

#define PANIC_STATUS 125

static console_tap_fn console_tapped;

/* One write a call: it comes out unbroken. */
void console_vprintf(const char *format, va_list args)
{
    char line[512];

    format_vstring(line, sizeof(line), format, args);
    rt_print(1, line);
    if (console_tapped)
        console_tapped(line, strlen(line));
}

void console_tap(console_tap_fn fn)
{
    console_tapped = fn;
}

void console_printf(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    console_vprintf(format, args);
    va_end(args);
}

void machine_exit(uint32_t status)
{
    rt_exit((int)status);
}

void panic(const char *format, ...)
{
    va_list args;

    console_tapped = NULL;
    console_printf("panic: ");
    va_start(args, format);
    console_vprintf(format, args);
    va_end(args);
    console_printf("\n");
    machine_exit(PANIC_STATUS);
}
