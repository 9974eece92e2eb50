/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's only ways into user memory: a checked range, then the copies of copy.S that survive faults. */
#include "defs.h"
#include "mm.h"

long copy_user_string(char *dst, u64 src, u64 n);
int copy_user_load32(u32 *v, u64 src);
int copy_user_store32(u64 dst, u32 v);

static bool user_range(u64 addr, u64 n) { return addr < USER_TOP && n <= USER_TOP - addr; }

u64 copy_from_user(void *dst, u64 src, u64 n) { return user_range(src, n) ? copy_user(dst, (void *)src, n) : n; }
u64 copy_to_user(u64 dst, const void *src, u64 n) { return user_range(dst, n) ? copy_user((void *)dst, src, n) : n; }

u64 copy_clear_user(u64 dst, u64 n)
{
    static const u8 zeros[256];
    while (n) {
        u64 chunk = MIN(n, sizeof zeros), left = copy_to_user(dst, zeros, chunk);
        n -= chunk - left;
        if (left)
            break;
        dst += chunk;
    }
    return n;
}

long copy_string_from_user(char *dst, u64 src, u64 n)
{
    if (src >= USER_TOP)
        return -EFAULT;
    long r = copy_user_string(dst, src, MIN(n, USER_TOP - src));
    return r == (long)n ? -ENAMETOOLONG : r;
}

int get_user32(u32 *v, u64 src) { return user_range(src, 4) ? copy_user_load32(v, src) : -EFAULT; }
int put_user32(u64 dst, u32 v) { return user_range(dst, 4) ? copy_user_store32(dst, v) : -EFAULT; }
int get_user64(u64 *v, u64 src) { return copy_from_user(v, src, 8) ? -EFAULT : 0; }
int put_user64(u64 dst, u64 v) { return copy_to_user(dst, &v, 8) ? -EFAULT : 0; }
