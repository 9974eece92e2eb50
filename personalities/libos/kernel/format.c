/* SPDX-License-Identifier: GPL-2.0-or-later */
/* printf's text formatting, integers only. */
#include "cpu.h"

struct format_out {
    char *text;
    size_t size;
    size_t length;      /* what the whole text needs, also beyond `size` */
};

static void format_char(struct format_out *out, char c)
{
    if (out->length + 1 < out->size)
        out->text[out->length] = c;
    out->length++;
}

static void format_padding(struct format_out *out, char c, int count)
{
    while (count-- > 0)
        format_char(out, c);
}

static void format_field(struct format_out *out, const char *sign, const char *text, int length, int width, bool left,
                         bool zeros)
{
    int pad = width - length - (int)strlen(sign);

    if (!left && !zeros)
        format_padding(out, ' ', pad);
    while (*sign)
        format_char(out, *sign++);
    if (!left && zeros)
        format_padding(out, '0', pad);
    for (int i = 0; i < length; i++)
        format_char(out, text[i]);
    if (left)
        format_padding(out, ' ', pad);
}

static int format_digits(char *end, uint64_t value, unsigned base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    int length = 0;

    do {
        *--end = digits[value % base];
        value /= base;
        length++;
    } while (value);
    return length;
}

int format_vstring(char *text, size_t size, const char *format, va_list args)
{
    struct format_out out = { text, size, 0 };
    char digits[24];
    char *digits_end = digits + sizeof(digits);

    for (; *format; format++) {
        if (*format != '%') {
            format_char(&out, *format);
            continue;
        }
        format++;

        bool left = false, zeros = false;

        for (;; format++) {
            if (*format == '-')
                left = true;
            else if (*format == '0')
                zeros = true;
            else
                break;
        }

        int width = 0, longs = 0, precision = -1;

        while (*format >= '0' && *format <= '9')
            width = width * 10 + (*format++ - '0');
        if (*format == '.') {
            format++;
            if (*format == '*') {
                precision = va_arg(args, int);
                format++;
            } else {
                precision = 0;
                while (*format >= '0' && *format <= '9')
                    precision = precision * 10 + (*format++ - '0');
            }
        }
        while (*format == 'l' || *format == 'z') {
            longs++;
            format++;
        }

        uint64_t value;
        const char *sign = "";

        switch (*format) {
        case 'c':
            digits[0] = (char)va_arg(args, int);
            format_field(&out, "", digits, 1, width, left, false);
            break;
        case 's': {
            const char *string = va_arg(args, const char *);
            int length = 0;

            if (string == NULL)
                string = "(null)";
            while ((precision < 0 || length < precision) && string[length])
                length++;
            format_field(&out, "", string, length, width, left, false);
            break;
        }
        case 'd':
        case 'i': {
            int64_t number = longs ? va_arg(args, int64_t) : va_arg(args, int);

            value = number < 0 ? -(uint64_t)number : (uint64_t)number;
            if (number < 0)
                sign = "-";
            int length = format_digits(digits_end, value, 10, false);
            format_field(&out, sign, digits_end - length, length, width, left, zeros);
            break;
        }
        case 'p':
            longs = 1;
            sign = "0x";
            /* fall through */
        case 'u':
        case 'x':
        case 'X': {
            value = longs ? va_arg(args, uint64_t) : va_arg(args, unsigned);
            int length = format_digits(digits_end, value, *format == 'u' ? 10 : 16, *format == 'X');
            format_field(&out, sign, digits_end - length, length, width, left, zeros);
            break;
        }
        case '\0':
            format--;
            break;
        default:
            format_char(&out, *format);
            break;
        }
    }
    if (size)
        text[out.length < size ? out.length : size - 1] = '\0';
    return (int)out.length;
}

int format_string(char *text, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = format_vstring(text, size, format, args);
    va_end(args);
    return length;
}
