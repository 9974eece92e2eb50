/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unicorn's private state, by name. Nothing outside layout.c knows an offset; nothing here is used before layout_prove() succeeded. */
#ifndef CS_LAYOUT_H
#define CS_LAYOUT_H
#include "api.h"
#include "internal.h"

struct segment { uint32_t selector; uint64_t base; uint32_t limit, flags; };
struct env {                      /* the first fields of Unicorn's CPUX86State */
    uint64_t regs[16], eip, eflags, cc_dst, cc_src, cc_src2;
    uint32_t cc_op; int32_t df; uint32_t hflags, hflags2;
    struct segment segs[6], ldt, tr, gdt, idt; uint64_t cr[9];
};
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };
enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_R8, GPR_R11 = 11 };
enum { HF_CPL = 3, HF_SHADOW = 1 << 3, HF_CS32 = 1 << 4, HF_SS32 = 1 << 5, HF_ADDSEG = 1 << 6, HF_PE = 1 << 7, HF_LMA = 1 << 14,
       HF_CS64 = 1 << 15, HF_OSFXSR = 1 << 22, HF2_GIF = 1, HF2_NMI = 4 };
enum { EFLAGS_TF = 1 << 8, EFLAGS_IF = 1 << 9, EFLAGS_RF = 1 << 16 };
#define CR0_PE 1u
#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)
enum { CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_PGE = 1 << 7, EFER_SCE = 1, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11 };

struct layout {                   /* byte offsets, found by layout_prove */
    uint32_t cpu_in_uc, env_in_cpu, skip_sync_in_uc, io_pc_in_cpu, user_data_in_hook, mapping_in_uc, no_exit_in_uc, invalid_in_uc, translator_in_uc, flushes_in_translator;
    uint32_t efer, star, lstar, fmask, tsc_aux, features;          /* in env */
};
extern struct layout layout;

int layout_prove(char *why, size_t n);   /* 0, or -1 and one sentence */

static inline void *at(void *base, uint32_t offset) { return (char *)base + offset; }
static inline void *layout_cpu(uc_engine *uc) { return *(void **)at(uc, layout.cpu_in_uc); }
static inline struct env *layout_env(uc_engine *uc) { return *(struct env **)at(layout_cpu(uc), layout.env_in_cpu); }
static inline struct env *env_of(const struct vcpu *v) { return v->env; }
static inline uint64_t env_u64(const struct vcpu *v, uint32_t offset) { return *(uint64_t *)at(v->env, offset); }
static inline uint64_t env_rip(const struct vcpu *v) { struct env *e = v->env; return e->eip + e->segs[SEG_CS].base; }   /* linear */
/* An engine has one processor when it is made. More of them share its translations; the engine knows the one that runs only, so everything
 * that Unicorn clears in a processor (its jump cache, its software TLB) is ours to clear in the others. */
void *layout_new_cpu(uc_engine *uc);                                      /* NULL: no memory. The engine's processor stays what it was */
void layout_free_cpu(void *cpu);                                          /* one of ours, when the engine is gone */
enum { LAYOUT_REGION_BYTES = 152 };
void layout_code_region(const void *region, void *copy);                  /* like Unicorn's region of RAM, but no store to it makes the page's entry in a software TLB fast again */
static inline void layout_use_cpu(uc_engine *uc, void *cpu) { *(void **)at(uc, layout.cpu_in_uc) = cpu; }
static inline struct env *layout_env_of(void *cpu) { return *(struct env **)at(cpu, layout.env_in_cpu); }
static inline uint32_t layout_flushes(uc_engine *uc) { return *(const uint32_t *)at(*(void **)at(uc, layout.translator_in_uc), layout.flushes_in_translator); }   /* of all translations, so far */
/* The RIP of the instruction that is accessing MMIO: Unicorn keeps its host address, and can turn it back. */
static inline void layout_restore_rip(struct vcpu *v) { unicorn.cpu_restore_state_x86_64(v->cpu, *(uintptr_t *)at(v->cpu, layout.io_pc_in_cpu), false); }
static inline void layout_set_user_data(uc_hook hook, void *data) { *(void **)((char *)hook + layout.user_data_in_hook) = data; }
/* What translated code calls for a load or store that its inline path does not cover (with memory hooks: for all of them). */
typedef uint64_t (*layout_load)(void *env, uint64_t addr, uint32_t oi, uintptr_t ra);
typedef void (*layout_store)(void *env, uint64_t addr, uint64_t value, uint32_t oi, uintptr_t ra);
struct layout_access { layout_load load1, load2, load4, load8; layout_store store1, store2, store4, store8; };
void layout_swap_access(const struct layout_access *now, struct layout_access *before);   /* for all engines of the process; translations made before keep the old */
struct tlb_entry { uint64_t addr_read, addr_write, addr_code, paddr; uintptr_t addend; uint8_t pad[24]; };
struct tlb_table { uintptr_t mask; struct tlb_entry *table; };                            /* three of them, 64 bytes before env */
static inline struct tlb_entry *layout_tlb_entry(void *env, uint32_t oi, uint64_t addr)
{
    const struct tlb_table *t = (const struct tlb_table *)((char *)env - 64) + (oi & 15);
    return (struct tlb_entry *)((char *)t->table + ((addr >> 6) & t->mask));
}
/* Unicorn checks for a stop behind each memory access, by a call before which all guest registers go to memory and behind which they come
 * back. We stop at block boundaries only: translations made from now on check at their start alone. */
static inline void layout_stop_at_blocks(uc_engine *uc) { *(bool *)at(uc, layout.no_exit_in_uc) = true; }
/* Was the last store to neither RAM nor a device? */
static inline bool layout_invalid(uc_engine *uc) { return *(const int *)at(uc, layout.invalid_in_uc) != UC_ERR_OK; }
typedef void *(*layout_mapping)(uc_engine *, uint64_t);
static inline void layout_set_mapping(uc_engine *uc, layout_mapping f) { *(layout_mapping *)at(uc, layout.mapping_in_uc) = f; }
#endif
