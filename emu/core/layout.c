/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unicorn's private layout: where it keeps the processor's state, found and proven on throwaway engines when the library opens. Known
 * for 2.1.4 on LP64 are only the starting points (CPU_IN_UC, ENV_IN_CPU, NO_EXIT_IN_UC and struct env); the rest is found by writing
 * through the public API and looking where it went. Any surprise refuses with a sentence.
 */
#define _GNU_SOURCE
#include "softtlb.h"
#include "trial.h"
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

struct unicorn_api unicorn;
struct layout layout;

enum { NO_EXIT_IN_UC = 2034, ENV_SCAN = 6144, CPU_SCAN_FROM = 32768, CPU_SCAN_TO = 34816, HOOK_BYTES = 64 };

uint32_t scan64(const void *where, uint32_t from, uint32_t to, uint64_t value)
{
    uint32_t found = 0;
    for (uint32_t i = from; i + 8 <= to; i += 8) {
        uint64_t x;
        memcpy(&x, (const char *)where + i, 8);
        if (x != value) continue;
        if (found) return 0;
        found = i;
    }
    return found;
}

static int trial_open(struct trial *t)
{
    memset(t, 0, sizeof *t);
    t->ram = mmap(NULL, 2 * TRIAL_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->ram == MAP_FAILED || unicorn.uc_open(UC_ARCH_X86, UC_MODE_64, &t->uc)) return -1;
    unicorn.uc_ctl(t->uc, UC_CTL_WRITE(UC_CTL_CPU_MODEL, 1), UC_CPU_X86_SKYLAKE_SERVER);
    unicorn.uc_ctl(t->uc, UC_CTL_WRITE(UC_CTL_TCG_BUFFER_SIZE, 1), TRIAL_BUFFER);
    return unicorn.uc_mem_map_ptr(t->uc, 0, TRIAL_RAM, UC_PROT_ALL, t->ram)
        || unicorn.uc_mem_map_ptr(t->uc, TRIAL_HIGH, TRIAL_RAM, UC_PROT_ALL, t->ram + TRIAL_RAM)
        || unicorn.uc_ctl(t->uc, UC_CTL_WRITE(UC_CTL_UC_USE_EXITS, 1), 1) ? -1 : 0;
}

static void trial_close(struct trial *t)
{
    if (t->uc) unicorn.uc_close(t->uc);
    if (t->extra) layout_free_cpu(t->extra);
    if (t->ram != MAP_FAILED) munmap(t->ram, 2 * TRIAL_RAM);
}

static void msr(uc_engine *uc, uint32_t id, uint64_t value)
{
    uc_x86_msr m = { id, value };
    unicorn.uc_reg_write(uc, UC_X86_REG_MSR, &m);
}

static int find_state(struct trial *t, char *why, size_t n)
{
    static const int ids[16] = { UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI,
        UC_X86_REG_RDI, UC_X86_REG_R8, UC_X86_REG_R9, UC_X86_REG_R10, UC_X86_REG_R11, UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15 };
    layout.cpu_in_uc = CPU_IN_UC;
    layout.env_in_cpu = ENV_IN_CPU;
    void *cpu = layout_cpu(t->uc);
    int pipe_fds[2];
    bool readable = cpu && !pipe(pipe_fds);     /* the kernel tells whether an address is one, without a fault */
    if (readable) {
        readable = write(pipe_fds[1], at(cpu, ENV_IN_CPU), 8) == 8 && layout_env(t->uc) && write(pipe_fds[1], layout_env(t->uc), 1024) == 1024;
        close(pipe_fds[0]);
        close(pipe_fds[1]);
    }
    if (!readable) REFUSE("the processor's state is not where it was.");
    struct env *e = layout_env(t->uc);
    for (int i = 0; i < 16; i++) {
        uint64_t value = 0x1357000000000000ULL + (uint64_t)i * 0x9e3779b97f4bULL;
        unicorn.uc_reg_write(t->uc, ids[i], &value);
        if (e->regs[i] != value) REFUSE("register %d is not where it was.", i);
    }
    uint64_t rip = 0x123456789a, cr2 = 0xfeedc0de1234, flags = 0x244, cr3 = 0x7000;
    uc_x86_mmr idtr = { 0, 0x5a5a1000, 0x6bc, 0 }, gdtr = { 0, 0x5a5b2000, 0x5cd, 0 };
    unicorn.uc_reg_write(t->uc, UC_X86_REG_RIP, &rip);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_CR2, &cr2);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_CR3, &cr3);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_EFLAGS, &flags);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_IDTR, &idtr);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_GDTR, &gdtr);
    if (e->eip != rip || e->cr[2] != cr2 || e->cr[3] != cr3 || !(e->eflags & EFLAGS_IF) || e->idt.base != idtr.base || e->idt.limit != idtr.limit
        || e->gdt.base != gdtr.base || e->gdt.limit != gdtr.limit) REFUSE("RIP, control or table registers are not where they were.");
    if ((unicorn.helper_read_eflags_x86_64(e) & 0x244) != 0x244) REFUSE("the flags do not read back.");
    struct { uint32_t id; uint64_t value; uint32_t *offset; const char *name; } m[] = {
        { 0xc0000081, 0x1b00100000000a1ULL, &layout.star, "STAR" }, { 0xc0000082, 0xffff80001234ab01ULL, &layout.lstar, "LSTAR" },
        { 0xc0000084, 0x47700123ULL << 8, &layout.fmask, "FMASK" }, { 0xc0000103, 0x5ca1ab1e00ULL, &layout.tsc_aux, "TSC_AUX" } };
    for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
        msr(t->uc, m[i].id, m[i].value);
        if (!(*m[i].offset = scan64(e, sizeof *e, ENV_SCAN, m[i].value))) REFUSE("%s is not to be found.", m[i].name);
        msr(t->uc, m[i].id, 0);
    }
    msr(t->uc, 0xc0000080, EFER_SCE | EFER_LME | EFER_NXE);
    if (!(layout.efer = scan64(e, sizeof *e, layout.star, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))) REFUSE("EFER is not to be found.");
    /* CPUID's vendor, version and feature words follow one another */
    uint32_t vendor = 0;
    for (uint32_t i = layout.tsc_aux; i + 32 < ENV_SCAN && !vendor; i += 4) if (!memcmp(at(e, i), "GenuineIntel", 12) || !memcmp(at(e, i), "GenuntelineI", 12)) vendor = i;
    if (!vendor) REFUSE("the CPUID vendor is not to be found.");
    layout.features = vendor + 16;
    uint64_t *feature = at(e, layout.features);
    if ((feature[0] & 0x078bf1ff) == 0 || !(feature[1] & (1u << 30)) || !(feature[1] & (1u << 20)) || !(feature[2] & (1u << 7))) REFUSE("the CPUID feature words are not where they were.");
    return 0;
}

static void on_block(uc_engine *uc, uint64_t pc, uint32_t size, void *data)
{
    struct trial *t = data;
    (void)pc; (void)size;
    if (t->stage == 1) {              /* writing RIP in a hook sets one byte of uc_struct besides the request flags */
        uint64_t rip;
        memcpy(t->before, uc, UC_SCAN);
        unicorn.uc_reg_read(uc, UC_X86_REG_RIP, &rip);
        unicorn.uc_reg_write(uc, UC_X86_REG_RIP, &rip);
        memcpy(t->after, uc, UC_SCAN);
        t->stage = 2;
    }
}

static uint64_t on_mmio(uc_engine *uc, uint64_t offset, unsigned size, void *data)
{
    struct trial *t = data;
    char *cpu = layout_cpu(uc);
    struct env *e = layout_env(uc);
    (void)offset; (void)size;
    for (uint32_t i = CPU_SCAN_FROM; i < CPU_SCAN_TO; i += 8) {
        uintptr_t p;
        memcpy(&p, cpu + i, 8);
        e->eip = 0;
        if (p && unicorn.cpu_restore_state_x86_64(cpu, p, false) && e->eip == t->io_rip) { t->io_pc = i; t->nio_pc++; }
    }
    e->eip = t->io_rip;
    return 0x5ca1ab1e;
}

static void on_interrupt(uc_engine *uc, uint32_t number, void *data)
{
    struct trial *t = data;
    struct env *e = layout_env(uc);
    (void)number;
    t->interrupts++;
    t->cpl_before = (int)(e->hflags & HF_CPL);
    unicorn.x86_cpu_do_interrupt_x86_64(layout_cpu(uc));
    t->cpl_after = (int)(e->hflags & HF_CPL);
}

/* Flat, everything user-accessible below 8 MiB. IDT at 0x5000, GDT at 0x6000, TSS at 0x6800. */
void trial_guest(struct trial *t)
{
    uint64_t *q = (uint64_t *)t->ram;
    memset(t->ram, 0, TRIAL_RAM);
    q[0x1000 / 8] = 0x2007;
    q[0x2000 / 8] = 0x3007;
    for (uint64_t i = 0; i < 4; i++) q[0x3000 / 8 + i] = i << 21 | 0x87;
    q[0x6000 / 8 + 1] = 0x00af9b000000ffffULL;                   /* 0x08 kernel code */
    q[0x6000 / 8 + 2] = 0x00cf93000000ffffULL;                   /* 0x10 kernel data */
    q[0x6000 / 8 + 3] = 0x00cff3000000ffffULL;                   /* 0x18 user data */
    q[0x6000 / 8 + 4] = 0x00affb000000ffffULL;                   /* 0x20 user code */
    uint64_t rsp0 = 0x9000;
    memcpy(t->ram + 0x6804, &rsp0, 8);
    for (int i = 0; i < 256; i++) {                              /* every vector to 0x4000, an interrupt gate ring 3 may call */
        q[0x5000 / 8 + 2 * i] = 0x4000 | 0x08ULL << 16 | 0xee00ULL << 32;
        q[0x5000 / 8 + 2 * i + 1] = 0;
    }
    t->ram[0x4000] = 0xf4;                                       /* hlt */
    struct env *e = layout_env(t->uc);
    uc_x86_mmr gdtr = { 0, 0x6000, 0x3f, 0 }, idtr = { 0, 0x5000, 0xfff, 0 };
    uint64_t cr4 = CR4_PAE, cr3 = 0x1000, cr0 = CR0_PG | CR0_WP | CR0_PE;
    unicorn.uc_reg_write(t->uc, UC_X86_REG_GDTR, &gdtr);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_IDTR, &idtr);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_CR4, &cr4);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_CR3, &cr3);
    msr(t->uc, 0xc0000080, EFER_LME | EFER_SCE | EFER_NXE);
    unicorn.uc_reg_write(t->uc, UC_X86_REG_CR0, &cr0);
    e->tr = (struct segment){ 0x28, 0x6800, 0x67, 0x8b00 };
    e->segs[SEG_CS] = (struct segment){ 0x23, 0, 0xffffffff, 0x00affb00 };
    for (int i = 0; i < 6; i++) if (i != SEG_CS) e->segs[i] = (struct segment){ 0x1b, 0, 0xffffffff, 0x00cff300 };
    e->hflags |= HF_LMA | HF_CS64 | HF_CS32 | HF_SS32 | HF_PE | 3;
    e->regs[GPR_RSP] = 0x8000;
}

static int prove_running(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = { 0x8b, 0x04, 0x25, 0, 0, 0x20, 0,    /* 7000: mov eax, [0x200000] */
                                    0xbb, 1, 0, 0, 0,                   /* 7007: mov ebx, 1 */
                                    0xcd, 0x40 };                       /* 700c: int 0x40 */
    trial_guest(t);
    memcpy(t->ram + 0x7000, code, sizeof code);
    t->stage = 1;
    t->io_rip = 0x7000;
    if (unicorn.uc_mmio_map(t->uc, TRIAL_MMIO, 4096, on_mmio, t, NULL, NULL)
        || unicorn.uc_hook_add(t->uc, &t->hook[0], UC_HOOK_BLOCK, on_block, t, 1, 0)
        || unicorn.uc_hook_add(t->uc, &t->hook[1], UC_HOOK_INTR, on_interrupt, t, 1, 0)) REFUSE("hooks are refused.");
    uint32_t found = 0;
    for (uint32_t i = 0; i < HOOK_BYTES; i += 8) {
        void *p;
        memcpy(&p, (char *)t->hook[0] + i, 8);
        if (p == t) found = i;
    }
    if (!(layout.user_data_in_hook = found)) REFUSE("a hook's user data is not to be found.");
    uc_err err = unicorn.uc_emu_start(t->uc, 0x7000, 0, 0, 0);
    struct env *e = layout_env(t->uc);
    if (err || t->interrupts != 1 || e->regs[GPR_RAX] != 0x5ca1ab1e || e->regs[GPR_RBX] != 1 || e->eip != 0x4001)
        REFUSE("a trial program went astray (%s, %d interrupts, RIP %#llx).", unicorn.uc_strerror(err), t->interrupts, (unsigned long long)e->eip);
    if (t->cpl_before != 3 || t->cpl_after != 0) REFUSE("an interrupt from ring 3 to ring 0 shows CPL %d and then %d.", t->cpl_before, t->cpl_after);
    if (e->segs[SEG_CS].selector != 8 || e->segs[SEG_SS].selector != 0 || e->regs[GPR_RSP] != 0x9000 - 40) REFUSE("segments are not where they were.");
    if (t->nio_pc != 1) REFUSE("the host address of an MMIO access is not to be found (%u candidates).", t->nio_pc);
    layout.io_pc_in_cpu = t->io_pc;
    uint32_t last = 0;
    for (uint32_t i = 0; i < UC_SCAN; i++) if (t->before[i] == 0 && t->after[i] == 1) last = i;
    /* among the bytes that the write set, skip_sync_pc_on_exit is the last (the requests to leave come earlier): and it must work */
    layout.skip_sync_in_uc = last;
    if (!last || t->stage != 2) REFUSE("the flag that skips restoring RIP is not to be found.");
    return 0;
}

/* skip_sync: with it set, a port read sees the block's RIP; without it, the instruction's. */
static uint64_t seen_rip; static bool set_skip;
static void skip_block(uc_engine *uc, uint64_t pc, uint32_t size, void *data) { (void)pc; (void)size; (void)data; *(uint8_t *)at(uc, layout.skip_sync_in_uc) = set_skip; }
static uint32_t skip_in(uc_engine *uc, uint32_t port, int size, void *data) { (void)port; (void)size; (void)data; seen_rip = layout_env(uc)->eip; return 0; }

static int prove_skip(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xe4, 0x10, 0xf4 };                /* 7000: nop; nop; in al, 0x10; hlt */
    uint64_t rip[2];
    memcpy(t->ram + 0x7000, code, sizeof code);
    if (unicorn.uc_hook_add(t->uc, &t->hook[0], UC_HOOK_BLOCK, skip_block, NULL, 1, 0)
        || unicorn.uc_hook_add(t->uc, &t->hook[1], UC_HOOK_INSN, skip_in, NULL, 1, 0, UC_X86_INS_IN)) REFUSE("hooks are refused.");
    for (int i = 0; i < 2; i++) {
        set_skip = i == 1;
        seen_rip = 0;
        if (unicorn.uc_emu_start(t->uc, 0x7000, 0, 0, 0)) REFUSE("a trial of port input failed.");
        rip[i] = seen_rip;
    }
    if (rip[0] != 0x7002 || rip[1] != 0x7000) REFUSE("the flag that skips restoring RIP does not work.");
    return 0;
}

/* Dropping translations by RAM offset: regions get offsets in the order they are mapped. */
static int prove_invalidation(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = { 0xb8, 1, 0, 0, 0, 0xf4 };                      /* mov eax, 1; hlt */
    uint8_t *where[2] = { t->ram + 0x7000, t->ram + TRIAL_RAM + 0x3000 };
    uint64_t pc[2] = { 0x7000, TRIAL_HIGH + 0x3000 }, offset[2] = { 0x7000, TRIAL_RAM + 0x3000 };
    for (int i = 0; i < 2; i++) {
        struct env *e = layout_env(t->uc);
        uint64_t rax[3];
        memcpy(where[i], code, sizeof code);
        for (int j = 0; j < 3; j++) {
            if (j == 1) where[i][1] = 2;                                           /* unseen */
            if (j == 2) unicorn.tb_invalidate_phys_range_x86_64(t->uc, offset[i], offset[i] + 4096);
            if (unicorn.uc_emu_start(t->uc, pc[i], 0, 0, 0)) REFUSE("a trial of changed code failed.");
            rax[j] = e->regs[GPR_RAX];
        }
        if (rax[0] != 1 || rax[1] != 1 || rax[2] != 2) REFUSE("dropping the translations of a page does not work.");
    }
    return 0;
}

/* uc_struct holds a pointer to its search of the memory map: with memory hooks it is called on every access. */
static int mapping_calls;
static void *count_mapping(uc_engine *uc, uint64_t gpa) { mapping_calls++; return unicorn.find_memory_mapping_x86_64(uc, gpa); }
static void ignore_access(uc_engine *uc, uc_mem_type type, uint64_t gpa, int size, int64_t value, void *data) { (void)uc; (void)type; (void)gpa; (void)size; (void)value; (void)data; }

static int prove_mapping(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = { 0x48, 0x89, 0x04, 0x25, 0, 0x80, 0, 0, 0xf4 };  /* mov [0x8000], rax; hlt */
    uint64_t value;
    memcpy(&value, &(layout_mapping){ unicorn.find_memory_mapping_x86_64 }, 8);
    if (!(layout.mapping_in_uc = scan64(t->uc, 0, CPU_IN_UC, value))) REFUSE("its search of the memory map is not to be found.");
    memcpy(t->ram + 0x7000, code, sizeof code);
    struct env *e = layout_env(t->uc);
    e->regs[GPR_RAX] = 0x5a5a1234;
    mapping_calls = 0;
    layout_set_mapping(t->uc, count_mapping);
    if (unicorn.uc_hook_add(t->uc, &t->hook[0], UC_HOOK_MEM_WRITE, ignore_access, NULL, 1, 0)
        || unicorn.uc_emu_start(t->uc, 0x7000, 0, 0, 0) || !mapping_calls || *(uint32_t *)(t->ram + 0x8000) != 0x5a5a1234) REFUSE("its search of the memory map cannot be replaced.");
    return 0;
}

/* uc_struct's flag for "no stop behind a memory access" lies before the one that says it is initialized. Proven: a stop asked for in the
 * middle of a block lets the block's rest run with the flag, and not without it. */
static uint64_t stop_mmio(uc_engine *uc, uint64_t offset, unsigned size, void *data) { (void)offset; (void)size; (void)data; unicorn.uc_emu_stop(uc); return 0; }

static int prove_stopping(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = { 0x8b, 0x06, 0xff, 0xc3, 0xeb, 0x00, 0xff, 0xc1, 0xf4 };     /* mov eax, [rsi]; inc ebx; jmp next; next: inc ecx; hlt */
    uc_engine *uc;
    uint64_t rip;
    if (unicorn.uc_open(UC_ARCH_X86, UC_MODE_64, &uc)) REFUSE("a trial engine cannot be made.");
    memcpy(t->before, uc, UC_SCAN);
    unicorn.uc_reg_read(uc, UC_X86_REG_RIP, &rip);
    memcpy(t->after, uc, UC_SCAN);
    unicorn.uc_close(uc);
    if (t->before[NO_EXIT_IN_UC + 1] != 0 || t->after[NO_EXIT_IN_UC + 1] != 1 || t->after[NO_EXIT_IN_UC] != 0) REFUSE("the flag that stops behind a memory access is not where it was.");
    layout.no_exit_in_uc = NO_EXIT_IN_UC;
    struct env *e = layout_env(t->uc);
    memcpy(t->ram + 0x7000, code, sizeof code);
    if (unicorn.uc_mmio_map(t->uc, TRIAL_MMIO, 4096, stop_mmio, NULL, NULL, NULL)) REFUSE("a trial device is refused.");
    for (int i = 0; i < 2; i++) {
        if (i) layout_stop_at_blocks(t->uc);
        unicorn.uc_ctl(t->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0));
        e->regs[GPR_RSI] = TRIAL_MMIO;
        e->regs[GPR_RBX] = e->regs[GPR_RCX] = 0;
        if (unicorn.uc_emu_start(t->uc, 0x7000, 0, 0, 0) || e->regs[GPR_RBX] != (uint64_t)i || e->regs[GPR_RCX]) REFUSE("the flag that stops behind a memory access does not work.");
    }
    return 0;
}

/* Two tables of helper addresses in read-only data: by size, little-endian in the first four of sixteen. */
static void **load_table, **store_table;

static void patch_table(void **table, void *const now[4], void *before[4])
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)table & ~(page - 1), end = (uintptr_t)(table + 4);
    mprotect((void *)start, end - start, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 4; i++) {
        before[i] = table[i];
        table[i] = now[i];
    }
    mprotect((void *)start, end - start, PROT_READ);
}

void layout_swap_access(const struct layout_access *now, struct layout_access *before)
{
    void *n[8], *b[8];
    memcpy(n, now, sizeof n);
    patch_table(load_table, n, b);
    patch_table(store_table, n + 4, b + 4);
    memcpy(before, b, sizeof b);
}

static int find_tables(struct dl_phdr_info *info, size_t size, void *data)
{
    const struct layout_access *want = data;
    void *w[8];
    (void)size;
    memcpy(w, want, sizeof w);
    uintptr_t inside;
    memcpy(&inside, &unicorn.uc_open, sizeof inside);
    bool ours = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && inside - (info->dlpi_addr + p->p_vaddr) < p->p_memsz) ours = true;
    }
    for (int i = 0; ours && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_GNU_RELRO) continue;
        void **slot = (void **)((info->dlpi_addr + p->p_vaddr + 7) & ~(uintptr_t)7), **end = (void **)(info->dlpi_addr + p->p_vaddr + p->p_memsz);
        for (; slot + 4 <= end; slot++) {
            if (!memcmp(slot, w, 4 * sizeof *w)) load_table = load_table ? NULL : slot;
            if (!memcmp(slot, w + 4, 4 * sizeof *w)) store_table = store_table ? NULL : slot;
        }
    }
    return ours;
}

static struct layout_access unicorns;
static int access_calls, access_wrong;
static uint64_t access_host; static uc_engine *access_uc; static uint8_t *access_before; static uint32_t access_invalid;
static void check_entry(void *env, uint64_t addr, uint32_t oi, bool write)
{
    const struct tlb_entry *e = layout_tlb_entry(env, oi, addr);
    access_calls++;
    if ((write ? e->addr_write & ~(uint64_t)(1 << 10) : e->addr_read) != (addr & ~4095ull) || e->paddr != (addr & ~4095ull) || addr + e->addend != access_host + addr) access_wrong++;
}
static uint64_t trial_load1(void *env, uint64_t a, uint32_t oi, uintptr_t ra) { uint64_t x = unicorns.load1(env, a, oi, ra); check_entry(env, a, oi, false); return x; }
static uint64_t trial_load2(void *env, uint64_t a, uint32_t oi, uintptr_t ra) { uint64_t x = unicorns.load2(env, a, oi, ra); check_entry(env, a, oi, false); return x; }
static uint64_t trial_load4(void *env, uint64_t a, uint32_t oi, uintptr_t ra) { uint64_t x = unicorns.load4(env, a, oi, ra); check_entry(env, a, oi, false); return x; }
static uint64_t trial_load8(void *env, uint64_t a, uint32_t oi, uintptr_t ra) { uint64_t x = unicorns.load8(env, a, oi, ra); check_entry(env, a, oi, false); return x; }
static void trial_store1(void *env, uint64_t a, uint64_t x, uint32_t oi, uintptr_t ra) { unicorns.store1(env, a, x, oi, ra); check_entry(env, a, oi, true); }
static void trial_store2(void *env, uint64_t a, uint64_t x, uint32_t oi, uintptr_t ra) { unicorns.store2(env, a, x, oi, ra); check_entry(env, a, oi, true); }
static void trial_store4(void *env, uint64_t a, uint64_t x, uint32_t oi, uintptr_t ra) { unicorns.store4(env, a, x, oi, ra); check_entry(env, a, oi, true); }
static void nowhere_store4(void *env, uint64_t a, uint64_t x, uint32_t oi, uintptr_t ra)       /* which integer says that the store failed? */
{
    memcpy(access_before, access_uc, UC_SCAN);
    unicorns.store4(env, a, x, oi, ra);
    for (uint32_t i = CPU_IN_UC; i + 4 <= layout.no_exit_in_uc; i += 4) {
        int before, now;
        memcpy(&before, access_before + i, 4);
        memcpy(&now, (char *)access_uc + i, 4);
        if (before == UC_ERR_OK && now == UC_ERR_WRITE_UNMAPPED) { access_invalid = i; access_calls++; }
    }
}
static void trial_store8(void *env, uint64_t a, uint64_t x, uint32_t oi, uintptr_t ra) { unicorns.store8(env, a, x, oi, ra); check_entry(env, a, oi, true); }

static int prove_access(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = {
        0x48, 0x8b, 0x06, 0x48, 0x89, 0x46, 0x40, 0x8b, 0x5e, 0x08, 0x89, 0x5e, 0x48,          /* rax: 8 bytes; ebx: 4 */
        0x66, 0x8b, 0x4e, 0x10, 0x66, 0x89, 0x4e, 0x50, 0x8a, 0x56, 0x18, 0x88, 0x56, 0x58, 0xf4 };   /* cx: 2; dl: 1; hlt */
    static const struct layout_access trial = { trial_load1, trial_load2, trial_load4, trial_load8, trial_store1, trial_store2, trial_store4, trial_store8 };
    struct layout_access again;
    unicorns = (struct layout_access){ unicorn.helper_ret_ldub_mmu_x86_64, unicorn.helper_le_lduw_mmu_x86_64, unicorn.helper_le_ldul_mmu_x86_64,
        unicorn.helper_le_ldq_mmu_x86_64, unicorn.helper_ret_stb_mmu_x86_64, unicorn.helper_le_stw_mmu_x86_64, unicorn.helper_le_stl_mmu_x86_64, unicorn.helper_le_stq_mmu_x86_64 };
    dl_iterate_phdr(find_tables, &unicorns);
    if (!load_table || !store_table) REFUSE("its tables of memory helpers are not to be found.");
    memcpy(t->ram + 0x7000, code, sizeof code);
    for (int i = 0; i < 32; i++) t->ram[0x8000 + i] = (uint8_t)(0x81 + i);
    layout_env(t->uc)->regs[GPR_RSI] = 0x8000;
    access_calls = access_wrong = 0;
    access_host = (uint64_t)(uintptr_t)t->ram;
    layout_swap_access(&trial, &again);
    uc_err err = unicorn.uc_hook_add(t->uc, &t->hook[0], UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, ignore_access, NULL, 1, 0);
    if (!err) err = unicorn.uc_emu_start(t->uc, 0x7000, 0, 0, 0);
    layout_swap_access(&unicorns, &again);
    if (err || access_calls != 8 || access_wrong || memcmp(t->ram + 0x8040, t->ram + 0x8000, 8) || memcmp(t->ram + 0x8048, t->ram + 0x8008, 4)
        || memcmp(t->ram + 0x8050, t->ram + 0x8010, 2) || t->ram[0x8058] != t->ram[0x8018]) REFUSE("its memory helpers cannot be replaced (%d calls, %d wrong).", access_calls, access_wrong);
    static const uint8_t lost[] = { 0x89, 0x06, 0xf4 };                            /* mov [rsi], eax; hlt */
    struct layout_access nowhere = unicorns;
    nowhere.store4 = nowhere_store4;
    memcpy(t->ram + 0x7100, lost, sizeof lost);
    layout_env(t->uc)->regs[GPR_RSI] = TRIAL_MMIO;
    access_calls = 0;
    access_uc = t->uc;
    access_before = t->before;
    layout_swap_access(&nowhere, &again);
    err = unicorn.uc_emu_start(t->uc, 0x7100, 0, 0, 0);
    layout_swap_access(&unicorns, &again);
    if (err != UC_ERR_WRITE_UNMAPPED || access_calls != 1) REFUSE("its word for a failed store is not to be found (%d candidates).", access_calls);
    layout.invalid_in_uc = access_invalid;
    return 0;
}

static bool invalid_seen;
static bool on_invalid(uc_engine *uc, void *data) { (void)data; invalid_seen = true; unicorn.uc_emu_stop(uc); return true; }

static int prove_features(struct trial *t, char *why, size_t n)
{
    static const uint8_t code[] = { 0x0f, 0xc7, 0xf0, 0xf4 };                      /* rdrand eax; hlt */
    memcpy(t->ram + 0x7000, code, sizeof code);
    if (unicorn.uc_hook_add(t->uc, &t->hook[0], UC_HOOK_INSN_INVALID, on_invalid, NULL, 1, 0)) REFUSE("hooks are refused.");
    ((uint64_t *)at(layout_env(t->uc), layout.features))[1] &= ~(1ull << 30);
    invalid_seen = false;
    unicorn.uc_emu_start(t->uc, 0x7000, 0, 0, 0);
    if (!invalid_seen) REFUSE("hiding RDRAND does not make it undefined.");
    return 0;
}

/* libunicorn resizes its software TLB by the host's clock, so its gettimeofday slot is pointed at a clock that stands still. */
static int still_gettimeofday(struct timeval *tv, void *zone)
{
    (void)zone;
    tv->tv_sec = 1700000000;
    tv->tv_usec = 0;
    return 0;
}

struct find { uintptr_t inside; const char *name; void *function; int patched; };
static int patch_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct find *f = data;
    const ElfW(Dyn) *dyn = NULL;
    bool ours = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && f->inside >= start && f->inside < start + p->p_memsz) ours = true;
        if (p->p_type == PT_DYNAMIC) dyn = (const ElfW(Dyn) *)start;
    }
    if (!ours || !dyn) return 0;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    const ElfW(Rela) *tables[2] = { NULL, NULL };
    size_t sizes[2] = { 0, 0 };
    for (; dyn->d_tag != DT_NULL; dyn++) {
        if (dyn->d_tag == DT_SYMTAB) symbols = (const ElfW(Sym) *)dyn->d_un.d_ptr;
        if (dyn->d_tag == DT_STRTAB) names = (const char *)dyn->d_un.d_ptr;
        if (dyn->d_tag == DT_JMPREL) tables[0] = (const ElfW(Rela) *)dyn->d_un.d_ptr;
        if (dyn->d_tag == DT_PLTRELSZ) sizes[0] = dyn->d_un.d_val;
        if (dyn->d_tag == DT_RELA) tables[1] = (const ElfW(Rela) *)dyn->d_un.d_ptr;
        if (dyn->d_tag == DT_RELASZ) sizes[1] = dyn->d_un.d_val;
    }
    if (!symbols || !names) return 1;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; tables[k] && i < sizes[k] / sizeof(ElfW(Rela)); i++) {
            const ElfW(Rela) *r = &tables[k][i];
            if (strcmp(names + symbols[ELF64_R_SYM(r->r_info)].st_name, f->name)) continue;
            void **slot = (void **)(info->dlpi_addr + r->r_offset);
            if (mprotect((void *)((uintptr_t)slot & ~(page - 1)), page, PROT_READ | PROT_WRITE)) continue;
            *slot = f->function;
            f->patched++;
        }
    return 1;
}

int layout_replace(const char *name, void *function)
{
    struct find f = { .name = name, .function = function };
    memcpy(&f.inside, &unicorn.uc_open, sizeof f.inside);
    dl_iterate_phdr(patch_object, &f);
    return f.patched;
}

int layout_prove(char *why, size_t n)
{
    unsigned major = 0, minor = 0, version = unicorn.uc_version(&major, &minor);
    if (major != 2 || minor != 1 || (version >> 8 & 0xff) != 4) REFUSE("it is %u.%u.%u.", major, minor, version >> 8 & 0xff);
    void *still;
    memcpy(&still, &(int (*)(struct timeval *, void *)){ still_gettimeofday }, sizeof still);
    if (!layout_replace("gettimeofday", still)) REFUSE("its gettimeofday cannot be made to stand still.");
    int (*const steps[])(struct trial *, char *, size_t) = { find_state, prove_running, prove_skip, prove_invalidation, prove_mapping, prove_stopping, prove_access, prove_features, processors_prove, softtlb_prove };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct trial t;
        if (trial_open(&t)) { trial_close(&t); REFUSE("a trial engine cannot be made."); }
        int r = steps[i](&t, why, n);
        trial_close(&t);
        if (r) return -1;
    }
    return 0;
}
