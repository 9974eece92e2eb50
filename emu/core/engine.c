/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's Unicorn: one engine, a processor of it for each vCPU, its memory and its hooks. docs/adr/0005 */
#include "detail.h"
#include "hooks.h"
#include "softtlb.h"
#include <stdlib.h>
#include <string.h>

enum { TCG_BUFFER_BYTES = 128 << 20 };

struct vcpu *executing;

/* In place of Unicorn's own search of its memory map, on every hooked access: the answer hardly ever changes.
 *
 * A hooked store asks twice, before its hook and once more behind it, to learn whether the region may hold code and
 * translations must be looked for. Where nothing is translated, the second answer is a region that may not. Without hooks only stores that Unicorn's
 * software TLB marks come here, and the region's answer decides whether the mark stays. */
static void *find_region(uc_engine *uc, uint64_t gpa)
{
    struct vcpu *v = executing;
    if (LIKELY(v && v->uc == uc)) {
        if (v->stored == gpa) {
            v->stored = NEVER;
            if (!memory_has_code(v, gpa)) return v->machine->engine.data_region;
        }
        int high = gpa >= FOUR_GIB;
        if (LIKELY((high ? gpa - FOUR_GIB : gpa) < v->region_bytes[high])) {
            if (v->timed || LIKELY(!has_code(v, gpa))) return v->region[high];
            if (v->touched == gpa) memory_store_slow(v, gpa);         /* only a marked store asks twice */
            v->touched = v->touched == gpa ? NEVER : gpa;
            return v->machine->engine.code_region[high];
        }
    }
    return unicorn.find_memory_mapping_x86_64(uc, gpa);
}

/* Hook flags are baked into translations: memory hooks come and go with a flush. */
static int set_memory_hooks(struct machine *m, bool on)
{
    struct engine *e = &m->engine;
    uint64_t low = memory_low(m), high = m->ram_bytes - low;
    if (on && !e->mem_hooked) {
        if (unicorn.uc_hook_add(e->uc, &e->mem_hook[0], UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, on_memory, NULL, 0, low - 1)
            || (high && unicorn.uc_hook_add(e->uc, &e->mem_hook[1], UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, on_memory, NULL, FOUR_GIB, FOUR_GIB + high - 1))) return -1;
    } else if (!on && e->mem_hooked) {
        unicorn.uc_hook_del(e->uc, e->mem_hook[0]);
        if (high) unicorn.uc_hook_del(e->uc, e->mem_hook[1]);
        e->sweep = true;
    }
    e->mem_hooked = on;
    return unicorn.uc_ctl(e->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0)) ? -1 : 0;     /* the others' TLBs and jump caches go at their next slice */
}

int engine_set_level(struct machine *m, int level)
{
    for (int i = 0; i < m->ncpus; i++) block_settle(m->vcpu[i]);     /* counts so far are of the old level; the flush gives every translation a new group */
    if (set_memory_hooks(m, level != CS_FUNCTIONAL)) return world_fail(m->world, "Unicorn refuses memory hooks.");
    for (int i = 0; i < m->ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        if (!v->timed && level != CS_FUNCTIONAL) tlb_resume(v);
        v->timed = level != CS_FUNCTIONAL;
        v->stored = NEVER;
        v->diverted = true;                           /* whatever ran last at a timed level, something else comes next */
        if (detail_set(v, level == CS_DETAILED)) return -1;
    }
    return 0;
}

static int engine_open(struct machine *m)
{
    struct engine *e = &m->engine;
    cs_world *w = m->world;
    uc_err err = unicorn.uc_open(UC_ARCH_X86, UC_MODE_64, &e->uc);
    if (!err) err = unicorn.uc_ctl(e->uc, UC_CTL_WRITE(UC_CTL_CPU_MODEL, 1), UC_CPU_X86_SKYLAKE_SERVER);
    if (!err) err = unicorn.uc_ctl(e->uc, UC_CTL_WRITE(UC_CTL_TCG_BUFFER_SIZE, 1), TCG_BUFFER_BYTES);
    if (!err) err = unicorn.uc_ctl(e->uc, UC_CTL_WRITE(UC_CTL_UC_USE_EXITS, 1), 1);   /* or every stop page-walks the `until` address */
    uint64_t start;
    if (!err) err = unicorn.uc_reg_read(e->uc, UC_X86_REG_RIP, &start);      /* the first use makes the CPU */
    if (err) return world_fail(w, "Unicorn cannot make an engine: %s.", unicorn.uc_strerror(err));
    if (!(e->nowhere = aligned_alloc(PAGE, PAGE))) return world_fail(w, "There is no memory for a machine.");
    return 0;
}

static int engine_regions(struct machine *m)
{
    struct engine *e = &m->engine;
    if (memory_attach(m)) return -1;
    layout_stop_at_blocks(e->uc);
    e->data_region = unicorn.find_memory_mapping_x86_64(e->uc, DATA_GPA);
    for (int i = 0; i < 2; i++) {
        const void *region = unicorn.find_memory_mapping_x86_64(e->uc, i ? FOUR_GIB : 0);
        if (i && m->ram_bytes == memory_low(m)) break;
        if (!(e->code_region[i] = malloc(LAYOUT_REGION_BYTES))) return world_fail(m->world, "There is no memory for a machine.");
        layout_code_region(region, e->code_region[i]);
    }
    layout_set_mapping(e->uc, find_region);
    return 0;
}

/* At each translation Unicorn looks through its whole software TLB for the page, unless a memory hook lies over the code's virtual address. We have
 * marked the page (memory_code): so a hook that nothing reaches, physical addresses being smaller, lies over the upper half. */
#define UPPER_HALF (1ull << 62)
static bool never_called(uc_engine *uc, uc_mem_type type, uint64_t gpa, int size, int64_t value, void *data) { (void)uc; (void)type; (void)gpa; (void)size; (void)value; (void)data; return false; }

static int engine_hooks(struct machine *m)
{
    struct engine *e = &m->engine;
    uc_hook unused;
    if (!(e->fresh = cells_group(m))) return world_fail(m->world, "There is no memory for a machine.");
    return unicorn.uc_hook_add(e->uc, &e->block_hook, UC_HOOK_BLOCK, on_block, e->fresh, 1, 0)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_MEM_FETCH_PROT, never_called, NULL, UPPER_HALF, UINT64_MAX)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INTR, on_exception, NULL, 1, 0)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN_INVALID, on_invalid, NULL, 1, 0)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_syscall, NULL, 1, 0, UC_X86_INS_SYSCALL)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_sysenter, NULL, 1, 0, UC_X86_INS_SYSENTER)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_rdtsc, NULL, 1, 0, UC_X86_INS_RDTSC)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_rdtscp, NULL, 1, 0, UC_X86_INS_RDTSCP)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_cpuid, NULL, 1, 0, UC_X86_INS_CPUID)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_in, NULL, 1, 0, UC_X86_INS_IN)
        || unicorn.uc_hook_add(e->uc, &unused, UC_HOOK_INSN, on_out, NULL, 1, 0, UC_X86_INS_OUT)
        ? world_fail(m->world, "Unicorn refuses a hook.") : 0;
}

static int vcpu_new(struct machine *m, int index)
{
    struct vcpu *v = calloc(1, sizeof *v);
    cs_world *w = m->world;
    if (!v) return world_fail(w, "There is no memory for vCPU %d.", index);
    m->vcpu[index] = v;
    m->ncpus = index + 1;
    w->all[w->nall++] = v;
    v->machine = m;
    v->index = index;
    v->apic_id = (uint32_t)index;
    v->delivering = -1;
    v->next_ps = INT64_MAX;
    v->uc = m->engine.uc;
    v->cpu = index ? layout_new_cpu(v->uc) : layout_cpu(v->uc);
    if (!v->cpu) return world_fail(w, "Unicorn cannot make a processor for vCPU %d.", index);
    v->env = layout_env_of(v->cpu);
    softtlb_watch(v->cpu);
    v->skip_sync = at(v->uc, layout.skip_sync_in_uc);
    v->flushes = layout_flushes(v->uc);
    v->region_bytes[0] = memory_low(m);
    v->region_bytes[1] = m->ram_bytes - memory_low(m);
    v->code_pages = memory_code_pages(m);
    v->stored = v->touched = v->asked = NEVER;
    ((uint64_t *)at(v->env, layout.features))[1] &= ~(1ull << 30);      /* RDRAND, */
    ((uint64_t *)at(v->env, layout.features))[2] &= ~(1ull << 18);      /* RDSEED: host randomness */
    return lapic_new(v) || follow_new(v) ? w->error[0] ? -1 : world_fail(w, "vCPU %d cannot be made.", index) : 0;
}

int engine_new(struct machine *m, int ncpus)
{
    m->engine.width = ncpus;
    if (engine_open(m)) return -1;
    for (int i = 0; i < ncpus; i++) if (vcpu_new(m, i)) return -1;       /* before anything is mapped, or translated */
    if (engine_regions(m) || engine_hooks(m)) return -1;
    for (int i = 0; i < ncpus; i++) {
        struct vcpu *v = m->vcpu[i];
        v->region[0] = unicorn.find_memory_mapping_x86_64(v->uc, 0);
        v->region[1] = v->region_bytes[1] ? unicorn.find_memory_mapping_x86_64(v->uc, FOUR_GIB) : NULL;
        vcpu_reset(v);
    }
    return 0;
}

static void vcpu_free(struct vcpu *v)
{
    if (executing == v) executing = NULL;
    softtlb_free(v);
    block_tables_free(v);
    detail_free(v);
    lapic_free(v);
    if (v->follow) follow_free(v);
    free(v);
}

void engine_free(struct machine *m)
{
    struct engine *e = &m->engine;
    if (e->uc) {
        if (m->ncpus && m->vcpu[0]->cpu) layout_use_cpu(e->uc, m->vcpu[0]->cpu);
        unicorn.uc_close(e->uc);
        for (int i = 1; i < m->ncpus; i++) if (m->vcpu[i]->cpu) layout_free_cpu(m->vcpu[i]->cpu);
    }
    for (int i = 0; i < m->ncpus; i++) vcpu_free(m->vcpu[i]);
    for (struct high *h = e->high, *next; h; h = next) { next = h->next; free(h); }
    cells_free(m);
    free(e->code_region[0]);
    free(e->code_region[1]);
    free(e->nowhere);
}
