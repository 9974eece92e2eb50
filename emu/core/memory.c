/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest-physical memory: RAM, the hole with its devices, DMA, page walks, and who has translated what.
 *
 * A machine's RAM is one memfd. Each engine has a mapping of its own, the host (DMA, page walks) one more. When an engine
 * translates code of a page, the page becomes read-only in the other engines' mappings; a store by them then faults once, the
 * handler notes whose translations are stale and opens the page again, and the owner drops them before its next slice. So cross-vCPU code
 * changes cost nothing until they happen, at every timing level. An engine sees its own stores itself.
 */
#define _GNU_SOURCE
#include "machine.h"
#include "uarch.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_STALE = 256, MAX_REGIONS = 256, MAX_VIEWS = 1024 };

struct view {                     /* one engine's mapping of RAM */
    uint8_t *base;
    uint8_t *code, *sealed;       /* bit per page: this engine translated it; it is read-only here */
    volatile uint32_t nstale;     /* beyond MAX_STALE: everything */
    uint32_t stale[MAX_STALE];
};
struct region { uint64_t gpa, size; };
struct memory { int fd; uint64_t pages; struct view view[CS_MAX_VCPUS]; struct region region[MAX_REGIONS]; int nregions; };

static struct { uint8_t *base; uint64_t bytes; struct machine *machine; int index; } views[MAX_VIEWS];   /* what the handler searches */
static int nviews;
static struct sigaction previous;

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

/* somebody other than vCPU `writer` (-1: a device) wrote to a page: whose translations went stale? */
static void mark_stale(struct machine *m, int writer, uint64_t page)
{
    for (int i = 0; i < m->ncpus; i++) {
        struct view *w = &m->memory->view[i];
        if (i == writer || !w->code || !bit(w->code, page)) continue;
        if (w->nstale < MAX_STALE) w->stale[w->nstale] = (uint32_t)page;
        if (w->nstale <= MAX_STALE) w->nstale++;
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    uint8_t *address = info->si_addr;
    for (int i = 0; i < nviews; i++) {
        if (address < views[i].base || address >= views[i].base + views[i].bytes) continue;
        struct machine *m = views[i].machine;
        struct view *w = &m->memory->view[views[i].index];
        uint64_t page = (uint64_t)(address - w->base) / PAGE;
        if (!bit(w->sealed, page)) break;             /* a fault of ours */
        mark_stale(m, views[i].index, page);
        clear_bit(w->sealed, page);
        if (mprotect(w->base + page * PAGE, PAGE, PROT_READ | PROT_WRITE)) break;
        return;
    }
    static volatile sig_atomic_t passed_on;           /* the other handler may itself fall back to us */
    if (!passed_on) {
        passed_on = 1;
        if (previous.sa_flags & SA_SIGINFO) { previous.sa_sigaction(number, info, context); passed_on = 0; return; }
        if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) { previous.sa_handler(number); passed_on = 0; return; }
    }
    signal(SIGSEGV, SIG_DFL);                         /* comes again, and ends us */
}

static void catch_faults(void)
{
    struct sigaction now, ours = { .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
    ours.sa_sigaction = on_fault;
    sigaction(SIGSEGV, NULL, &now);
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault) return;   /* Python's faulthandler may have come in between */
    sigaction(SIGSEGV, &ours, &previous);
}

void memory_code(struct vcpu *v, uint64_t gpa, uint32_t size)
{
    struct machine *m = v->machine;
    int64_t offset = offset_of(m, gpa, size);
    if (offset < 0) return;
    for (uint64_t page = (uint64_t)offset / PAGE; page <= ((uint64_t)offset + size - 1) / PAGE; page++) {
        if (bit(m->memory->view[v->index].code, page)) continue;
        set_bit(m->memory->view[v->index].code, page);
        for (int i = 0; i < m->ncpus; i++) {
            struct view *w = &m->memory->view[i];
            if (i == v->index || bit(w->sealed, page)) continue;
            if (mprotect(w->base + page * PAGE, PAGE, PROT_READ)) {
                world_fail(m->world, "The host refuses to protect a page of guest code (vm.max_map_count is too low?).");
                world_stop(m->world, CS_FAULT, v, 0);
                return;
            }
            set_bit(w->sealed, page);
        }
    }
}

bool memory_has_code(const struct vcpu *v, uint64_t gpa)
{
    int64_t offset = offset_of(v->machine, gpa, 1);
    return offset < 0 || bit(v->machine->memory->view[v->index].code, (uint64_t)offset / PAGE);
}

bool memory_stale(const struct vcpu *v) { return v->machine->memory->view[v->index].nstale != 0; }

void memory_refresh(struct vcpu *v)
{
    struct view *w = &v->machine->memory->view[v->index];
    if (w->nstale > MAX_STALE) {
        unicorn.uc_ctl(v->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0));
        memset(w->code, 0, v->machine->memory->pages / 8 + 1);
    } else {
        for (uint32_t i = 0; i < w->nstale; i++) {
            unicorn.tb_invalidate_phys_range_x86_64(v->uc, (uint64_t)w->stale[i] * PAGE, ((uint64_t)w->stale[i] + 1) * PAGE);
            clear_bit(w->code, w->stale[i]);
        }
    }
    w->nstale = 0;
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

static uint64_t hole_read(uc_engine *uc, uint64_t offset, unsigned size, void *data) { struct vcpu *v = data; (void)uc; return mmio_read(v, memory_low(v->machine) + offset, size); }
static void hole_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data) { struct vcpu *v = data; (void)uc; mmio_write(v, memory_low(v->machine) + offset, size, value); }

/* regions above 4 GiB get a mapping each; its start travels with the vCPU */
static uint64_t high_read(uc_engine *uc, uint64_t offset, unsigned size, void *data) { struct high *h = data; (void)uc; return mmio_read(h->vcpu, h->gpa + offset, size); }
static void high_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *data) { struct high *h = data; (void)uc; mmio_write(h->vcpu, h->gpa + offset, size, value); }

int cs_mmio_add(cs_world *w, int machine, uint64_t gpa, uint64_t size)
{
    struct machine *m = world_machine(w, machine);
    if (!m) return -1;
    struct memory *mem = m->memory;
    if (gpa % PAGE || size % PAGE || !size || gpa + size < gpa) return world_fail(w, "The MMIO region at %#llx is not made of whole pages.", (unsigned long long)gpa);
    bool low = gpa >= memory_low(m) && gpa < FOUR_GIB && size <= FOUR_GIB - gpa;
    if (!low && gpa < FOUR_GIB + (m->ram_bytes - memory_low(m))) return world_fail(w, "The MMIO region at %#llx lies over RAM.", (unsigned long long)gpa);
    if (mem->nregions == MAX_REGIONS) return world_fail(w, "There are more than %d MMIO regions.", MAX_REGIONS);
    for (int i = 0; !low && i < m->ncpus; i++) {
        struct high *h = calloc(1, sizeof *h);
        if (!h) return world_fail(w, "There is no memory for an MMIO region.");
        *h = (struct high){ m->vcpu[i], gpa, m->vcpu[i]->high };
        m->vcpu[i]->high = h;
        if (unicorn.uc_mmio_map(m->vcpu[i]->uc, gpa, size, high_read, h, high_write, h)) return world_fail(w, "Unicorn refuses the MMIO region at %#llx.", (unsigned long long)gpa);
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
        for (int j = 0; gpa >= FOUR_GIB && j < m->ncpus; j++) unicorn.uc_mem_unmap(m->vcpu[j]->uc, gpa, size);
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
    mem->fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (mem->fd < 0 || ftruncate(mem->fd, (off_t)m->ram_bytes)) return world_fail(w, "The host has no room for %llu MiB of guest RAM.", (unsigned long long)m->ram_bytes >> 20);
    void *p = mmap(NULL, m->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, mem->fd, 0);
    if (p == MAP_FAILED) return world_fail(w, "The host cannot map %llu MiB of guest RAM.", (unsigned long long)m->ram_bytes >> 20);
    m->ram = p;
    catch_faults();
    return 0;
}

int memory_attach(struct vcpu *v)
{
    struct machine *m = v->machine;
    struct view *w = &m->memory->view[v->index];
    uint64_t low = memory_low(m), high = m->ram_bytes - low;
    void *p = mmap(NULL, m->ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->memory->fd, 0);
    w->code = calloc(m->memory->pages / 8 + 1, 1);
    w->sealed = calloc(m->memory->pages / 8 + 1, 1);
    if (p == MAP_FAILED || !w->code || !w->sealed || nviews == MAX_VIEWS) return world_fail(m->world, "The host cannot map guest RAM once more, for vCPU %d.", v->index);
    w->base = p;
    v->code_pages = w->code;
    views[nviews].base = w->base;
    views[nviews].bytes = m->ram_bytes;
    views[nviews].machine = m;
    views[nviews].index = v->index;
    nviews++;
    uc_err err = unicorn.uc_mem_map_ptr(v->uc, 0, low, UC_PROT_ALL, w->base);    /* first: RAM offset 0, as prove_invalidation relies on */
    if (!err && high) err = unicorn.uc_mem_map_ptr(v->uc, FOUR_GIB, high, UC_PROT_ALL, w->base + low);
    if (!err) err = unicorn.uc_mmio_map(v->uc, low, FOUR_GIB - low, hole_read, v, hole_write, v);
    if (!err) err = unicorn.uc_mem_map_ptr(v->uc, DATA_GPA, PAGE, UC_PROT_READ | UC_PROT_WRITE, v->nowhere);
    return err ? world_fail(m->world, "Unicorn refuses guest RAM: %s.", unicorn.uc_strerror(err)) : 0;
}

void memory_free(struct machine *m)
{
    struct memory *mem = m->memory;
    if (!mem) return;
    int n = 0;
    for (int i = 0; i < nviews; i++) if (views[i].machine != m) views[n++] = views[i];
    nviews = n;
    for (int i = 0; i < CS_MAX_VCPUS; i++) {
        if (mem->view[i].base) munmap(mem->view[i].base, m->ram_bytes);
        free(mem->view[i].code);
        free(mem->view[i].sealed);
    }
    if (m->ram) munmap(m->ram, m->ram_bytes);
    if (mem->fd >= 0) close(mem->fd);
    free(mem);
    m->memory = NULL;
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
    for (uint64_t page = offset / PAGE; page <= (offset + n - 1) / PAGE; page++) mark_stale(m, -1, page);
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
