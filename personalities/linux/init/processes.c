// SPDX-License-Identifier: GPL-2.0-or-later
/* The program's processes: whoever runs beside us, for all of them descend from it. The kernel's own threads map nothing. */
#include "init.h"

struct entry { uint64_t inode; int64_t offset; uint16_t length; uint8_t type; char name[]; };

bool all_in(const char *folder, char *room, size_t bytes, bool (*each)(const char *folder, const char *name))
{
    long fd = sys(NR_OPEN, (long)folder, O_RDONLY, 0), n;
    bool good = fd >= 0;
    while (good && (n = sys(NR_GETDENTS64, fd, (long)room, (long)bytes)) > 0)
        for (long at = 0; good && at < n; at += ((struct entry *)(room + at))->length) {
            const char *name = ((struct entry *)(room + at))->name;
            good = same(name, ".") || same(name, "..") || each(folder, name);
        }
    sys(NR_CLOSE, fd, 0, 0);
    return good;
}

static bool (*wanted)(long process);

static bool try_process(const char *folder, const char *name)
{
    (void)folder;
    static char byte[2];
    struct text path = {0};
    if (name[0] < '0' || name[0] > '9' || same(name, "1"))
        return true;
    long process = rt_parse(name, 1, 1 << 30);
    process_path(&path, process, "/maps");
    return read_file(path.data, byte, sizeof byte) <= 0 || wanted(process);
}

bool all_processes(bool (*each)(long process))
{
    static char room[1 << 14];
    wanted = each;
    return all_in("/proc", room, sizeof room, try_process);
}

static bool none(long process)
{
    (void)process;
    return false;
}

bool any_process(void)
{
    return !all_processes(none);
}
