/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As in BHive's measurements all general registers, and every eight bytes of memory, start with one value, and all pages are one page of memory.
 * What the integer instructions of `enum dop_effect` make of them is followed; any other result is a value of its own, which is nobody
 * else's address. Page numbers count for the TLB: two pages are two pages there.
 */
#include "values.h"
#include <string.h>

enum { RSP = DREG_GPR + 4 };

void values_init(struct values *s, uint64_t fill)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < 17; i++) s->reg[i] = (struct value){ fill, true };
    s->reg[RSP - DREG_GPR].is = fill + PAGE / 2;
    for (int i = 0; i < PAGE; i++) { s->memory[i] = (uint8_t)(fill >> 8 * (i & 7)); s->known[i] = true; }
    s->fresh = 1;
    s->pages[s->npages++] = (fill >> 12) + 1;
}

static struct value fresh(struct values *s)
{
    s->fresh += 0x9e3779b97f4a7c15ull;
    uint64_t x = s->fresh;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (struct value){ (x ^ x >> 31) & ~63ull, false };
}

static struct value reg(const struct values *s, uint8_t r)
{
    return r >= DREG_GPR && r < DREG_CARRY ? s->reg[r - DREG_GPR] : (struct value){ 0, true };
}

static struct value address(const struct values *s, const struct dop *d)
{
    if (d->stack) { struct value sp = reg(s, RSP); sp.is -= d->store ? 8 : 0; return sp; }
    struct value base = d->naddr ? reg(s, d->addr[0]) : (struct value){ 0, true }, index = d->naddr > 1 ? reg(s, d->addr[1]) : (struct value){ 0, true };
    return (struct value){ base.is + index.is * d->scale + (uint64_t)d->disp, base.known && index.known };
}

uint64_t values_address(struct values *s, const struct dop *d, enum page *entered)
{
    struct value a = address(s, d);
    uint64_t page = (a.is >> 12) + 1;
    bool seen = !a.known || (!d->stack && !d->addr[0] && !(d->naddr > 1 && d->addr[1])), beside = false;
    for (uint32_t i = 0; i < PAGES_SEEN && !seen; i++) { seen = s->pages[i] == page; beside |= s->pages[i] == page + 1 || s->pages[i] == page - 1; }
    if (!seen) s->pages[s->npages++ % PAGES_SEEN] = page;
    *entered = seen ? PAGE_KNOWN : beside ? PAGE_NEXT : PAGE_FAR;
    return a.is & (PAGE - 1);
}

static struct value loaded(struct values *s, struct value a, uint32_t bytes)
{
    struct value v = { 0, a.known };
    for (uint32_t i = 0; i < bytes && v.known; i++) {
        uint64_t at = (a.is + i) & (PAGE - 1);
        v.known = s->known[at];
        v.is |= (uint64_t)s->memory[at] << 8 * i;
    }
    return v.known ? v : fresh(s);
}

static void stored(struct values *s, struct value a, uint32_t bytes, struct value v)
{
    for (uint32_t i = 0; i < bytes && a.known; i++) {
        uint64_t at = (a.is + i) & (PAGE - 1);
        s->memory[at] = (uint8_t)(i < 8 ? v.is >> 8 * i : 0);
        s->known[at] = v.known && i < 8;
    }
}

static uint64_t narrow(uint64_t v, uint32_t bytes) { return bytes < 8 ? v & ((1ull << 8 * bytes) - 1) : v; }
static int64_t widen(uint64_t v, uint32_t bytes) { return bytes < 8 ? (int64_t)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes) : (int64_t)v; }

static struct value computed(struct values *s, const struct dop *d, struct value old, struct value from)
{
    struct value v = { 0, old.known && from.known };
    uint32_t bytes = d->effect_bytes, count = (uint32_t)from.is & (bytes == 8 ? 63 : 31);
    switch (d->effect) {
    case EFFECT_MOVE: return from;
    case EFFECT_SIGN: return (struct value){ (uint64_t)widen(from.is, d->effect_from_bytes), from.known };
    case EFFECT_LEA: return address(s, d);
    case EFFECT_ZERO: return (struct value){ 0, true };
    case EFFECT_CHOOSE: return v.known && old.is == from.is ? old : fresh(s);
    case EFFECT_ADD: v.is = old.is + from.is; break;
    case EFFECT_SUB: v.is = old.is - from.is; break;
    case EFFECT_AND: v.is = old.is & from.is; break;
    case EFFECT_OR: v.is = old.is | from.is; break;
    case EFFECT_XOR: v.is = old.is ^ from.is; break;
    case EFFECT_SHL: v.is = old.is << count; break;
    case EFFECT_SHR: v.is = old.is >> count; break;
    case EFFECT_SAR: v.is = (uint64_t)(widen(old.is, bytes) >> count); break;
    case EFFECT_IMUL: v.is = old.is * from.is; break;
    case EFFECT_NEG: v = (struct value){ -old.is, old.known }; break;
    case EFFECT_NOT: v = (struct value){ ~old.is, old.known }; break;
    default: v.known = false;
    }
    return v.known ? v : fresh(s);
}

void values_step(struct values *s, const struct dop *d)
{
    struct value a = address(s, d), v = { 0, false };
    uint32_t bytes = d->effect_bytes;
    uint8_t to = d->effect_to;
    if (d->effect) {
        struct value from = d->effect_from ? reg(s, d->effect_from) : d->effect_from_memory ? loaded(s, a, d->effect_from_bytes) : (struct value){ (uint64_t)d->effect_value, true };
        struct value old = to ? reg(s, to) : loaded(s, a, bytes);
        if (d->effect_left) old = reg(s, d->effect_left);
        from.is = narrow(from.is, d->effect_from_bytes);
        old.is = narrow(old.is, bytes);
        v = computed(s, d, old, from);
        v.is = narrow(v.is, bytes);
        if (to && bytes < 4) { struct value whole = reg(s, to); v.is |= whole.is & ~narrow(~0ull, bytes); v.known &= whole.known; }
    }
    for (int i = 0; i < d->nwrites; i++) {
        uint8_t r = d->writes[i];
        if (r >= DREG_GPR && r < DREG_CARRY) s->reg[r - DREG_GPR] = d->effect && r == to ? v : fresh(s);
    }
    if (d->store) stored(s, a, d->bytes, d->effect && !to ? v : (struct value){ 0, false });
    if (d->stack) s->reg[RSP - DREG_GPR].is += d->store ? -8ull : 8;
}
