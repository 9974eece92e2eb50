/* SPDX-License-Identifier: GPL-2.0-or-later */
/* More processors in one of Unicorn's engines, which its API does not know: docs/adr/0005 */
#include "trial.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRANSLATOR_IN_UC = 768, UC_IN_CPU = 33192, SPACES_IN_CPU = 264, CLASS_IN_CPU = 33200, MODEL_IN_CLASS = 168, TLB_DETAIL_BYTES = 696, PRIORITY_IN_REGION = 92,
       BUFFER_BYTES = 184, REGIONS = 39184, REGIONS_USED = 39208, BLOCK_TREE = 39224 /* in the translator */ };

static void **tlb_detail(void *cpu, int i)                                     /* the host side of a software TLB: the last word of its description */
{
    return (void **)((char *)layout_env_of(cpu) - 64 - 8 - (3 - i) * TLB_DETAIL_BYTES + TLB_DETAIL_BYTES - 8);
}

/* Making a processor also declares its registers to the translator once more and lays out the translator's buffer, which asserts that
 * nobody did: so the buffer looks as it did before (its last page is a guard), and afterwards the translator's state is put back. */
void *layout_new_cpu(uc_engine *uc)
{
    char *translator = *(void **)at(uc, layout.translator_in_uc);
    void *first = layout_cpu(uc);
    size_t n = malloc_usable_size(translator);
    char *kept = malloc(n);
    if (!kept) return NULL;
    memcpy(kept, translator, n);
    *(uint64_t *)(translator + REGIONS_USED) = 0;
    *(uint64_t *)(translator + BUFFER_BYTES) += (uint64_t)sysconf(_SC_PAGESIZE);
    void *cpu = unicorn.cpu_x86_init_x86_64(uc);
    free(*(void **)(translator + BLOCK_TREE));         /* an empty one; Unicorn goes on with its own */
    memcpy(translator, kept, n);
    free(kept);
    uc_context *state;
    uc_err err = unicorn.uc_ctl(uc, UC_CTL_WRITE(UC_CTL_TLB_TYPE, 1), UC_TLB_CPU);
    layout_use_cpu(uc, first);
    if (!cpu || err || unicorn.uc_context_alloc(uc, &state)) return NULL;
    err = unicorn.uc_context_save(uc, state);          /* it begins in the first one's state */
    layout_use_cpu(uc, cpu);
    if (!err) err = unicorn.uc_context_restore(uc, state);
    unicorn.uc_context_free(state);
    layout_use_cpu(uc, first);
    return err ? NULL : cpu;
}

void layout_free_cpu(void *cpu)
{
    struct tlb_table *tables = (struct tlb_table *)((char *)layout_env_of(cpu) - 64);
    for (int i = 0; i < 3; i++) {
        free(tables[i].table);
        free(*tlb_detail(cpu, i));
    }
    free(*(void **)at(*(void **)at(cpu, CLASS_IN_CPU), MODEL_IN_CLASS));
    free(*(void **)at(cpu, SPACES_IN_CPU));
    free(cpu);
}

void layout_code_region(const void *region, void *copy)
{
    const int32_t lowest = -1;
    memcpy(copy, region, LAYOUT_REGION_BYTES);
    memcpy((char *)copy + PRIORITY_IN_REGION, &lowest, sizeof lowest);
}

static int find_flushes(struct trial *t, char *why, size_t n)                  /* the word of the translator that counts flushes */
{
    void *translator = *(void **)at(t->uc, TRANSLATOR_IN_UC);
    size_t size = malloc_usable_size(translator) & ~(size_t)3;
    char *before = malloc(size);
    uint32_t found = 0, candidates = 0;
    layout.translator_in_uc = TRANSLATOR_IN_UC;
    if (!before) REFUSE("there is no memory for a trial.");
    memcpy(before, translator, size);
    for (int i = 0; i < 3; i++) unicorn.uc_ctl(t->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0));
    for (uint32_t i = 0; i < size; i += 4) {
        uint32_t was, is;
        memcpy(&was, before + i, 4);
        memcpy(&is, (char *)translator + i, 4);
        if (is == was + 3) { found = i; candidates++; }
    }
    free(before);
    if (candidates != 1) REFUSE("its count of flushes is not to be found (%u candidates).", candidates);
    layout.flushes_in_translator = found;
    return 0;
}

/* The second processor changes code of the first: stores are looked at where its software TLB says so (tlb_reset_dirty, for a page that it wrote
 * before), and go on being looked at (layout_code_region). */
static char code_region[LAYOUT_REGION_BYTES];
static void *region_of_code(uc_engine *uc, uint64_t gpa) { return gpa >> 12 == 7 ? code_region : unicorn.find_memory_mapping_x86_64(uc, gpa); }

static int run_at(struct trial *t, void *cpu, uint64_t pc) { layout_use_cpu(t->uc, cpu); return unicorn.uc_emu_start(t->uc, pc, 0, 0, 0) != UC_ERR_OK; }

static int prove_code_changes(struct trial *t, char *why, size_t n)
{
    static const uint8_t first_code[] = { 0xff, 0xc3, 0xf4 }, second_code[] = { 0xff, 0xc1, 0xf4 }, stores[] = { 0x88, 0x06, 0x88, 0x56, 0x10, 0xf4 };   /* inc ebx; hlt / inc ecx; hlt / mov [rsi], al; mov [rsi + 16], dl; hlt */
    void *first = layout_cpu(t->uc), *second = t->extra;
    struct env *e = layout_env_of(first), *f = layout_env_of(second);
    const uint64_t alias = 4ull << 21;                                         /* of the first 2 MiB, not executable: as kernels write to code */
    ((uint64_t *)t->ram)[0x3000 / 8 + 4] = 1ull << 63 | 0x87;
    layout_code_region(unicorn.find_memory_mapping_x86_64(t->uc, 0x7000), code_region);
    memcpy(t->ram + 0x7000, first_code, sizeof first_code);
    memcpy(t->ram + 0x7010, second_code, sizeof second_code);
    memcpy(t->ram + 0xa000, stores, sizeof stores);
    unicorn.uc_ctl(t->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0));
    for (int i = 0; i < 2; i++) unicorn.tlb_flush_x86_64(i ? second : first);
    f->regs[GPR_RSI] = alias + 0x7001;
    f->regs[GPR_RAX] = 0xc3;
    f->regs[GPR_RDX] = 0xc1;
    e->regs[GPR_RBX] = e->regs[GPR_RCX] = 100;
    layout_set_mapping(t->uc, unicorn.find_memory_mapping_x86_64);
    int wrong = run_at(t, second, 0xa000) || run_at(t, second, 0xa000) || run_at(t, first, 0x7000) || run_at(t, first, 0x7010);
    unicorn.tlb_reset_dirty_x86_64(second, (uintptr_t)t->ram + 0x7000, 4096);
    layout_set_mapping(t->uc, region_of_code);
    wrong = wrong || run_at(t, second, 0xa000) || run_at(t, first, 0x7000) || run_at(t, first, 0x7010);
    f->regs[GPR_RAX] = 0xcb;                                                   /* dec ebx, */
    f->regs[GPR_RDX] = 0xc9;                                                   /* dec ecx */
    wrong = wrong || run_at(t, second, 0xa000) || run_at(t, first, 0x7000) || run_at(t, first, 0x7010);
    layout_use_cpu(t->uc, first);
    if (wrong || (uint32_t)e->regs[GPR_RBX] != 101 || (uint32_t)e->regs[GPR_RCX] != 101) REFUSE("a processor does not see that another one changed its code.");
    return 0;
}

static int blocks_seen;
static void count_block(uc_engine *uc, uint64_t pc, uint32_t size, void *data) { (void)uc; (void)pc; (void)size; (void)data; blocks_seen++; }

int processors_prove(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = { 0xff, 0xc3, 0x89, 0x1e, 0xf4 };                /* inc ebx; mov [rsi], ebx; hlt */
    void *first = layout_cpu(t->uc);
    if (*(void **)at(first, UC_IN_CPU) != t->uc || *(void **)at(first, CLASS_IN_CPU) == NULL || **(void ***)at(first, SPACES_IN_CPU) != first)
        REFUSE("the processor's surroundings are not where they were.");
    if (find_flushes(t, why, n)) return -1;
    trial_guest(t);
    layout_env(t->uc)->hflags &= ~(uint32_t)HF_CPL;
    const char *translator = *(void **)at(t->uc, layout.translator_in_uc);
    uint64_t bytes = *(const uint64_t *)(translator + BUFFER_BYTES);
    if (*(const uint64_t *)(translator + REGIONS) != 1 || *(const uint64_t *)(translator + REGIONS_USED) != 1 || !*(void *const *)(translator + BLOCK_TREE)
        || bytes > TRIAL_BUFFER || bytes < TRIAL_BUFFER / 2) REFUSE("the translator's buffer is not laid out as it was.");
    void *second = layout_new_cpu(t->uc);
    if (!second || layout_cpu(t->uc) != first || *(void **)at(second, UC_IN_CPU) != t->uc || **(void ***)at(second, SPACES_IN_CPU) != second) REFUSE("a second processor cannot be made.");
    if (unicorn.uc_hook_add(t->uc, &t->hook[0], UC_HOOK_BLOCK, count_block, NULL, 1, 0)) REFUSE("hooks are refused.");
    memcpy(t->ram + 0x7000, code, sizeof code);
    void *cpu[2] = { first, second };
    blocks_seen = 0;
    for (int i = 0; i < 4; i++) {                                              /* in turn, and with the code changed behind Unicorn's back: one translation for both */
        struct env *e = layout_env_of(cpu[i & 1]);
        layout_use_cpu(t->uc, cpu[i & 1]);
        e->regs[GPR_RBX] = (uint64_t)(i + 1) * 100;
        e->regs[GPR_RSI] = 0x8000 + (uint64_t)i * 8;
        if (i == 1) t->ram[0x7001] = 0xcb;                                     /* dec ebx: seen by nobody */
        if (i == 2) unicorn.tb_invalidate_phys_range_x86_64(t->uc, 0x7000, 0x8000);
        uc_err err = unicorn.uc_emu_start(t->uc, 0x7000, 0, 0, 0);
        uint64_t expected = (uint64_t)(i + 1) * 100 + (i < 2 ? 1 : -1ull);
        if (err || e->regs[GPR_RBX] != expected || *(uint32_t *)(t->ram + e->regs[GPR_RSI]) != (uint32_t)expected) REFUSE("two processors of one engine do not share translations (step %d).", i);
    }
    layout_use_cpu(t->uc, first);
    t->extra = second;
    if (blocks_seen != 4) REFUSE("two processors of one engine do not share hooks.");
    return prove_code_changes(t, why, n);
}
