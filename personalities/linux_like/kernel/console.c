/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel messages on the first 16550, and the end of the machine. The terminal programs see is tty.c. */
#include "defs.h"

#define UART 0x3f8
#define UART_IER 1
#define UART_FCR 2
#define UART_LCR 3
#define UART_MCR 4
#define UART_LSR 5
#define UART_FIFO 16
#define LSR_THRE 0x20
#define EXIT_PORT 0xf4

static struct spinlock console_lock;
static bool console_panicking;

void console_init(void)
{
    outb(UART + UART_IER, 0);
    outb(UART + UART_LCR, 0x80);
    outb(UART, 1); /* divisor: 115200 */
    outb(UART + 1, 0);
    outb(UART + UART_LCR, 3);
    outb(UART + UART_FCR, 7);
    outb(UART + UART_MCR, 0xb);
}

static void console_put(const char *s, size_t n)
{
    u32 room = 0;
    for (size_t i = 0; i < n; i++) {
        u32 need = s[i] == '\n' ? 2 : 1;
        if (room < need) { /* ask the line status once a FIFO's worth */
            while (!(inb(UART + UART_LSR) & LSR_THRE))
                cpu_pause();
            room = UART_FIFO;
        }
        if (s[i] == '\n')
            outb(UART, '\r');
        outb(UART, (u8)s[i]);
        room -= need;
    }
}

void console_write(const char *s, size_t n)
{
    if (console_panicking) {
        console_put(s, n);
        return;
    }
    u64 f = spin_lock_irqsave(&console_lock);
    console_put(s, n);
    spin_unlock_irqrestore(&console_lock, f);
}

static void put_char(char **p, char *end, char c)
{
    if (*p < end)
        *(*p)++ = c;
}

static void put_number(char **p, char *end, u64 v, u32 base, bool neg, int width, char pad, bool upper)
{
    char tmp[24];
    int n = 0;
    do {
        tmp[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
        v /= base;
    } while (v);
    if (neg)
        tmp[n++] = '-';
    for (int i = n; i < width; i++)
        put_char(p, end, pad);
    while (n)
        put_char(p, end, tmp[--n]);
}

/* %d %u %x %X %o, these with l, too, %s %c %%, with width and zero padding. */
int vsnprintk(char *buf, size_t n, const char *fmt, va_list ap)
{
    char *p = buf, *end = buf + n - 1;
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put_char(&p, end, *fmt);
            continue;
        }
        char pad = ' ';
        int width = 0;
        bool wide = false;
        if (*++fmt == '0')
            pad = '0';
        while (*fmt >= '0' && *fmt <= '9')
            width = width * 10 + (*fmt++ - '0');
        while (*fmt == 'l')
            wide = true, fmt++;
        if (*fmt == 'd') {
            s64 v = wide ? va_arg(ap, s64) : va_arg(ap, int);
            put_number(&p, end, v < 0 ? -(u64)v : (u64)v, 10, v < 0, width, pad, false);
        } else if (*fmt == 'u' || *fmt == 'x' || *fmt == 'X' || *fmt == 'o') {
            u64 v = wide ? va_arg(ap, u64) : va_arg(ap, u32);
            put_number(&p, end, v, *fmt == 'u' ? 10 : *fmt == 'o' ? 8 : 16, false, width, pad, *fmt == 'X');
        } else if (*fmt == 's') {
            for (const char *s = va_arg(ap, const char *); *s; s++)
                put_char(&p, end, *s);
        } else if (*fmt == 'c') {
            put_char(&p, end, (char)va_arg(ap, int));
        } else {
            put_char(&p, end, *fmt);
        }
    }
    *p = 0;
    return (int)(p - buf);
}

int snprintk(char *buf, size_t n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = vsnprintk(buf, n, fmt, ap);
    va_end(ap);
    return r;
}

void printk(const char *fmt, ...)
{
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintk(line, sizeof line, fmt, ap);
    va_end(ap);
    console_write(line, (size_t)n);
}

/* The last write of a run: isa-debug-exit ends the emulator with (status << 1) | 1. */
noreturn void machine_exit(u32 status)
{
    irq_disable();
    outl(EXIT_PORT, status);
    for (;;)
        __asm__ volatile("cli; hlt");
}

noreturn void panic(const char *fmt, ...)
{
    char line[256];
    irq_disable();
    console_panicking = true;
    va_list ap;
    va_start(ap, fmt);
    vsnprintk(line, sizeof line, fmt, ap);
    va_end(ap);
    printk("panic: %s\n", line);
    machine_exit(255);
}
