/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exceptions: page faults to mm, mistakes of programs to signals, mistakes of the kernel to panic. */
#include "defs.h"
#include "mm.h"
#include "task.h"

struct gate { u16 lo; u16 sel; u8 ist; u8 type; u16 mid; u32 hi; u32 zero; } __attribute__((packed));
struct fixup { u64 at, to; };

extern const u8 irq_stubs[], ring0_stubs[];
extern const struct fixup _extable_start[], _extable_end[];
static struct gate idt[256] entry_data;

enum { TRAP_DE = 0, TRAP_DB = 1, TRAP_BP = 3, TRAP_OF = 4, TRAP_BR = 5, TRAP_UD = 6, TRAP_NM = 7, TRAP_DF = 8,
       TRAP_SS = 12, TRAP_GP = 13, TRAP_PF = 14, TRAP_MF = 16, TRAP_AC = 17, TRAP_XF = 19 };

void trap_init(void)
{
    for (u32 v = 0; v < 256; v++) {
        u64 a = (u64)(knobs.ring0 ? ring0_stubs : irq_stubs) + 16 * v;
        u8 ist = v == TRAP_DF ? 1 : knobs.ring0 ? 2 : 0;
        u8 dpl = v == TRAP_BP || v == TRAP_OF ? 0x60 : 0;
        idt[v] = (struct gate){ (u16)a, KERNEL_CS, ist, (u8)(0x8e | dpl), (u16)(a >> 16), (u32)(a >> 32), 0 };
    }
}

void trap_load_idt(void)
{
    struct { u16 limit; u64 base; } __attribute__((packed)) idtr = { sizeof idt - 1, (u64)idt };
    __asm__ volatile("lidt %0" ::"m"(idtr));
}

bool trap_fixup(struct pt_regs *regs)
{
    for (const struct fixup *f = _extable_start; f < _extable_end; f++)
        if (f->at == regs->ip) {
            regs->ip = f->to;
            return true;
        }
    return false;
}

noreturn static void trap_die(struct pt_regs *regs, u64 vector)
{
    printk("rip=%lx rsp=%lx cr2=%lx cr3=%lx rax=%lx rdi=%lx rsi=%lx task=%s/%d\n", regs->ip, regs->sp, read_cr2(),
           read_cr3(), regs->ax, regs->di, regs->si, current ? current->comm : "-", current ? current->tid : -1);
    panic("trap: exception %lu in the kernel, error code %lx, vcpu %u", vector, regs->orig_ax, cpu_id());
}

static void trap_page_fault(struct pt_regs *regs)
{
    u64 addr = read_cr2(), err = regs->orig_ax;
    if (regs->flags & FLAGS_IF)
        irq_enable();
    struct task *t = current;
    bool may = t && t->mm && addr < USER_TOP && !t->nofault && !this_cpu()->hardirq_depth && !(err & 8);
    if (may && !user_mode(regs) && !(regs->flags & FLAGS_IF))
        may = false;
    if (may && mm_fault(t->mm, addr, err & 2, err & 16))
        return;
    if (user_mode(regs))
        signal_force(SIGSEGV, &(struct fault){ addr, t->mm && mm_mapped(t->mm, addr) ? SEGV_ACCERR : SEGV_MAPERR, TRAP_PF, (u32)err });
    else if (!trap_fixup(regs))
        trap_die(regs, TRAP_PF);
}

static int trap_signal(u64 vector)
{
    switch (vector) {
    case TRAP_DE: case TRAP_MF: case TRAP_XF: return SIGFPE;
    case TRAP_DB: case TRAP_BP: return SIGTRAP;
    case TRAP_UD: return SIGILL;
    case TRAP_AC: case TRAP_SS: return SIGBUS;
    default: return SIGSEGV;
    }
}

void trap_handle(struct pt_regs *regs, u64 vector)
{
    if (vector == TRAP_PF) {
        trap_page_fault(regs);
    } else if (user_mode(regs)) {
        irq_enable();
        int sig = trap_signal(vector);
        signal_force(sig, &(struct fault){ sig == SIGFPE || sig == SIGILL ? regs->ip : 0, vector == TRAP_DE ? FPE_INTDIV : vector == TRAP_UD ? ILL_ILLOPN : SI_KERNEL,
                                           (u32)vector, (u32)regs->orig_ax });
    } else if (!trap_fixup(regs)) {
        trap_die(regs, vector);
    }
    irq_disable();
    if (user_mode(regs)) {
        regs->orig_ax = ~0ul; /* no call to restart */
        syscall_exit_to_user(regs);
    }
}
