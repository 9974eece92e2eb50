/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unicorn's software TLB and jump cache, one of each for each of the last few values of CR3. Unicorn empties both when CR3 is written: with
 * page-table isolation Linux does so twice a system call, and filling them again took longer than all else that Unicorn does.
 *
 * A write to CR3 empties the guest's TLB all the same. So what was put away comes back only if a TLB filled anew would come out alike: each word
 * of the page tables that the entries were made from (struct word) is what it was when it was read, accessed and dirty bits included; and
 * nothing that empties all TLBs, drops translations or marks pages with code happened in between (`epoch`, `flushes`).
 */
#include "machine.h"
#include "softtlb.h"
#include "trial.h"
#include <stdlib.h>
#include <string.h>

enum { KEPT = 4, WORDS = 768, BUCKETS = 2048, ACCESSED_DIRTY = 3 << 5 };
enum { TLB_BEFORE_ENV = 0x890, TLB_END_BEFORE_ENV = 0x10, TLB_BYTES = TLB_BEFORE_ENV - TLB_END_BEFORE_ENV, TABLES_BEFORE_ENV = 64, DETAIL = 32, DETAIL_BYTES = 696,
       FRESH_MASK = 255 << 6, JUMPS_IN_CPU = 312, JUMPS = 4096, CLASS_IN_CPU = 33200, CLASS_BYTES = 168, MODES = 3 };

struct word { uint64_t gpa, value; };
struct kept {
    uint64_t cr3, efer, epoch; uint32_t flushes, n;
    bool whole;                   /* all words are known */
    struct word word[WORDS];
    uint16_t bucket[BUCKETS];     /* number + 1 of the word there */
    uint8_t tlb[TLB_BYTES]; void *jumps[JUMPS];                  /* while it is put away */
};
struct softtlb { struct kept *kept[KEPT]; uint32_t current, next; };

static uint64_t epoch;
static uint32_t fill_in_class;
typedef bool (*fill_function)(void *cpu, uint64_t va, int size, int type, int mode, bool probe, uintptr_t ra);

static char *tlb_of(const struct vcpu *v) { return (char *)v->env - TLB_BEFORE_ENV; }
static void **jumps_of(const struct vcpu *v) { return at(v->cpu, JUMPS_IN_CPU); }
static uint32_t spot(uint64_t gpa) { return (uint32_t)(gpa >> 3 ^ gpa >> 12) & (BUCKETS - 1); }

static void start_afresh(struct vcpu *v, struct kept *k)
{
    for (uint32_t i = 0; i < k->n; i++)
        for (uint32_t b = spot(k->word[i].gpa); k->bucket[b]; b = (b + 1) & (BUCKETS - 1)) k->bucket[b] = 0;
    k->n = 0;
    k->whole = true;
    k->efer = env_u64(v, layout.efer);
}

/* ---- what its entries were made from ---- */
static void note(struct kept *k, uint64_t gpa, uint64_t value)
{
    uint32_t b = spot(gpa);
    for (; k->bucket[b]; b = (b + 1) & (BUCKETS - 1)) {
        struct word *w = &k->word[k->bucket[b] - 1];
        if (w->gpa != gpa) continue;
        if ((w->value ^ value) & ~(uint64_t)ACCESSED_DIRTY || w->value & ~value) k->whole = false;       /* older entries may be of another word */
        w->value = value;
        return;
    }
    if (k->n == WORDS) { k->whole = false; return; }
    k->word[k->n++] = (struct word){ gpa, value };
    k->bucket[b] = (uint16_t)k->n;
}

static bool on_fill(void *cpu, uint64_t va, int size, int type, int mode, bool probe, uintptr_t ra)
{
    bool there = unicorn.x86_cpu_tlb_fill_x86_64(cpu, va, size, type, mode, probe, ra);          /* does not return from a fault */
    struct vcpu *v = executing;
    if (!there || !v || v->cpu != cpu || !v->softtlb) return there;
    struct kept *k = v->softtlb->kept[v->softtlb->current];
    struct walk w;
    if (!k->whole) return there;
    k->whole = vcpu_walk_entries(v, va, &w) && w.four_levels;
    for (uint32_t i = 0; i < w.n && k->whole; i++) {
        uint64_t value;
        memcpy(&value, memory_at(v->machine, w.entry[i], sizeof value), sizeof value);
        note(k, w.entry[i], value);
    }
    return there;
}

static bool holds(const struct vcpu *v, const struct kept *k)
{
    if (!k->whole || k->epoch != epoch || k->flushes != layout_flushes(v->uc) || k->efer != env_u64(v, layout.efer)) return false;
    for (uint32_t i = 0; i < k->n; i++)
        if (memcmp(memory_at(v->machine, k->word[i].gpa, 8), &k->word[i].value, 8)) return false;
    return true;
}

/* ---- one goes, one comes ---- */
static void flush(struct vcpu *v, struct kept *k)
{
    unicorn.tlb_flush_by_mmuidx_x86_64(v->cpu, (1 << MODES) - 1);
    start_afresh(v, k);
}

static void put_away(struct vcpu *v, struct kept *k)
{
    k->cr3 = env_of(v)->cr[3];
    k->epoch = epoch;
    k->flushes = layout_flushes(v->uc);
    memcpy(k->tlb, tlb_of(v), TLB_BYTES);
    memcpy(k->jumps, jumps_of(v), sizeof k->jumps);
}

static struct kept *kept_new(struct vcpu *v, uint32_t i)
{
    struct kept *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    v->softtlb->kept[i] = k;
    return k;
}

/* The one for that value, or the one to be given up for it; -1: no memory. */
static int choose(struct vcpu *v, uint64_t cr3)
{
    struct softtlb *s = v->softtlb;
    for (uint32_t i = 0; i < KEPT; i++) if (s->kept[i] && i != s->current && s->kept[i]->cr3 == cr3) return (int)i;
    do s->next = (s->next + 1) % KEPT; while (s->next == s->current);
    return (int)s->next;
}

static void change(struct vcpu *v, uint64_t cr3)
{
    struct softtlb *s = v->softtlb;
    struct kept *now = s->kept[s->current];
    int i = cr3 == env_of(v)->cr[3] ? (int)s->current : choose(v, cr3);
    if (i == (int)s->current) {
        now->epoch = epoch;
        now->flushes = layout_flushes(v->uc);
        if (!holds(v, now)) flush(v, now);
        return;
    }
    put_away(v, now);
    struct kept *k = s->kept[i];
    env_of(v)->cr[3] = cr3;
    if (!k) {
        if (!(k = kept_new(v, (uint32_t)i))) { flush(v, now); return; }
        unicorn.tlb_init_x86_64(v->cpu);
        s->current = (uint32_t)i;
        flush(v, k);
        return;
    }
    bool same = k->cr3 == cr3 && holds(v, k);
    memcpy(tlb_of(v), k->tlb, TLB_BYTES);
    s->current = (uint32_t)i;
    if (same) memcpy(jumps_of(v), k->jumps, sizeof k->jumps);
    else flush(v, k);
}

/* In place of Unicorn's own, when it calls them itself: */
static void on_cr3(void *env, uint64_t cr3)
{
    struct vcpu *v = executing;
    struct env *e = env;
    if (!v || v->env != env || !(e->cr[0] & CR0_PG) || !(e->hflags & HF_LMA)) { unicorn.cpu_x86_update_cr3_x86_64(env, cr3); return; }
    if (!v->softtlb) {
        struct softtlb *s = v->softtlb = calloc(1, sizeof *s);
        if (!s || !kept_new(v, 0)) { free(s); v->softtlb = NULL; unicorn.cpu_x86_update_cr3_x86_64(env, cr3); return; }
    }
    change(v, cr3);
}

static void on_flush(void *cpu, uint16_t modes)
{
    struct vcpu *v = executing;
    epoch++;
    unicorn.tlb_flush_by_mmuidx_x86_64(cpu, modes);
    if (v && v->cpu == cpu && v->softtlb && modes == (1 << MODES) - 1) start_afresh(v, v->softtlb->kept[v->softtlb->current]);
}

void softtlb_forget(void) { epoch++; }

static void watch(void *cpu, fill_function f)
{
    const fill_function both[2] = { f, f };
    memcpy(at(*(void **)at(cpu, CLASS_IN_CPU), fill_in_class), both, sizeof both);
}

void softtlb_watch(void *cpu) { watch(cpu, on_fill); }

void softtlb_free(struct vcpu *v)
{
    struct softtlb *s = v->softtlb;
    for (uint32_t i = 0; s && i < KEPT; i++) {
        if (s->kept[i] && i != s->current)
            for (int mode = 0; mode < MODES; mode++) {
                void *table, *detail;
                memcpy(&table, s->kept[i]->tlb + TLB_BEFORE_ENV - TABLES_BEFORE_ENV + mode * (int)sizeof(struct tlb_table) + 8, sizeof table);
                memcpy(&detail, s->kept[i]->tlb + DETAIL + (mode + 1) * DETAIL_BYTES - 8, sizeof detail);
                free(table);
                free(detail);
            }
        free(s->kept[i]);
    }
    free(s);
    v->softtlb = NULL;
}

/* ---- proof ---- */
static int fills;
static bool count_fill(void *cpu, uint64_t va, int size, int type, int mode, bool probe, uintptr_t ra) { fills++; return on_fill(cpu, va, size, type, mode, probe, ra); }

int softtlb_prove(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = { 0x0f, 0x22, 0xd8, 0x8b, 0x1e, 0x0f, 0x22, 0xda, 0x8b, 0x0e, 0xf4 };    /* mov cr3, rax; mov ebx, [rsi]; mov cr3, rdx; mov ecx, [rsi]; hlt */
    enum { ROOT = 0x10000, PAGES = 0x14000, VALUES = 0x20000, VA = 0x200000 };
    const struct { void *name; const char *what; } slots[] = { { &(void (*)(void *, uint64_t)){ on_cr3 }, "cpu_x86_update_cr3_x86_64" }, { &(void (*)(void *, uint16_t)){ on_flush }, "tlb_flush_by_mmuidx_x86_64" } };
    for (int i = 0; i < 2; i++) {
        void *f;
        memcpy(&f, slots[i].name, sizeof f);
        if (!layout_replace(slots[i].what, f)) REFUSE("its calls of %s are not to be found.", slots[i].what);
    }
    void *cpu = layout_cpu(t->uc), *class = *(void **)at(cpu, CLASS_IN_CPU);
    const fill_function theirs[2] = { unicorn.x86_cpu_tlb_fill_x86_64, unicorn.x86_cpu_tlb_fill_x86_64 };      /* the one in use, and the one to go back to */
    for (uint32_t i = 8; i + sizeof theirs <= CLASS_BYTES && !fill_in_class; i += 8) if (!memcmp(at(class, i), theirs, sizeof theirs)) fill_in_class = i;
    if (!fill_in_class) REFUSE("what fills its software TLB is not to be found.");
    watch(cpu, count_fill);

    trial_guest(t);
    struct env *e = layout_env(t->uc);
    struct machine *m = calloc(1, sizeof *m);
    struct vcpu *v = calloc(1, sizeof *v);
    if (!m || !v) { free(m); free(v); REFUSE("there is no memory for a trial."); }
    m->ram = t->ram; m->ram_bytes = TRIAL_RAM; v->machine = m; v->uc = t->uc; v->cpu = cpu; v->env = e;
    e->hflags &= ~(uint32_t)HF_CPL;
    uint64_t *q = (uint64_t *)t->ram;
    for (uint64_t i = 0; i < 2; i++) {                         /* two address spaces: the same code, another page at VA */
        uint64_t root = ROOT + i * 0x8000, leaf = PAGES + i * 0x8000;
        q[root / 8] = (root + 0x1000) | 7;
        q[(root + 0x1000) / 8] = (root + 0x2000) | 7;
        q[(root + 0x2000) / 8] = 0x87;
        q[(root + 0x2000) / 8 + 1] = leaf | 7;
        q[leaf / 8] = (VALUES + i * 0x1000) | 7;
    }
    for (uint32_t i = 0; i < 4; i++) *(uint32_t *)(t->ram + VALUES + i * 0x1000) = 100 + i;
    memcpy(t->ram + 0x7000, code, sizeof code);
    executing = v;
    /* as it is; again, and nothing is looked up; another page in the first; an accessed bit cleared in the second; after a flush of everything */
    static const uint32_t expected[5] = { 100, 100, 102, 102, 102 };
    int wrong = 0, looked[5];
    for (int step = 0; step < 5 && !wrong; step++) {
        if (step == 2) q[PAGES / 8] = (VALUES + 0x2000) | 7;
        if (step == 3) q[(PAGES + 0x8000) / 8] &= ~(uint64_t)(1 << 5);
        if (step == 4) unicorn.tlb_flush_x86_64(cpu);
        fills = 0;
        e->regs[GPR_RAX] = ROOT; e->regs[GPR_RDX] = ROOT + 0x8000; e->regs[GPR_RSI] = VA;
        wrong = unicorn.uc_emu_start(t->uc, 0x7000, 0, 0, 0) || e->regs[GPR_RBX] != expected[step] || e->regs[GPR_RCX] != 101
            || !(q[(PAGES + 0x8000) / 8] & 1 << 5) || e->cr[3] != ROOT + 0x8000;
        looked[step] = fills;
    }
    bool jumps = false, flushed = true, fresh = true;
    for (int i = 0; i < JUMPS; i++) jumps |= jumps_of(v)[i] != NULL;
    unicorn.tlb_flush_x86_64(cpu);
    for (int i = 0; i < JUMPS; i++) flushed = flushed && !jumps_of(v)[i];
    for (int i = 0; i < MODES; i++) fresh = fresh && ((const struct tlb_table *)((char *)e - TABLES_BEFORE_ENV))[i].mask == FRESH_MASK;
    executing = NULL;
    softtlb_free(v);
    free(v);
    free(m);
    if (wrong || !jumps || !flushed || !fresh || looked[1] || !looked[2] || !looked[3] || looked[4] < looked[0] - 2) REFUSE("software TLBs cannot be kept over a change of CR3.");
    return 0;
}
