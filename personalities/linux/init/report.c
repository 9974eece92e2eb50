// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whether the program serves, and what runs where: the lines personalities/linux/guest.py reads.
 *
 *     init: section MODULE NAME ADDRESS      a module's section, by /sys/module
 *     init: map START-END rights ...         an executable mapping of a process of the program, as /proc/PID/maps has it; each once
 *     init: ready
 */
#include "init.h"

static char buffer[1 << 16], names[1 << 14];

static void path_of(struct text *t, const char *const *parts)
{
    t->used = 0;
    while (*parts != NULL)
        text_add(t, *parts++);
    t->data[t->used] = '\0';
}

static bool sleeps(const char *folder, const char *name)   /* the state stands behind the name's last parenthesis */
{
    struct text path = {0};
    char stat[512], *at = stat;
    path_of(&path, (const char *const[]){ folder, "/", name, "/stat", NULL });
    if (read_file(path.data, stat, sizeof stat) <= 0)
        return false;
    for (char *c = stat; *c != '\0'; c++)
        if (*c == ')')
            at = c;
    return starts(at, ") S");
}

/* A line of /proc/net/udp: "  sl: LOCALADDRESS:PORT REMOTE:PORT STATE ..." in hexadecimal; TCP's state 0A is listening. */
static bool port_open(const char *table, unsigned port, bool tcp)
{
    char wanted[6] = { ':', "0123456789ABCDEF"[port >> 12 & 15], "0123456789ABCDEF"[port >> 8 & 15],
                       "0123456789ABCDEF"[port >> 4 & 15], "0123456789ABCDEF"[port & 15], '\0' };
    if (read_file(table, buffer, sizeof buffer) <= 0)
        return false;
    for (char *line = buffer; *line != '\0';) {
        char *at = line, *end = line;
        while (*end != '\0' && *end != '\n')
            end++;
        line = *end == '\0' ? end : end + 1;
        *end = '\0';
        unsigned fields = 0;
        char *field[4];
        while (*at != '\0' && fields < 4) {
            while (*at == ' ')
                at++;
            field[fields++] = at;
            while (*at != '\0' && *at != ' ')
                at++;
        }
        if (fields < 4)
            continue;
        char *local = field[1];
        while (*local != '\0' && *local != ':')
            local++;
        if (starts(local, wanted) && (!tcp || starts(field[3], "0A")))
            return true;
    }
    return false;
}

static bool serves(const char *awaited)
{
    bool tcp = starts(awaited, "tcp ");
    if (!tcp && !starts(awaited, "udp "))
        return true;
    long port = rt_parse(awaited + 4, 1, 65535);
    if (tcp)
        return port_open("/proc/net/tcp", (unsigned)port, true) || port_open("/proc/net/tcp6", (unsigned)port, true);
    return port_open("/proc/net/udp", (unsigned)port, false) || port_open("/proc/net/udp6", (unsigned)port, false);
}

void process_path(struct text *path, long child, const char *name)
{
    path->used = 0;
    text_add(path, "/proc/");
    text_number(path, (uint64_t)child, 10);
    text_add(path, name);
    path->data[path->used] = '\0';
}

/* Whether nothing but us runs, by /proc/loadavg ("0.00 0.01 0.05 1/74 81"): kernels have work of their own to finish after a boot. */
static bool quiet(void)
{
    char line[64];
    if (read_file("/proc/loadavg", line, sizeof line) <= 0)
        return false;
    char *at = line;
    for (int spaces = 0; *at != '\0' && spaces < 3; at++)
        spaces += *at == ' ';
    return starts(at, "1/");
}

static bool all_sleep(long process)
{
    struct text tasks = {0};
    process_path(&tasks, process, "/task");
    return all_in(tasks.data, names, sizeof names, sleeps);
}

bool is_ready(const char *awaited)
{
    return serves(awaited) && quiet() && any_process() && all_processes(all_sleep);
}

static bool tell_section(const char *folder, const char *name)
{
    struct text line = {0}, path = {0};
    char address[64];
    path_of(&path, (const char *const[]){ folder, "/", name, NULL });
    long n = read_file(path.data, address, sizeof address);
    if (n <= 0)
        return true;
    if (address[n - 1] == '\n')
        address[n - 1] = '\0';
    const char *module = folder + length_of("/sys/module/");
    text_add(&line, "init: section ");
    while (*module != '/' && *module != '\0')
        text_add(&line, (char[]){ *module++, '\0' });
    path_of(&path, (const char *const[]){ " ", name, " ", address, NULL });
    text_add(&line, path.data);
    text_line(&line);
    return true;
}

static bool tell_text_section(const char *folder, const char *name)   /* .text, .text.unlikely, .noinstr.text, .init.text, ... */
{
    for (const char *at = name; *at != '\0'; at++)
        if (starts(at, ".text"))
            return tell_section(folder, name);
    return true;
}

static bool tell_module(const char *folder, const char *name)
{
    static char room[1 << 14];
    struct text path = {0};
    path_of(&path, (const char *const[]){ folder, "/", name, "/sections", NULL });
    all_in(path.data, room, sizeof room, tell_text_section);
    return true;
}

/* Whether a line was told before: forked processes have their parent's mappings. A table full of others says no. */
static bool told(const char *line)
{
    enum { LINES = 1024 };
    static uint64_t known[LINES];
    uint64_t hash = 0xcbf29ce484222325u;
    while (*line != '\0')
        hash = (hash ^ (uint8_t)*line++) * 0x100000001b3u;
    hash |= 1;
    for (unsigned i = 0; i < LINES; i++) {
        uint64_t *slot = &known[(hash + i) % LINES];
        if (*slot == hash)
            return true;
        if (*slot == 0) {
            *slot = hash;
            return false;
        }
    }
    return false;
}

static bool tell_maps(long process)
{
    struct text path = {0}, line = {0};
    process_path(&path, process, "/maps");
    if (read_file(path.data, buffer, sizeof buffer) <= 0)
        return true;
    for (char *at = buffer; *at != '\0';) {
        char *end = at, *rights = at;
        while (*end != '\0' && *end != '\n')
            end++;
        char *next = *end == '\0' ? end : end + 1;
        *end = '\0';
        while (*rights != '\0' && *rights != ' ')
            rights++;
        if (end - rights > 4 && rights[3] == 'x' && !told(at)) {
            text_add(&line, "init: map ");
            text_add(&line, at);
            text_line(&line);
        }
        at = next;
    }
    return true;
}

void report(void)
{
    struct text line = {0};
    all_in("/sys/module", names, sizeof names, tell_module);
    all_processes(tell_maps);
    text_add(&line, "init: ready");
    text_line(&line);
}
