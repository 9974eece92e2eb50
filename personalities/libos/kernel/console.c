/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 16550 serial port at 0x3F8, written to by polling. */
#include "console.h"
#include "cpu.h"

#define UART 0x3F8
#define UART_IER (UART + 1)
#define UART_FCR (UART + 2)
#define UART_LCR (UART + 3)
#define UART_MCR (UART + 4)
#define UART_LSR (UART + 5)
#define LSR_TX_EMPTY 0x20
#define UART_FIFO_DEPTH 16u

static struct spinlock console_lock;
static bool console_lock_broken;
static unsigned console_fifo_room;
static console_tap_fn console_tapped;

void console_init(void)
{
    outb(UART_IER, 0);
    outb(UART_LCR, 0x80);       /* divisor latch */
    outb(UART, 1);              /* 115200 baud */
    outb(UART_IER, 0);
    outb(UART_LCR, 0x03);       /* 8N1 */
    outb(UART_FCR, 0x07);       /* FIFOs on and empty */
    outb(UART_MCR, 0x03);
}

static void console_putc(char c)
{
    /* An empty transmitter takes a whole FIFO: one status read for 16 characters. */
    if (console_fifo_room == 0) {
        while (!(inb(UART_LSR) & LSR_TX_EMPTY))
            cpu_relax();
        console_fifo_room = UART_FIFO_DEPTH;
    }
    outb(UART, (uint8_t)c);
    console_fifo_room--;
}

void console_vprintf(const char *format, va_list args)
{
    char line[512];
    size_t length = (size_t)format_vstring(line, sizeof(line), format, args);

    if (length >= sizeof(line))
        length = sizeof(line) - 1;
    if (!console_lock_broken)
        spin_lock(&console_lock);
    for (size_t i = 0; i < length; i++) {
        if (line[i] == '\n')
            console_putc('\r');
        console_putc(line[i]);
    }
    if (console_tapped)
        console_tapped(line, length);
    if (!console_lock_broken)
        spin_unlock(&console_lock);
}

void console_printf(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    console_vprintf(format, args);
    va_end(args);
}

void console_tap(console_tap_fn fn)
{
    console_tapped = fn;
}

void console_break_lock(void)
{
    console_lock_broken = true;
    console_tapped = NULL;
}
