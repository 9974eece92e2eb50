/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest-physical memory: RAM, the hole with its devices, DMA, page walks, and who has translated what.
 *
 * A machine's vCPUs share their translations (engine.c). Unicorn looks for translations of what is written at stores that its software TLB
 * marks (NOTDIRTY), in the TLB of the processor that runs; so whenever a translation is made we mark its pages in all of them, and the
 * marks stay (layout_code_region). What a device writes is dropped before anybody runs again.
 */
#include "cache.h"
#include "machine.h"
#include "softtlb.h"
#include "state.h"
#include "uarch.h"
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_STALE = 256, MAX_REGIONS = 256, SLOW_STORES = 256 };

struct region { uint64_t gpa, size; };
struct memory {
    uint64_t pages;
    uint8_t *code;                /* bit per page: something of it is translated */
    uint32_t nstale, stale[MAX_STALE];                /* pages whose translations are to be dropped; beyond MAX_STALE: everything */
    uint32_t slow_stores;
    struct region region[MAX_REGIONS]; int nregions;
};

static inline bool bit(const uint8_t *map, uint64_t page) { return map[page >> 3] >> (page & 7) & 1; }
static inline void set_bit(uint8_t *map, uint64_t page) { map[page >> 3] |= (uint8_t)(1u << (page & 7)); }
static inline void clear_bit(uint8_t *map, uint64_t page) { map[page >> 3] &= (uint8_t)~(1u << (page & 7)); }

uint64_t memory_low(const struct machine *m) { return m->ram_bytes < HOLE_START ? m->ram_bytes : HOLE_START; }

static int64_t offset_of(const struct machine *m, uint64_t gpa, uint64_t n)
{
    uint64_t low = memory_low(m);
    if (gpa <= low && n <= low - gpa) return (int64_t)gpa;
    if (gpa >= FOUR_GIB && gpa - FOUR_GIB <= m->ram_bytes - low && n <= m->ram_bytes - low - (gpa - FOUR_GIB)) return (int64_t)(low + (gpa - FOUR_GIB));
    return -1;
}

uint8_t *memory_at(const struct machine *m, uint64_t gpa, uint64_t n)
{
    int64_t offset = offset_of(m, gpa, n);
    return offset < 0 ? NULL : m->ram + offset;
}

static void mark_stale(struct machine *m, uint64_t page)
{
    struct memory *mem = m->memory;
    if (!bit(mem->code, page)) return;
    for (uint32_t i = 0; i < mem->nstale && i < MAX_STALE; i++) if (mem->stale[i] == page) return;
    if (mem->nstale < MAX_STALE) mem->stale[mem->nstale] = (uint32_t)page;
    if (mem->nstale <= MAX_STALE) mem->nstale++;
}

static void mark_code(struct machine *m, uint64_t gpa, uint32_t size)
{
    int64_t offset = offset_of(m, gpa, size);
    if (offset < 0) return;
    for (uint64_t page = (uint64_t)offset / PAGE; page <= ((uint64_t)offset + size - 1) / PAGE; page++) {
        if (bit(m->memory->code, page)) continue;     /* marked in every TLB, and marks stay while this bit is set */
        set_bit(m->memory->code, page);
        softtlb_forget();
        for (int i = 0; i < m->ncpus; i++) {
            unicorn.tlb_reset_dirty_x86_64(m->vcpu[i]->cpu, (uintptr_t)m->ram + page * PAGE, PAGE);
            if (m->vcpu[i]->caches) memset(m->vcpu[i]->caches->store_front, 0, sizeof m->vcpu[i]->caches->store_front);
        }
    }
}

void memory_code(struct vcpu *v, uint64_t va, uint32_t size)
{
    uint32_t first = PAGE - (uint32_t)(va & (PAGE - 1));
    uint64_t gpa;
    if (vcpu_walk(v, va, &gpa)) mark_code(v->machine, gpa, size < first ? size : first);
    if (size > first && vcpu_walk(v, va + first, &gpa)) mark_code(v->machine, gpa, size - first);
}

const uint8_t *memory_code_pages(const struct machine *m) { return m->memory->code; }

bool memory_has_code(const struct vcpu *v, uint64_t gpa)
{
    int64_t offset = offset_of(v->machine, gpa, 1);
    return offset < 0 || bit(v->machine->memory->code, (uint64_t)offset / PAGE);
}

/* Data on a page that holds code, or held some once: each of these stores costs ten others. Now and then the page's translations go, and those in
 * use come back. */
void memory_store_slow(struct vcpu *v, uint64_t gpa)
{
    struct memory *mem = v->machine->memory;
    int64_t offset = offset_of(v->machine, gpa, 1);
    if (offset < 0 || ++mem->slow_stores < SLOW_STORES) return;
    mem->slow_stores = 0;
    mark_stale(v->machine, (uint64_t)offset / PAGE);
    vcpu_attention(v);
}

bool memory_stale(const struct machine *m) { return m->memory->nstale != 0; }

void memory_refresh(struct machine *m)
{
    struct memory *mem = m->memory;
    uc_engine *uc = m->engine.uc;
    if (mem->nstale > MAX_STALE) {
        unicorn.uc_ctl(uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0));
        memset(mem->code, 0, mem->pages / 8 + 1);
    } else {
        for (uint32_t i = 0; i < mem->nstale; i++) {
            unicorn.tb_invalidate_phys_range_x86_64(uc, (uint64_t)mem->stale[i] * PAGE, ((uint64_t)mem->stale[i] + 1) * PAGE);
            clear_bit(mem->code, mem->stale[i]);
        }
    }
    mem->nstale = 0;
}

/* ---- MMIO: everything between RAM and 4 GiB, and device regions above ---- */

static bool is_device(const struct machine *m, uint64_t gpa)
{
    const struct memory *mem = m->memory;
    for (int i = mem->nregions - 1; i >= 0; i--) if (gpa - mem->region[i].gpa < mem->region[i].size) return true;
    return false;
}

static void on_mmio_start(struct vcpu *v, int row)
{
    layout_restore_rip(v);
    device_access(v, CS_N_MMIO, row);
}

static uint64_t mmio_read(struct vcpu *v, uint64_t gpa, unsigned size)
{
    struct machine *m = v->machine;
    uint64_t value = ~0ull;
    on_mmio_start(v, (gpa & ~(uint64_t)(PAGE - 1)) == LAPIC_BASE ? UA_lapic_access : UA_mmio_read);
    if ((gpa & ~(uint64_t)(PAGE - 1)) == LAPIC_BASE) return lapic_read(v, (uint32_t)(gpa & (PAGE - 1)));
    if (is_device(m, gpa) && m->world->cb.mmio_read && m->world->cb.mmio_read(m->index, v->index, gpa, size, vcpu_ps(v, v->clock), &value))
        world_stop(m->world, CS_CALLBACK, v, 0);
    return value;
}

static void mmio_write(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value)
{
    struct machine *m = v->machine;
    on_mmio_start(v, (gpa & ~(uint64_t)(PAGE - 1)) == LAPIC_BASE ? UA_lapic_access : UA_mmio_write);
    if ((gpa & ~(uint64_t)(PAGE - 1)) == LAPIC_BASE) { lapic_write(v, (uint32_t)(gpa & (PAGE - 1)), (uint32_t)value); return; }
    if (is_device(m, gpa) && m->world->cb.mmio_write && m->world->cb.mmio_write(m->index, v->index, gpa, size, vcpu_ps(v, v->clock), value))
        world_stop(m->world, CS_CALLBACK, v, 0);
}

static uint64_t hole_read(uc_engine *uc, uint64_t offset, unsigned size, void *data) { (void)uc; (void)data; return mmio_read(executing, memory_low(executing->machine) + offset, size); }
static void hole_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data) { (void)uc; (void)data; mmio_write(executing, memory_low(executing->machine) + offset, size, value); }

/* regions above 4 GiB get a mapping each */
static uint64_t high_read(uc_engine *uc, uint64_t offset, unsigned size, void *data) { const struct high *h = data; (void)uc; return mmio_read(executing, h->gpa + offset, size); }
static void high_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data) { const struct high *h = data; (void)uc; mmio_write(executing, h->gpa + offset, size, value); }

int cs_mmio_add(cs_world *w, int machine, uint64_t gpa, uint64_t size)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    struct memory *mem = m->memory;
    if (gpa % PAGE || size % PAGE || !size || gpa + size < gpa) return world_fail(w, "The MMIO region at %#llx is not made of whole pages.", (unsigned long long)gpa);
    bool low = gpa >= memory_low(m) && gpa < FOUR_GIB && size <= FOUR_GIB - gpa;
    if (!low && gpa < FOUR_GIB + (m->ram_bytes - memory_low(m))) return world_fail(w, "The MMIO region at %#llx lies over RAM.", (unsigned long long)gpa);
    if (mem->nregions == MAX_REGIONS) return world_fail(w, "There are more than %d MMIO regions.", MAX_REGIONS);
    if (!low) {
        struct high *h = calloc(1, sizeof *h);
        if (!h) return world_fail(w, "There is no memory for an MMIO region.");
        *h = (struct high){ gpa, m->engine.high };
        m->engine.high = h;
        if (unicorn.uc_mmio_map(m->engine.uc, gpa, size, high_read, h, high_write, h)) return world_fail(w, "Unicorn refuses the MMIO region at %#llx.", (unsigned long long)gpa);
    }
    mem->region[mem->nregions++] = (struct region){ gpa, size };
    return 0;
}

int cs_mmio_del(cs_world *w, int machine, uint64_t gpa, uint64_t size)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    struct memory *mem = m->memory;
    for (int i = 0; i < mem->nregions; i++) {
        if (mem->region[i].gpa != gpa || mem->region[i].size != size) continue;
        memmove(&mem->region[i], &mem->region[i + 1], (size_t)(mem->nregions - i - 1) * sizeof *mem->region);
        mem->nregions--;
        if (gpa >= FOUR_GIB) unicorn.uc_mem_unmap(m->engine.uc, gpa, size);
        return 0;
    }
    return world_fail(w, "There is no MMIO region at %#llx.", (unsigned long long)gpa);
}

/* ---- making and unmaking ---- */

int memory_new(struct machine *m)
{
    cs_world *w = m->world;
    struct memory *mem = m->memory = calloc(1, sizeof *mem);
    if (!mem) return world_fail(w, "There is no memory for a machine.");
    mem->pages = m->ram_bytes / PAGE;
    void *p = mmap(NULL, m->ram_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return world_fail(w, "The host cannot map %llu MiB of guest RAM.", (unsigned long long)m->ram_bytes >> 20);
    m->ram = p;
    mem->code = calloc(mem->pages / 8 + 1, 1);
    return mem->code ? 0 : world_fail(w, "There is no memory for a machine.");
}

int memory_attach(struct machine *m)
{
    struct engine *e = &m->engine;
    uint64_t low = memory_low(m), high = m->ram_bytes - low;
    uc_err err = unicorn.uc_mem_map_ptr(e->uc, 0, low, UC_PROT_ALL, m->ram);     /* first: RAM offset 0, as prove_invalidation relies on */
    if (!err && high) err = unicorn.uc_mem_map_ptr(e->uc, FOUR_GIB, high, UC_PROT_ALL, m->ram + low);
    if (!err) err = unicorn.uc_mmio_map(e->uc, low, FOUR_GIB - low, hole_read, NULL, hole_write, NULL);
    if (!err) err = unicorn.uc_mem_map_ptr(e->uc, DATA_GPA, PAGE, UC_PROT_READ | UC_PROT_WRITE, e->nowhere);
    return err ? world_fail(m->world, "Unicorn refuses guest RAM: %s.", unicorn.uc_strerror(err)) : 0;
}

void memory_free(struct machine *m)
{
    struct memory *mem = m->memory;
    if (!mem) return;
    if (m->ram) munmap(m->ram, m->ram_bytes);
    free(mem->code);
    free(mem);
    m->memory = NULL;
}

/* ---- snapshots ---- */

enum { PRESENT_OR_SWAPPED = 3 };                      /* the top bits of an entry of /proc/self/pagemap */

int memory_used(const struct machine *m, uint64_t offset, uint64_t *start, uint64_t *end)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry[512], at = offset & ~(uint64_t)(PAGE - 1);
    bool found = false;
    *start = at < m->ram_bytes ? at : m->ram_bytes;
    *end = m->ram_bytes;
    for (; at < m->ram_bytes && fd >= 0; at += sizeof entry / 8 * PAGE) {          /* unreadable: all of it may be used */
        uint64_t n = (m->ram_bytes - at) / PAGE < 512 ? (m->ram_bytes - at) / PAGE : 512;
        if (pread(fd, entry, n * 8, (off_t)(((uintptr_t)m->ram + at) / PAGE * 8)) != (ssize_t)(n * 8)) break;
        for (uint64_t i = 0; i < n; i++) {
            bool used = entry[i] >> 62 & PRESENT_OR_SWAPPED;
            if (used && !found) { *start = at + i * PAGE; found = true; }
            if (!used && found) { *end = at + i * PAGE; close(fd); return 0; }
        }
        if (!found) *start = at + n * PAGE;
    }
    if (fd >= 0) close(fd);
    return 0;
}

void memory_state(struct state *s, struct machine *m)
{
    struct memory *mem = m->memory;
    state_begin(s, "MEMO");
    state_bytes(s, mem->code, mem->pages / 8);        /* RAM is whole MiB */
    STATE(s, mem->slow_stores);
    uint32_t n = mem->nstale;
    STATE(s, n);
    state_is(s, n <= MAX_STALE + 1, "the number of pages whose code changed");
    for (uint32_t k = 0; k < n && k < MAX_STALE && !s->bad; k++) {
        STATE(s, mem->stale[k]);
        state_is(s, mem->stale[k] < mem->pages, "a page whose code changed");
    }
    if (s->loading) mem->nstale = s->bad ? 0 : n;
}

uint8_t *cs_ram(cs_world *w, int machine)
{
    struct machine *m = world_machine(w, machine);
    return m ? m->ram : NULL;
}

int64_t cs_ram_offset(cs_world *w, int machine, uint64_t gpa, uint64_t n)
{
    struct machine *m = world_machine(w, machine);
    return m ? offset_of(m, gpa, n) : -1;
}

/* ---- DMA ---- */

static bool any_timed(const struct machine *m) { return m->level != CS_FUNCTIONAL; }

int cs_dma_read(cs_world *w, int machine, uint64_t gpa, void *to, uint64_t n, int64_t time_ps)
{
    struct machine *m = world_machine(w, machine);
    uint8_t *p = m ? memory_at(m, gpa, n) : NULL;
    if (!p) return m ? world_fail(w, "A device reads %llu bytes at %#llx, which is not RAM.", (unsigned long long)n, (unsigned long long)gpa) : -1;
    memcpy(to, p, n);
    if (n && any_timed(m)) cache_dma(m, gpa, n, false, time_ps);
    return 0;
}

int cs_dma_write(cs_world *w, int machine, uint64_t gpa, const void *from, uint64_t n, int64_t time_ps)
{
    struct machine *m = world_machine(w, machine);
    uint8_t *p = m ? memory_at(m, gpa, n) : NULL;
    if (!p) return m ? world_fail(w, "A device writes %llu bytes at %#llx, which is not RAM.", (unsigned long long)n, (unsigned long long)gpa) : -1;
    if (!n) return 0;
    memcpy(p, from, n);
    uint64_t offset = (uint64_t)(p - m->ram);
    for (uint64_t page = offset / PAGE; page <= (offset + n - 1) / PAGE; page++) mark_stale(m, page);
    if (w->running) vcpu_attention(w->running);
    if (any_timed(m)) cache_dma(m, gpa, n, true, time_ps);
    return 0;
}

/* ---- page walks, without accessed bits or faults ---- */

static bool entry_at(const struct machine *m, uint64_t gpa, uint32_t size, uint64_t *entry)
{
    const uint8_t *p = memory_at(m, gpa, size);
    *entry = 0;
    if (p) memcpy(entry, p, size);
    return p && (*entry & 1);
}

bool vcpu_walk_entries(struct vcpu *v, uint64_t gva, struct walk *w)
{
    const uint64_t frame = 0x000ffffffffff000ull;
    const struct env *e = v->env;
    const struct machine *m = v->machine;
    uint64_t entry, table = e->cr[3] & frame;
    *w = (struct walk){ .writable = true, .shift = 12 };
    if (!(e->cr[0] & CR0_PG)) { w->gpa = gva & 0xffffffff; return true; }
    if (!(e->cr[4] & CR4_PAE)) {                      /* 32-bit, two levels */
        for (w->shift = 22; ; w->shift = 12) {
            uint64_t gpa = (table & 0xfffff000) + (gva >> w->shift & 1023) * 4;
            w->entry[w->n++] = gpa;
            if (!entry_at(m, gpa, 4, &entry)) return false;
            w->writable = w->writable && (entry & 2);
            if (w->shift == 12 || ((entry & 0x80) && (e->cr[4] & CR4_PSE))) break;
            table = entry;
        }
        w->gpa = (entry & 0xfffff000 & ~((1ull << w->shift) - 1)) | (gva & ((1ull << w->shift) - 1));
        w->global = (e->cr[4] & CR4_PGE) && (entry & 0x100);
        return true;
    }
    int level = 3;
    w->four_levels = e->hflags & HF_LMA;
    if (!w->four_levels) {                            /* PAE: the top level has four entries, no flags, and the processor holds them */
        if (!entry_at(m, (e->cr[3] & 0xffffffe0) + (gva >> 30 & 3) * 8, 8, &entry)) return false;
        table = entry & frame;
        level = 1;
    } else if ((int64_t)(gva << 16) >> 16 != (int64_t)gva) {
        return false;
    }
    for (;; level--) {
        w->shift = 12 + 9 * (uint32_t)level;
        uint64_t gpa = w->entry[w->n++] = table + (gva >> w->shift & 511) * 8;
        if (!entry_at(m, gpa, 8, &entry)) return false;
        w->writable = w->writable && (entry & 2);
        if (level == 0 || ((entry & 0x80) && level < 3)) {
            uint64_t offset = (1ull << w->shift) - 1;
            w->gpa = (entry & frame & ~offset) | (gva & offset);
            w->global = (e->cr[4] & CR4_PGE) && (entry & 0x100);
            return true;
        }
        table = entry & frame;
    }
}

bool vcpu_walk_flags(struct vcpu *v, uint64_t gva, uint64_t *gpa, bool *writable)
{
    struct walk w;
    bool mapped = vcpu_walk_entries(v, gva, &w);
    *gpa = w.gpa;
    *writable = w.writable;
    return mapped;
}

void vcpu_paging(const struct vcpu *v, uint64_t cr[3])
{
    const struct env *e = v->env;
    cr[0] = e->cr[0] & CR0_PG;
    cr[1] = e->cr[3];
    cr[2] = e->cr[4] & (CR4_PSE | CR4_PAE | CR4_PGE);
}

/* The block has just ended in its last instruction, so the registers are still those of its operand. */
bool vcpu_invlpg(struct vcpu *v, const struct block *b, uint64_t *gva)
{
    const struct env *e = v->env;
    uint8_t code[16] = { 0 };
    uint32_t at = b->marks && b->ninsn ? b->marks[b->ninsn - 1].offset : 0, n = b->size - at, i = 0, rex = 0;
    int segment = -1;
    if (n > sizeof code || !vcpu_read(v, b->va + at, code, n)) return false;
    for (; i < n && memchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3", code[i], 10); i++)
        if (code[i] == 0x64 || code[i] == 0x65) segment = code[i] == 0x64 ? SEG_FS : SEG_GS;
    if ((e->hflags & HF_CS64) && (code[i] & 0xf0) == 0x40) rex = code[i++];
    if (i + 2 >= n || code[i] != 0x0f || code[i + 1] != 0x01 || (code[i + 2] >> 3 & 7) != 7 || code[i + 2] >= 0xc0) return false;
    uint32_t modrm = code[i + 2], mod = modrm >> 6, rm = modrm & 7, base = rm;
    uint64_t address = 0;
    i += 3;
    if (rm == 4) {
        uint32_t sib = code[i++], index = (sib >> 3 & 7) | (rex & 2) << 2;
        base = sib & 7;
        if (index != 4) address += e->regs[index] << (sib >> 6);
    }
    if (base == 5 && !mod) {
        int32_t disp;
        memcpy(&disp, code + (i <= 12 ? i : 12), 4);
        address += (uint64_t)(int64_t)disp + (rm == 5 && (e->hflags & HF_CS64) ? b->va + b->size : 0);
    } else {
        address += e->regs[base | (rex & 1) << 3];
        int32_t disp = mod == 1 ? (int8_t)code[i] : 0;
        if (mod == 2) memcpy(&disp, code + (i <= 12 ? i : 12), 4);
        address += (uint64_t)(int64_t)disp;
    }
    if (segment >= 0) address += e->segs[segment].base;
    *gva = e->hflags & HF_CS64 ? address : address & 0xffffffff;
    return true;
}

bool vcpu_walk(struct vcpu *v, uint64_t gva, uint64_t *gpa)
{
    bool writable;
    return vcpu_walk_flags(v, gva, gpa, &writable);
}

bool vcpu_read(struct vcpu *v, uint64_t gva, void *to, uint32_t n)
{
    while (n) {
        uint32_t part = PAGE - (uint32_t)(gva & (PAGE - 1));
        uint64_t gpa;
        if (part > n) part = n;
        if (!vcpu_walk(v, gva, &gpa)) return false;
        const uint8_t *p = memory_at(v->machine, gpa, part);
        if (!p) return false;
        memcpy(to, p, part);
        to = (char *)to + part;
        gva += part;
        n -= part;
    }
    return true;
}
