/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads and stores at the timed levels, without the detour. With memory hooks installed, translated code calls a helper of Unicorn's for each
 * access, and that looks up the region, walks the hooks and calls ours. These helpers stand in their place: where Unicorn's
 * software TLB has the page as plain RAM, they call the cache model and make the access; else they leave it to the original.
 */
#include "cache.h"
#include "machine.h"
#include <string.h>

enum { TLB_NOTDIRTY = 1 << 10, OI_ALIGN = 7 << 8 };   /* Unicorn's, proven in layout.c */
#define FRAME (~(uint64_t)(PAGE - 1))
static struct layout_access original;

struct vcpu *timing;                                  /* see machine.h */
struct quick quick;

/* What most accesses of the fast level are: Unicorn's software TLB has the page, our front of the TLB too, and the line is its set's most recent.
 * They leave nothing behind but a store's time. A leaf function: nothing is saved. */
static inline __attribute__((always_inline)) bool is_quick(const struct caches *c, const struct tlb_entry *e, uint64_t tag, uint64_t addr, uint32_t oi, uint32_t size, bool write)
{
    uint32_t line = (uint32_t)addr >> LINE_BITS & 63, slot = (uint32_t)(addr >> 12) & (FRONT - 1);       /* a set is of one page's lines */
    return (addr & (LINE - 1)) <= LINE - size && !(oi & OI_ALIGN) && tag == (addr & FRAME) && c->quick[write][line & c->l1_mask] == KEY(e->paddr >> LINE_BITS) + line
        && (write ? c->store_front : c->front)[slot] == FRONT_TAG(addr);
}

/* Translations check for a stop at their start only (layout_stop_at_blocks): a store to nowhere ends the run here, as a load does by itself. */
static void unless_invalid(void *env, uintptr_t ra)
{
    struct vcpu *v = executing;
    if (v && v->env == env && UNLIKELY(layout_invalid(v->uc))) unicorn.cpu_loop_exit_restore_x86_64(v->cpu, ra);
}

/* Without hooks: Unicorn leaves its mark on pages that the guest may execute, code or not, and every store there takes this way. Where nothing is
 * translated the mark may go; memory_code() brings it back. */
static void unmark(void *env, uint64_t addr, uint32_t oi)
{
    struct vcpu *v = executing;
    struct tlb_entry *e = layout_tlb_entry(env, oi, addr);
    if (!v || v->env != env || v->timed || e->addr_write != ((addr & FRAME) | TLB_NOTDIRTY)) return;
    if ((e->paddr < v->region_bytes[0] || e->paddr - FOUR_GIB < v->region_bytes[1]) && !has_code(v, e->paddr)) e->addr_write &= ~(uint64_t)TLB_NOTDIRTY;
}

/* An access that crosses into the next page has that page's address behind its last byte: never the entry's. */
#define LOAD(name, type) \
    static __attribute__((noinline)) uint64_t slow_##name(void *env, uint64_t addr, uint32_t oi, uintptr_t ra) \
    { \
        struct vcpu *v = timing; \
        if (LIKELY(v && !(oi & OI_ALIGN))) { \
            const struct tlb_entry *e = layout_tlb_entry(env, oi, addr); \
            if (LIKELY(e->addr_read == ((addr + sizeof(type) - 1) & FRAME))) { \
                type value; \
                cache_hit(v, e->paddr | (addr & ~FRAME), addr, sizeof(type), false); \
                memcpy(&value, (const void *)(uintptr_t)(addr + e->addend), sizeof value); \
                return value; \
            } \
        } \
        if (v) v->asked = addr; \
        uint64_t value = original.name(env, addr, oi, ra); \
        if (v) v->asked = NEVER; \
        return value; \
    } \
    static uint64_t name(void *env, uint64_t addr, uint32_t oi, uintptr_t ra) \
    { \
        if (LIKELY(quick.caches != NULL)) { \
            const struct tlb_entry *e = layout_tlb_entry(env, oi, addr); \
            if (LIKELY(is_quick(quick.caches, e, e->addr_read, addr, oi, sizeof(type), false))) { \
                type value; \
                memcpy(&value, (const void *)(uintptr_t)(addr + e->addend), sizeof value); \
                return value; \
            } \
        } \
        return slow_##name(env, addr, oi, ra); \
    }
LOAD(load1, uint8_t)
LOAD(load2, uint16_t)
LOAD(load4, uint32_t)
LOAD(load8, uint64_t)

/* A page with code of ours, or one that is no plain RAM, is Unicorn's business. */
#define STORE(name, type) \
    static __attribute__((noinline)) void slow_##name(void *env, uint64_t addr, uint64_t value, uint32_t oi, uintptr_t ra) \
    { \
        struct vcpu *v = timing; \
        if (LIKELY(v && !(oi & OI_ALIGN))) { \
            const struct tlb_entry *e = layout_tlb_entry(env, oi, addr); \
            uint64_t gpa = e->paddr | (addr & ~FRAME); \
            if (LIKELY((e->addr_write & ~(uint64_t)TLB_NOTDIRTY) == ((addr + sizeof(type) - 1) & FRAME) && !has_code(v, gpa))) { \
                struct caches *c = v->caches; \
                uint32_t slot = (uint32_t)(addr >> 12) & (FRONT - 1); \
                type part = (type)value; \
                cache_hit(v, gpa, addr, sizeof(type), true); \
                if (c->front[slot] == FRONT_TAG(addr)) c->store_front[slot] = FRONT_TAG(addr); \
                memcpy((void *)(uintptr_t)(addr + e->addend), &part, sizeof part); \
                return; \
            } \
        } \
        if (v) v->asked = addr; \
        original.name(env, addr, value, oi, ra); \
        if (v) v->asked = NEVER; \
        else unmark(env, addr, oi); \
        unless_invalid(env, ra); \
    } \
    static void name(void *env, uint64_t addr, uint64_t value, uint32_t oi, uintptr_t ra) \
    { \
        if (LIKELY(quick.caches != NULL)) { \
            const struct tlb_entry *e = layout_tlb_entry(env, oi, addr); \
            if (LIKELY(is_quick(quick.caches, e, e->addr_write & ~(uint64_t)TLB_NOTDIRTY, addr, oi, sizeof(type), true))) { \
                type part = (type)value; \
                quick.caches->written[(uint32_t)addr >> LINE_BITS & quick.caches->l1_mask] = cache_now(quick.vcpu); \
                memcpy((void *)(uintptr_t)(addr + e->addend), &part, sizeof part); \
                return; \
            } \
        } \
        slow_##name(env, addr, value, oi, ra); \
    }
STORE(store1, uint8_t)
STORE(store2, uint16_t)
STORE(store4, uint32_t)
STORE(store8, uint64_t)

void access_install(void)
{
    static const struct layout_access mine = { load1, load2, load4, load8, store1, store2, store4, store8 };
    layout_swap_access(&mine, &original);
}
