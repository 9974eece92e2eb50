/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random bytes for programs: repeatable, from the command line's seed= (splitmix64). Not for secrets. */
#include "defs.h"
#include "mm.h"

static u64 random_state;

void random_init(void) { random_state = cmdline_get_u64("seed", 1) * 0x9e3779b97f4a7c15ul; }

u64 random_u64(void)
{
    u64 z = atomic_add(&random_state, 0x9e3779b97f4a7c15ul);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ul;
    z = (z ^ z >> 27) * 0x94d049bb133111ebul;
    return z ^ z >> 31;
}

long sys_getrandom(u64 buf, u64 n, u32 flags)
{
    for (u64 done = 0; done < n; done += 8) {
        u64 v = random_u64();
        if (copy_to_user(buf + done, &v, MIN(n - done, 8ul)))
            return done ? (long)done : -EFAULT;
    }
    return (long)n;
}
