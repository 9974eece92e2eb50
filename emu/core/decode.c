/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capstone's view of a block turned into what the cost model and the engine need. The only file that includes capstone.h. */
#include "uop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define cs_open  capstone_unused_open     /* capstone.h declares functions of these names; ours are others */
#define cs_regs  capstone_regs
#include <capstone/capstone.h>
#undef cs_open
#undef cs_regs

static csh handles[3];                    /* 64-, 32- and 16-bit */
static cs_insn *scratch;
static struct dop ops[DOP_MAX + 1];
const char *const decode_symbols[] = { "cs_open", "cs_option", "cs_malloc", "cs_disasm_iter", "cs_insn_name", NULL };
static struct {                           /* in that order */
    cs_err (*open)(cs_arch, cs_mode, csh *);
    cs_err (*option)(csh, cs_opt_type, size_t);
    cs_insn *(*malloc)(csh);
    bool (*disasm_iter)(csh, const uint8_t **, size_t *, uint64_t *, cs_insn *);
    const char *(*insn_name)(csh, unsigned);
} capstone;

int decode_open(void *const *addresses) {
    static const cs_mode modes[3] = { CS_MODE_64, CS_MODE_32, CS_MODE_16 };
    if (scratch) return 0;
    memcpy(&capstone, addresses, sizeof capstone);
    for (int i = 0; i < 3; i++)
        if (capstone.open(CS_ARCH_X86, modes[i], &handles[i]) != CS_ERR_OK || capstone.option(handles[i], CS_OPT_DETAIL, CS_OPT_ON) != CS_ERR_OK) return -1;
    scratch = capstone.malloc(handles[0]);
    return scratch ? 0 : -1;
}

/* ---- registers: one number for all widths of a register ---- */
#define GPR(n, a, b, c, d) [X86_REG_##a] = DREG_GPR + n, [X86_REG_##b] = DREG_GPR + n, [X86_REG_##c] = DREG_GPR + n, [X86_REG_##d] = DREG_GPR + n
#define GPRN(n) GPR(n, R##n, R##n##D, R##n##W, R##n##B)
static const uint8_t reg_of[X86_REG_ENDING] = {
    GPR(0, RAX, EAX, AX, AL), [X86_REG_AH] = DREG_GPR + 0, GPR(1, RCX, ECX, CX, CL), [X86_REG_CH] = DREG_GPR + 1,
    GPR(2, RDX, EDX, DX, DL), [X86_REG_DH] = DREG_GPR + 2, GPR(3, RBX, EBX, BX, BL), [X86_REG_BH] = DREG_GPR + 3,
    GPR(4, RSP, ESP, SP, SPL), GPR(5, RBP, EBP, BP, BPL), GPR(6, RSI, ESI, SI, SIL), GPR(7, RDI, EDI, DI, DIL),
    GPRN(8), GPRN(9), GPRN(10), GPRN(11), GPRN(12), GPRN(13), GPRN(14), GPRN(15), [X86_REG_EFLAGS] = DREG_FLAGS };
enum { DREG_RSP = DREG_GPR + 4, DREG_RBP };

static uint8_t reg_number(unsigned r) {
    if (r == X86_REG_INVALID || r == X86_REG_RIP || r == X86_REG_EIP || r == X86_REG_EIZ || r == X86_REG_RIZ) return DREG_NONE;
    if (r >= X86_REG_XMM0 && r <= X86_REG_XMM31) return (uint8_t)(DREG_VEC + (r - X86_REG_XMM0));
    if (r >= X86_REG_YMM0 && r <= X86_REG_YMM31) return (uint8_t)(DREG_VEC + (r - X86_REG_YMM0));
    if (r >= X86_REG_MM0 && r <= X86_REG_MM7) return (uint8_t)(DREG_MM + (r - X86_REG_MM0));
    if (r >= X86_REG_ENDING) return DREG_OTHER;
    return reg_of[r] ? reg_of[r] : DREG_OTHER;
}
static bool is_gpr(unsigned r) { uint8_t n = reg_number(r); return n >= DREG_GPR && n < DREG_CARRY; }

static void list_add(uint8_t *list, uint8_t *n, uint8_t max, uint8_t r) {
    if (r == DREG_NONE || r == DREG_OTHER) return;
    for (int i = 0; i < *n; i++) if (list[i] == r) return;
    if (*n < max) list[(*n)++] = r;
}

/* ---- the form's name, as emu/uarch/<name>.csv spells it: "add r64,m64" ---- */
static void operand_class(const cs_x86_op *o, bool shift_count, bool any_width, char *to, size_t n) {
    unsigned bits = o->size * 8u;
    if (o->type == X86_OP_IMM) snprintf(to, n, "i");
    else if (o->type == X86_OP_MEM) snprintf(to, n, "m%u", any_width && bits < 64 ? 64 : bits);
    else if (shift_count && o->reg == X86_REG_CL) snprintf(to, n, "cl");
    else if (is_gpr(o->reg)) snprintf(to, n, "r%u", any_width ? 64 : bits);
    else if (o->reg >= X86_REG_XMM0 && o->reg <= X86_REG_XMM31) snprintf(to, n, "x");
    else if (o->reg >= X86_REG_YMM0 && o->reg <= X86_REG_YMM31) snprintf(to, n, "y");
    else if (o->reg >= X86_REG_MM0 && o->reg <= X86_REG_MM7) snprintf(to, n, "mm");
    else if (o->reg >= X86_REG_CR0 && o->reg <= X86_REG_CR15) snprintf(to, n, "cr");
    else if (o->reg >= X86_REG_DR0 && o->reg <= X86_REG_DR15) snprintf(to, n, "dr");
    else snprintf(to, n, "o");
}

static const char *lea_class(const cs_x86_op *m, bool has_disp) {   /* Skylake: three parts (as encoded) go to port 1 and take 3 cycles; RIP-relative goes there too */
    if (m->mem.base == X86_REG_RIP) return "rip";
    bool base = m->mem.base != X86_REG_INVALID, index = m->mem.index != X86_REG_INVALID;
    return base && index && has_disp ? "3" : "2";
}

static const struct form *find_form(const struct uarch *u, csh h, const cs_insn *in) {
    const cs_x86 *x = &in->detail->x86;
    const char *base = capstone.insn_name(h, in->id);
    if (!base) return NULL;
    bool two_mem = x->op_count == 2 && x->operands[0].type == X86_OP_MEM && x->operands[1].type == X86_OP_MEM;
    char name[24], key[96];
    snprintf(name, sizeof name, "%s%s", base, two_mem && (in->id == X86_INS_MOVSD || in->id == X86_INS_CMPSD) ? "_string" : "");
    if (in->id == X86_INS_LEA && x->op_count == 2) {
        snprintf(key, sizeof key, "lea r%u,%s", x->operands[0].size * 8u, lea_class(&x->operands[1], x->encoding.disp_offset));
        return uarch_form(u, key);
    }
    bool shift = in->id == X86_INS_SHL || in->id == X86_INS_SAL || in->id == X86_INS_SHR || in->id == X86_INS_SAR || in->id == X86_INS_ROL || in->id == X86_INS_ROR
        || in->id == X86_INS_RCL || in->id == X86_INS_RCR || in->id == X86_INS_SHLD || in->id == X86_INS_SHRD;
    for (int any = 0; any < 2; any++) {
        size_t at = (size_t)snprintf(key, sizeof key, "%s", name);
        for (int i = 0; i < x->op_count && at < sizeof key - 16; i++) {
            char c[12];
            operand_class(&x->operands[i], shift && i, any, c, sizeof c);
            at += (size_t)snprintf(key + at, sizeof key - at, "%c%s", i ? ',' : ' ', c);
        }
        const struct form *f = uarch_form(u, key);
        if (f || !x->op_count) return f;
    }
    return uarch_form(u, name);
}

/* ---- what serialises, by row ---- */
static int serial_row(const cs_insn *in) {
    const cs_x86 *x = &in->detail->x86;
    switch (in->id) {
    case X86_INS_SYSCALL: case X86_INS_SYSENTER: return UA_syscall;
    case X86_INS_SYSRET: case X86_INS_SYSRETQ: case X86_INS_SYSEXIT: case X86_INS_SYSEXITQ: return UA_sysret;
    case X86_INS_IRET: case X86_INS_IRETD: case X86_INS_IRETQ: return UA_iret;
    case X86_INS_SWAPGS: return UA_swapgs;
    case X86_INS_RDMSR: return UA_rdmsr;
    case X86_INS_WRMSR: return UA_wrmsr;
    case X86_INS_INVLPG: return UA_invlpg;
    case X86_INS_CPUID: return UA_cpuid;
    case X86_INS_MFENCE: return UA_mfence;
    case X86_INS_LFENCE: return UA_lfence;
    case X86_INS_PAUSE: return UA_pause;
    case X86_INS_RDTSC: case X86_INS_RDTSCP: return UA_rdtsc;
    case X86_INS_STI: return UA_sti;
    case X86_INS_CLI: return UA_cli;
    case X86_INS_HLT: return UA_hlt_enter;
    case X86_INS_IN: case X86_INS_OUT: case X86_INS_INSB: case X86_INS_INSW: case X86_INS_INSD: case X86_INS_OUTSB: case X86_INS_OUTSW: case X86_INS_OUTSD: return UA_pio_issue;
    case X86_INS_INT: case X86_INS_INT1: case X86_INS_INT3: return UA_int_n;
    case X86_INS_LJMP: case X86_INS_LCALL: case X86_INS_RETF: case X86_INS_RETFQ: return UA_far_transfer;
    case X86_INS_LTR: return UA_ltr;
    case X86_INS_WBINVD: case X86_INS_INVD: return UA_wbinvd;
    case X86_INS_MOV:
        if (x->op_count == 2 && x->operands[0].type == X86_OP_REG && x->operands[0].reg >= X86_REG_CR0 && x->operands[0].reg <= X86_REG_CR15)
            return x->operands[0].reg == X86_REG_CR3 ? UA_cr3_write : UA_cr_write;
    }
    return -1;
}

static int rep_string(const cs_insn *in) {      /* 1: moves or stores (by line), 2: compares or scans (by element) */
    uint8_t p = in->detail->x86.prefix[0];
    if (p != X86_PREFIX_REP && p != X86_PREFIX_REPNE) return 0;
    switch (in->id) {
    case X86_INS_MOVSB: case X86_INS_MOVSW: case X86_INS_MOVSQ: case X86_INS_STOSB: case X86_INS_STOSW: case X86_INS_STOSD: case X86_INS_STOSQ:
    case X86_INS_LODSB: case X86_INS_LODSW: case X86_INS_LODSD: case X86_INS_LODSQ: return 1;
    case X86_INS_CMPSB: case X86_INS_CMPSW: case X86_INS_CMPSQ: case X86_INS_SCASB: case X86_INS_SCASW: case X86_INS_SCASD: case X86_INS_SCASQ: return 2;
    case X86_INS_MOVSD: case X86_INS_CMPSD: {   /* string or SSE2 */
        const cs_x86 *x = &in->detail->x86;
        if (x->op_count != 2 || x->operands[0].type != X86_OP_MEM || x->operands[1].type != X86_OP_MEM) return 0;
        return in->id == X86_INS_MOVSD ? 1 : 2; }
    }
    return 0;
}

static uint8_t idiom(const cs_insn *in) {
    const cs_x86 *x = &in->detail->x86;
    if (x->op_count < 2 || x->operands[0].type != X86_OP_REG || x->operands[1].type != X86_OP_REG) return DOP_PLAIN;
    bool same = x->operands[x->op_count - 1].type == X86_OP_REG && x->operands[x->op_count - 1].reg == x->operands[x->op_count - 2].reg;
    if (same && x->op_count == 2 && x->operands[0].reg == x->operands[1].reg && in->id != X86_INS_XOR && in->id != X86_INS_SUB
        && (in->id == X86_INS_MOV || in->id == X86_INS_MOVZX)) return DOP_PLAIN;      /* a register moved to itself is not eliminated */
    switch (in->id) {
    case X86_INS_XOR: case X86_INS_SUB: return same && x->operands[0].size >= 4 ? DOP_ZERO : DOP_PLAIN;
    case X86_INS_PXOR: case X86_INS_XORPS: case X86_INS_XORPD: case X86_INS_PSUBB: case X86_INS_PSUBW: case X86_INS_PSUBD: case X86_INS_PSUBQ:
    case X86_INS_PCMPGTB: case X86_INS_PCMPGTW: case X86_INS_PCMPGTD: case X86_INS_VPXOR: case X86_INS_VXORPS: case X86_INS_VXORPD:
    case X86_INS_VPSUBB: case X86_INS_VPSUBW: case X86_INS_VPSUBD: case X86_INS_VPSUBQ: return same ? DOP_ZERO : DOP_PLAIN;
    case X86_INS_MOV: return x->operands[0].size >= 4 && is_gpr(x->operands[0].reg) && is_gpr(x->operands[1].reg) ? DOP_MOVE : DOP_PLAIN;
    case X86_INS_MOVZX: return x->operands[0].size >= 4 && x->operands[1].size == 1 && x->operands[1].reg != X86_REG_AH && x->operands[1].reg != X86_REG_BH
        && x->operands[1].reg != X86_REG_CH && x->operands[1].reg != X86_REG_DH && reg_number(x->operands[0].reg) != reg_number(x->operands[1].reg) ? DOP_MOVE : DOP_PLAIN;
    case X86_INS_MOVAPS: case X86_INS_MOVAPD: case X86_INS_MOVUPS: case X86_INS_MOVUPD: case X86_INS_MOVDQA: case X86_INS_MOVDQU:
    case X86_INS_VMOVAPS: case X86_INS_VMOVAPD: case X86_INS_VMOVUPS: case X86_INS_VMOVUPD: case X86_INS_VMOVDQA: case X86_INS_VMOVDQU: return DOP_MOVE;
    }
    return DOP_PLAIN;
}

/* Rows whose instructions wait for everything before them (Intel SDM volume 3, serialising instructions; LFENCE and the like by their definition). */
static bool drains(int row) {
    switch (row) {
    case UA_pause: case UA_rdtsc: case UA_sti: case UA_cli: case UA_swapgs: case UA_rdmsr: return false;
    }
    return true;
}

static bool has_group(const cs_insn *in, uint8_t g) {
    for (int i = 0; i < in->detail->groups_count; i++) if (in->detail->groups[i] == g) return true;
    return false;
}

/* Destinations that are also inputs: a CMOV may keep it, scalar conversions keep the upper half, and these bit scans wait for their old value. */
static bool reads_destination(const cs_insn *in) {
    switch (in->id) {
    case X86_INS_BSF: case X86_INS_BSR: case X86_INS_POPCNT: case X86_INS_CVTSI2SD: case X86_INS_CVTSI2SS: case X86_INS_CVTSS2SD: case X86_INS_CVTSD2SS:
    case X86_INS_SQRTSS: case X86_INS_SQRTSD: case X86_INS_RCPSS: case X86_INS_RSQRTSS: case X86_INS_ROUNDSS: case X86_INS_ROUNDSD: return true;
    }
    return has_group(in, X86_GRP_CMOV);
}

#define FLAG_BITS(f) (X86_EFLAGS_MODIFY_##f | X86_EFLAGS_UNDEFINED_##f)
static const uint64_t carry_written = FLAG_BITS(CF) | X86_EFLAGS_RESET_CF | X86_EFLAGS_SET_CF,
    others_written = FLAG_BITS(OF) | FLAG_BITS(SF) | FLAG_BITS(ZF) | FLAG_BITS(AF) | FLAG_BITS(PF) | X86_EFLAGS_RESET_OF | X86_EFLAGS_RESET_SF | X86_EFLAGS_RESET_AF
        | X86_EFLAGS_RESET_PF | X86_EFLAGS_RESET_ZF,
    others_read = X86_EFLAGS_TEST_OF | X86_EFLAGS_TEST_SF | X86_EFLAGS_TEST_ZF | X86_EFLAGS_TEST_PF | X86_EFLAGS_TEST_AF;

/* Carry apart from the other flags: INC keeps it, ADC waits for it alone. */
static void list_add_flags(uint8_t *list, uint8_t *n, bool carry, bool others) {
    if (carry || !others) list_add(list, n, DOP_REGS, DREG_CARRY);
    if (others || !carry) list_add(list, n, DOP_REGS, DREG_FLAGS);
}

/* Dependency-breaking, but it does use a port: all ones. */
static bool breaks_dependency(const cs_insn *in) {
    const cs_x86 *x = &in->detail->x86;
    if (x->op_count < 2 || x->operands[x->op_count - 1].type != X86_OP_REG || x->operands[x->op_count - 2].type != X86_OP_REG
        || x->operands[x->op_count - 1].reg != x->operands[x->op_count - 2].reg) return false;
    switch (in->id) {
    case X86_INS_PCMPEQB: case X86_INS_PCMPEQW: case X86_INS_PCMPEQD: case X86_INS_PCMPEQQ:
    case X86_INS_VPCMPEQB: case X86_INS_VPCMPEQW: case X86_INS_VPCMPEQD: case X86_INS_VPCMPEQQ: return true;
    }
    return false;
}

static bool shift_by_cl(const cs_insn *in) {
    const cs_x86 *x = &in->detail->x86;
    return x->op_count == 2 && x->operands[1].type == X86_OP_REG && x->operands[1].reg == X86_REG_CL && x->operands[0].type == X86_OP_REG
        && (in->id == X86_INS_SHL || in->id == X86_INS_SAL || in->id == X86_INS_SHR || in->id == X86_INS_SAR || in->id == X86_INS_ROL || in->id == X86_INS_ROR);
}

static void data_flow(const cs_insn *in, struct dop *d) {
    const cs_detail *t = in->detail; const cs_x86 *x = &t->x86;
    bool stack = in->id == X86_INS_PUSH || in->id == X86_INS_POP || in->id == X86_INS_CALL || in->id == X86_INS_RET;    /* RSP: the stack engine */
    bool rmw_width = x->op_count && x->operands[0].type == X86_OP_REG && is_gpr(x->operands[0].reg) && x->operands[0].size < 4;
    d->load = in->id == X86_INS_POP || in->id == X86_INS_RET;
    bool independent = d->kind == DOP_ZERO || breaks_dependency(in);
    d->stack = stack;
    d->by_cl = shift_by_cl(in);
    d->bytes = d->load ? 8 : 0;
    for (int i = 0; i < t->regs_read_count; i++) {
        uint8_t r = reg_number(t->regs_read[i]);
        if (independent || (stack && r == DREG_RSP)) continue;
        if (r == DREG_FLAGS) list_add_flags(d->reads, &d->nreads, x->eflags & X86_EFLAGS_TEST_CF, x->eflags & others_read);
        else list_add(d->reads, &d->nreads, DOP_REGS, r);
    }
    for (int i = 0; i < t->regs_write_count; i++) {
        uint8_t r = reg_number(t->regs_write[i]);
        if (stack && r == DREG_RSP) continue;
        if (r == DREG_GPR && (in->id == X86_INS_CWD || in->id == X86_INS_CDQ || in->id == X86_INS_CQO)) continue;      /* RDX is what they write */
        if (r == DREG_FLAGS) list_add_flags(d->writes, &d->nwrites, x->eflags & carry_written, x->eflags & others_written);
        else list_add(d->writes, &d->nwrites, DOP_REGS, r);
    }
    for (int i = 0; i < x->op_count; i++) {
        const cs_x86_op *o = &x->operands[i];
        if (o->type == X86_OP_REG) {
            uint8_t r = reg_number(o->reg), access = o->access;
            d->stack_read |= r == DREG_RSP;
            if (!access) access = i ? CS_AC_READ : CS_AC_READ | CS_AC_WRITE;
            if (!i && (rmw_width || reads_destination(in)) && !(access & CS_AC_READ)) d->merged = r;
            if ((access & CS_AC_READ || (!i && (rmw_width || reads_destination(in)))) && !independent) list_add(d->reads, &d->nreads, DOP_REGS, r);
            if (access & CS_AC_WRITE) list_add(d->writes, &d->nwrites, DOP_REGS, r);
        } else if (o->type == X86_OP_MEM) {
            uint8_t b = reg_number(o->mem.base), k = reg_number(o->mem.index);
            if (in->id == X86_INS_NOP) continue;
            d->addr[0] = d->addr[1] = DREG_NONE; d->naddr = 2;
            if (b != DREG_OTHER) d->addr[0] = b;
            if (k != DREG_OTHER) d->addr[1] = k;
            d->stack_read |= b == DREG_RSP;
            d->bytes = o->size;
            d->segment = (uint8_t)o->mem.segment; d->scale = (uint8_t)o->mem.scale;
            d->disp = o->mem.base == X86_REG_RIP ? o->mem.disp + (int64_t)in->address + in->size : o->mem.disp;
            if (in->id == X86_INS_LEA || has_group(in, X86_GRP_INVALID)) continue;
            uint8_t access = o->access ? o->access : CS_AC_READ;
            d->load |= !!(access & CS_AC_READ); d->store |= !!(access & CS_AC_WRITE);
        }
    }
    if (in->id == X86_INS_PUSH || in->id == X86_INS_CALL) { d->store = true; d->bytes = 8; }
    if (in->id == X86_INS_MOVAPS || in->id == X86_INS_MOVSS || in->id == X86_INS_MOVSD || in->id == X86_INS_MOVUPS)
        d->load = d->store ? false : d->load;
}

/* ---- how pairs fuse: a compare and the conditional branch behind it are one micro-op ---- */
enum fuse { FUSE_NEVER, FUSE_ANY /* TEST, AND */, FUSE_CARRY /* CMP, ADD, SUB */, FUSE_ORDER /* INC, DEC: they leave the carry flag alone */ };

static uint8_t fuse_class(const cs_insn *in) {
    const cs_x86 *x = &in->detail->x86;
    bool memory = x->op_count && x->operands[0].type == X86_OP_MEM;
    if (memory && x->op_count == 2 && x->operands[1].type == X86_OP_IMM) return FUSE_NEVER;
    switch (in->id) {
    case X86_INS_TEST: return FUSE_ANY;
    case X86_INS_CMP: return FUSE_CARRY;
    case X86_INS_AND: return memory ? FUSE_NEVER : FUSE_ANY;
    case X86_INS_ADD: case X86_INS_SUB: return memory ? FUSE_NEVER : FUSE_CARRY;
    case X86_INS_INC: case X86_INS_DEC: return memory ? FUSE_NEVER : FUSE_ORDER;
    }
    return FUSE_NEVER;
}

static bool fuses(uint8_t class, unsigned jump) {
    switch (jump) {
    case X86_INS_JB: case X86_INS_JAE: case X86_INS_JA: case X86_INS_JBE: return class == FUSE_ANY || class == FUSE_CARRY;
    case X86_INS_JE: case X86_INS_JNE: case X86_INS_JL: case X86_INS_JGE: case X86_INS_JLE: case X86_INS_JG: return class != FUSE_NEVER;
    case X86_INS_JS: case X86_INS_JNS: case X86_INS_JO: case X86_INS_JNO: case X86_INS_JP: case X86_INS_JNP: return class == FUSE_ANY;
    }
    return false;
}

static uint32_t how_it_ends(const cs_insn *in) {
    bool direct = in->detail->x86.op_count && in->detail->x86.operands[0].type == X86_OP_IMM;
    switch (in->id) {
    case X86_INS_CALL: return BLK_CALL | (direct ? 0 : BLK_INDIRECT);
    case X86_INS_RET: return BLK_RET;
    case X86_INS_JMP: return direct ? BLK_JUMP : BLK_INDIRECT;
    case X86_INS_IRET: case X86_INS_IRETD: case X86_INS_IRETQ: return BLK_IRET;
    case X86_INS_LJMP: case X86_INS_LCALL: case X86_INS_RETF: case X86_INS_RETFQ: return 0;       /* far: not predicted, they serialise */
    case X86_INS_LOOP: case X86_INS_LOOPE: case X86_INS_LOOPNE: return BLK_COND;
    }
    return has_group(in, X86_GRP_JUMP) ? BLK_COND : 0;
}

/* Moves RSP somewhere else: a switch to another stack, perhaps. */
static bool sets_stack(const cs_insn *in) {
    const cs_x86 *x = &in->detail->x86;
    if (!x->op_count) return false;
    const cs_x86_op *to = &x->operands[0], *from = &x->operands[x->op_count - 1];
    bool into = to->type == X86_OP_REG && reg_number(to->reg) == DREG_RSP, out = from->type == X86_OP_REG && reg_number(from->reg) == DREG_RSP;
    switch (in->id) {
    case X86_INS_XCHG: return into || out;
    case X86_INS_PUSH: case X86_INS_CMP: case X86_INS_TEST: case X86_INS_ADD: case X86_INS_SUB: case X86_INS_AND: case X86_INS_INC: case X86_INS_DEC: return false;
    case X86_INS_LEA: return into && reg_number(from->mem.base) != DREG_RSP && reg_number(from->mem.base) != DREG_RBP;
    }
    return into && (to->access & CS_AC_WRITE || in->id == X86_INS_POP);
}

static bool high_byte(unsigned r) { return r == X86_REG_AH || r == X86_REG_BH || r == X86_REG_CH || r == X86_REG_DH; }

static uint8_t effect_of(const cs_insn *in) {
    switch (in->id) {
    case X86_INS_MOV: case X86_INS_MOVABS: case X86_INS_MOVZX: case X86_INS_PUSH: case X86_INS_POP: return EFFECT_MOVE;
    case X86_INS_MOVSX: case X86_INS_MOVSXD: return EFFECT_SIGN;
    case X86_INS_LEA: return EFFECT_LEA;
    case X86_INS_ADD: case X86_INS_INC: return EFFECT_ADD;
    case X86_INS_SUB: case X86_INS_DEC: return EFFECT_SUB;
    case X86_INS_AND: return EFFECT_AND;
    case X86_INS_OR: return EFFECT_OR;
    case X86_INS_XOR: return EFFECT_XOR;
    case X86_INS_SHL: case X86_INS_SAL: return EFFECT_SHL;
    case X86_INS_SHR: return EFFECT_SHR;
    case X86_INS_SAR: return EFFECT_SAR;
    case X86_INS_IMUL: return in->detail->x86.op_count > 1 ? EFFECT_IMUL : EFFECT_NONE;
    case X86_INS_NEG: return EFFECT_NEG;
    case X86_INS_NOT: return EFFECT_NOT;
    }
    return has_group(in, X86_GRP_CMOV) ? EFFECT_CHOOSE : EFFECT_NONE;
}

/* What it does to its first operand, where general registers, memory and numbers are all there is. */
static void effect(const cs_insn *in, struct dop *d) {
    const cs_x86 *x = &in->detail->x86;
    const cs_x86_op *to = &x->operands[0], *from = &x->operands[x->op_count > 1 ? 1 : 0];
    uint8_t kind = effect_of(in);
    bool push = in->id == X86_INS_PUSH;
    if (!kind || !x->op_count) return;
    for (int i = 0; i < x->op_count; i++)
        if (x->operands[i].type == X86_OP_REG && (!is_gpr(x->operands[i].reg) || high_byte(x->operands[i].reg))) return;
    if (push && to->type == X86_OP_MEM) return;
    d->effect = d->kind == DOP_ZERO ? EFFECT_ZERO : kind;
    d->effect_bytes = push ? 8 : to->size;
    d->effect_to = !push && to->type == X86_OP_REG ? reg_number(to->reg) : DREG_NONE;
    if (x->op_count == 3) { d->effect_left = from->type == X86_OP_REG ? reg_number(from->reg) : DREG_NONE; from = &x->operands[2]; }
    if (x->op_count == 3 && !d->effect_left) { d->effect = EFFECT_NONE; return; }
    d->effect_from_bytes = from->type == X86_OP_IMM ? d->effect_bytes : from->size;
    if (in->id == X86_INS_INC || in->id == X86_INS_DEC) { d->effect_value = 1; d->effect_from_bytes = 1; }
    else if (in->id == X86_INS_POP) { d->effect_from_memory = true; d->effect_from_bytes = 8; }
    else if (from->type == X86_OP_IMM) d->effect_value = from->imm;
    else if (from->type == X86_OP_MEM) d->effect_from_memory = in->id != X86_INS_LEA;
    else d->effect_from = reg_number(from->reg);
    if (kind >= EFFECT_SHL && kind <= EFFECT_SAR && x->op_count == 1) d->effect = EFFECT_NONE;     /* by one, spelled otherwise */
}

/* Micro-fused pairs that part at issue because their address has an index: those that also have a destination of their own (three inputs would
 * be one too many). Haswell and later keep the pairs whose destination is also a source, and plain stores. (Fog; Intel's optimisation manual.) */
static uint8_t unlaminated(const cs_insn *in, const struct dop *d) {
    const cs_x86 *x = &in->detail->x86;
    if (!d->form || d->naddr < 2 || d->addr[1] == DREG_NONE || !d->load) return 0;
    uint32_t unfused = 0;
    for (int s = 0; s < d->form->nsets; s++) unfused += d->form->set[s].n16 / 16;
    if (unfused <= d->form->uops16 / 16u) return 0;
    if (d->store) return 1;
    const cs_x86_op *o = &x->operands[0];
    bool reads_it = o->type == X86_OP_REG && o->access & CS_AC_READ && o->access & CS_AC_WRITE;
    return x->op_count > 2 || !reads_it ? 1 : 0;
}

static void decode_one(const struct uarch *u, csh h, const cs_insn *in, struct dop *d, struct block *out) {
    const cs_x86 *x = &in->detail->x86;
    int row = serial_row(in), rep = rep_string(in);
    d->length = (uint8_t)in->size;
    d->kind = row >= 0 ? DOP_SERIAL : rep ? DOP_REP : in->id == X86_INS_NOP || in->id == X86_INS_ENDBR64 || in->id == X86_INS_ENDBR32 ? DOP_NOP : idiom(in);
    data_flow(in, d);
    effect(in, d);
    d->opcode = x->encoding.modrm_offset ? (uint8_t)(x->encoding.modrm_offset - 1) : 0;
    d->branch = how_it_ends(in) != 0;
    if (sets_stack(in)) out->flags |= BLK_STACK;
    d->drains = row >= 0 && drains(row);
    d->lcp = x->prefix[2] && x->encoding.imm_size == 2;
    bool mem0 = x->op_count && x->operands[0].type == X86_OP_MEM;
    if (x->prefix[0] == X86_PREFIX_LOCK || (in->id == X86_INS_XCHG && (mem0 || (x->op_count == 2 && x->operands[1].type == X86_OP_MEM)))) {
        out->flags |= BLK_LOCKED;
        d->kind = DOP_SERIAL; row = UA_lock;
        d->locked = true;
    }
    d->row = (int16_t)row;
    if (row == UA_cr3_write) out->flags |= BLK_CR3;
    if (row == UA_cr_write || row == UA_invlpg) out->flags |= BLK_TRANSLATION;
    if (row == UA_pio_issue) out->port_io = true;
    if (rep) {
        out->flags |= BLK_REP;
        out->rep_bytes = rep == 1 ? x->operands[0].type == X86_OP_MEM ? x->operands[0].size : x->operands[x->op_count - 1].size : 0;
        if (rep == 2 && u) d->serial16 = (uint32_t)u->row[UA_rep_scan16];
    }
    if (!u || !u->have_rows) return;
    if (row >= 0) d->serial16 = 16 * (uint32_t)u->row[row];
    if (d->kind == DOP_SERIAL || d->kind == DOP_REP) return;
    d->form = find_form(u, h, in);
    d->uncosted = !d->form && d->kind == DOP_PLAIN;
    d->unlaminated = unlaminated(in, d);
}

/* Decodes up to DOP_MAX instructions; what Capstone does not know is one instruction of unknown form to the block's end. */
static uint32_t decode_all(const struct uarch *u, const uint8_t *code, uint32_t size, struct block *out) {
    csh h = handles[out->flags & BLK_CODE32 ? 1 : out->flags & BLK_CODE16 ? 2 : 0];
    const uint8_t *at = code; size_t left = size; uint64_t address = 0; uint32_t n = 0, ends = 0; uint8_t class = FUSE_NEVER;
    while (left && n < DOP_MAX) {
        struct dop *d = &ops[n];
        memset(d, 0, sizeof *d);
        if (!capstone.disasm_iter(h, &at, &left, &address, scratch)) {
            d->length = (uint8_t)(left > 255 ? 255 : left); d->uncosted = true; d->row = -1; n++;
            break;
        }
        decode_one(u, h, scratch, d, out);
        ends = how_it_ends(scratch);
        if (n && ends == BLK_COND && ops[n - 1].kind == DOP_PLAIN) ops[n - 1].fused = fuses(class, scratch->id);
        class = fuse_class(scratch);
        d->fusible = class != FUSE_NEVER;
        n++;
    }
    out->flags |= ends;
    return n;
}

/* The block's cost spread over its instructions: what serialises where it stands, the rest evenly. */
static int fill_marks(struct block *out, uint32_t n, uint32_t bytes, uint32_t smooth16) {
    out->marks = malloc((n ? n : 1) * sizeof *out->marks);
    if (!out->marks) return -1;
    uint32_t offset = 0, serial16 = 0;
    for (uint32_t i = 0; i < n; i++) {
        serial16 += ops[i].serial16;
        uint32_t sum = serial16 + smooth16 * (i + 1) / n;
        out->marks[i].offset = (uint16_t)offset;
        out->marks[i].cost16 = (uint16_t)(sum > UINT16_MAX ? UINT16_MAX : sum);
        offset += i + 1 < n ? ops[i].length : bytes - offset;
    }
    return 0;
}

static int fill_rows(struct block *out, uint32_t n) {
    uint16_t rows = 0;
    for (uint32_t i = 0; i < n; i++) rows += ops[i].row >= 0;
    if (!rows) return 0;
    out->rows = malloc(rows * sizeof *out->rows);
    if (!out->rows) return -1;
    for (uint32_t i = 0; i < n; i++)
        if (ops[i].row >= 0) out->rows[out->nrows++] = (struct own_row){ (uint16_t)i, (uint8_t)(ops[i].row - EVENT_FIRST) };
    return 0;
}

int decode_block(struct machine *m, const uint8_t *code, uint32_t size, struct block *out) {
    if (!scratch) return world_fail(m->world, "cs_open has not been called");
    const struct uarch *u = m->uarch;
    uint32_t n = decode_all(u, code, size, out), uncosted = 0;
    struct block_cost c = { 16 * n, 0, 16 * n, 0 };          /* no table: one cycle an instruction */
    if (u && u->have_rows) block_cost(u, ops, n, size, out->flags & BLK_REP, &c);
    for (uint32_t i = 0; i < n; i++) uncosted += ops[i].uncosted;
    out->ninsn = (uint16_t)n; out->uncosted = (uint16_t)uncosted;
    out->cost16 = c.cost16; out->serial16 = c.serial16; out->retire16 = c.retire16;
    out->load_hidden = (uint8_t)(c.load_hidden > UINT8_MAX ? UINT8_MAX : c.load_hidden);
    if (fill_marks(out, n, size, c.cost16 - c.serial16) || fill_rows(out, n)) return world_fail(m->world, "out of memory for a block of %u instructions", n);
    return 0;
}

int decode_uops(struct machine *m, const uint8_t *code, uint32_t size, uint32_t flags, uint64_t va, struct uops *out, struct dop **decoded) {
    struct block b = { .flags = flags };
    const struct uarch *u = m->uarch;
    if (!u || !u->have_rows) return world_fail(m->world, "micro-ops: machine %d has no processor table", m->index);
    uint32_t n = decode_all(u, code, size, &b);
    if (uops_make(u, ops, n, va, out)) return world_fail(m->world, "out of memory for a block of %u instructions", n);
    if (decoded) *decoded = ops;
    return 0;
}

int cs_block_cost(cs_world *w, int machine, const uint8_t *code, uint32_t n, uint32_t *cost16, uint32_t *ninsn, uint32_t *uncosted) {
    if (!w || machine < 0 || machine >= w->nmachines) return world_fail(w, "block cost: there is no machine %d", machine);
    if (n > 4096) return world_fail(w, "block cost: %u bytes are more than a block can hold", n);
    struct block b = { 0 };
    if (decode_block(w->machine[machine], code, n, &b)) return -1;
    *cost16 = b.cost16; *ninsn = b.ninsn; *uncosted = b.uncosted;
    free(b.marks);
    free(b.rows);
    return 0;
}
