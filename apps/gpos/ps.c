/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes as /proc tells of them; proxies with what is known of their nodes. */
#include "gpos.h"
#include "runtime.h"

#define ENTRIES_BYTES 4096u
#define STAT_BYTES 512u

struct ps_entry {                       /* struct linux_dirent64 */
    uint64_t number, offset;
    uint16_t size;
    uint8_t type;
    char name[];
} __attribute__((packed));

struct ps_text {
    char *bytes;
    uint32_t length, room;
};

static void ps_add(struct ps_text *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);

    int length = format_vstring(text->bytes + text->length, text->room - text->length, format, args);

    va_end(args);
    if (text->length + (uint32_t)length < text->room)
        text->length += (uint32_t)length;
}

static uint32_t ps_node_text(struct ps_text *text, int32_t pid)
{
    for (unsigned number = 1; number < MESSENGER_NODES; number++) {
        const struct gpos_node *node = nodes_at(number);

        if (node->joined && node->pid == pid) {
            ps_add(text, "  node %u: %s, %u vCPUs, prefix %u, for %lu ms", number, node->image, node->vcpus, node->prefix,
                   (clock_ns() - node->joined_ns) / 1000000u);
            return number;
        }
    }
    return 0;
}

/* One process; one that is gone meanwhile is passed over. */
static void ps_process(struct ps_text *text, const char *number)
{
    char path[32], stat[STAT_BYTES];

    format_string(path, sizeof(path), "/proc/%s/stat", number);

    long fd = rt_syscall(RT_NR_OPEN, (long)path, 0, 0, 0, 0, 0);
    long length = fd < 0 ? fd : rt_syscall(RT_NR_READ, fd, (long)stat, sizeof(stat) - 1, 0, 0, 0);

    if (fd >= 0)
        rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
    if (length <= 0)
        return;
    stat[length] = '\0';

    /* PID (COMMAND) STATE PPID: the command may hold anything, so its end is the last parenthesis */
    char *begin = memchr(stat, '(', (size_t)length), *end = stat + length;

    while (end > stat && *end != ')')
        end--;
    if (begin == NULL || end <= begin || end + 4 >= stat + length)
        return;
    *end = '\0';

    char *parent = end + 4;
    char *parent_end = memchr(parent, ' ', (size_t)(stat + length - parent));
    int32_t pid = 0;

    if (parent_end)
        *parent_end = '\0';
    for (const char *at = number; *at; at++)
        pid = pid * 10 + (*at - '0');
    ps_add(text, "%5d %5s %c %s", pid, parent, end[2], begin + 1);
    ps_node_text(text, pid);
    ps_add(text, "\n");
}

static bool ps_is_number(const char *name)
{
    const char *at = name;

    while (*at >= '0' && *at <= '9')
        at++;
    return at != name && *at == '\0' && at - name < 9;
}

uint32_t ps_text(char *bytes, uint32_t room)
{
    static uint8_t entries[ENTRIES_BYTES];
    struct ps_text text = { bytes, 0, room };
    long fd = rt_syscall(RT_NR_OPEN, (long)"/proc", 0, 0, 0, 0, 0), got;

    if (fd < 0)
        return 0;
    ps_add(&text, "  PID  PPID S COMMAND\n");
    while ((got = rt_syscall(RT_NR_GETDENTS64, fd, (long)entries, sizeof(entries), 0, 0, 0)) > 0)
        for (long at = 0; at < got;) {
            const struct ps_entry *entry = (const struct ps_entry *)(entries + at);

            if (ps_is_number(entry->name))
                ps_process(&text, entry->name);
            at += entry->size;
        }
    rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
    return text.length;
}
