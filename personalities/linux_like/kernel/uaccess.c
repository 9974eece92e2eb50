/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's only ways into user memory: a checked range, then the copies of copy.S that survive faults. */
#include "defs.h"
#include "mm.h"
#include "task.h"

long copy_user_string(char *dst, u64 src, u64 n);
int copy_user_load32(u32 *v, u64 src);
int copy_user_store32(u64 dst, u32 v);

static bool user_range(u64 addr, u64 n) { return addr < USER_TOP && n <= USER_TOP - addr; }

/*
 * The kernel's end of a copy must lie within one object: of a slab, or this thread's stack; and not in the kernel's code. A length gone wrong neither
 * tells a program what lies behind nor lets it write there (Linux's CONFIG_HARDENED_USERCOPY).
 */
noinline static void copy_check_object(const void *p, u64 n, const char *way)
{
    extern const u8 _text[], _rodata[];
    u64 a = (u64)p, stack = (u64)current->stack;
    const char *name = NULL;
    if (a + n < a || (a < (u64)_rodata && a + n > (u64)_text))
        name = "the kernel's code";
    else if (a >= stack && a < stack + (PAGE_SIZE << KSTACK_ORDER))
        name = a + n <= stack + (PAGE_SIZE << KSTACK_ORDER) ? NULL : "a stack";
    else if (a >= LINEAR_BASE && a < DEVICE_BASE)
        name = slab_check_range(p, n);
    if (unlikely(name))
        panic("usercopy: %lu bytes %s user memory at %lx do not lie within one object of %s", n, way, a, name);
}

u64 copy_from_user(void *dst, u64 src, u64 n)
{
    if (!user_range(src, n))
        return n;
    copy_check_object(dst, n, "from");
    return copy_user(dst, (void *)src, n);
}

u64 copy_to_user(u64 dst, const void *src, u64 n)
{
    if (!user_range(dst, n))
        return n;
    copy_check_object(src, n, "to");
    return copy_user((void *)dst, src, n);
}

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
int get_user64(u64 *v, u64 src) { return user_range(src, 8) && !copy_user(v, (void *)src, 8) ? 0 : -EFAULT; }
int put_user64(u64 dst, u64 v) { return user_range(dst, 8) && !copy_user((void *)dst, &v, 8) ? 0 : -EFAULT; }
