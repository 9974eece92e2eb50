/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGSEGV, on a stack of its own for each thread, which the next one would overwrite: what is known goes to the stack of whoever faulted
 * (struct fault_frame), and the signal returns to fault_resume there. Programs are compiled without a red zone.
 */
#include "fault.h"
#include "context.h"
#include "hosted.h"
#include "runtime.h"
#include "window.h"

#define SIGSEGV 11
#define SA_SIGINFO 4ul
#define SA_ONSTACK 0x08000000ul
#define SA_RESTORER 0x04000000ul
#define PAGE_FAULT 14           /* of the processor, in `trap`; in `error` bit 1 says that a write was tried */
#define SIGNAL_STACK 16384ul

struct fault_machine;

/* Of the x86-64 system call interface. */
struct fault_action {
    void (*handler)(int, const uint8_t *, struct fault_machine *);
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};

struct fault_stack {
    void *memory;
    int32_t flags, pad;
    uint64_t size;
};

struct fault_machine {          /* struct ucontext, as far as we look */
    uint64_t flags, link;
    struct fault_stack stack;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, rflags;
    uint64_t segments, error, trap, oldmask, address;
};

void fault_signal_return(void);     /* fault_return.S */

static uint8_t fault_stacks[LIBOS_MAX_CPUS][SIGNAL_STACK] __attribute__((aligned(64)));

static void fault_signal(int signal, const uint8_t *info, struct fault_machine *machine)
{
    uint64_t address = *(const uint64_t *)(info + 16);      /* si_addr */

    (void)signal;
    if (address - WINDOW_STACKS < WINDOW_SIZE)
        panic("context: the stack of %u bytes that ends at %lx is exhausted, at %lx, vCPU %u", CONTEXT_STACK,
              (address | (WINDOW_STACK - 1)) + 1, machine->ip, cpu_id());
    if (address - WINDOW_SHARED >= WINDOW_SIZE || machine->trap != PAGE_FAULT)
        panic("signal 11 at %lx, address %lx, vCPU %u", machine->ip, address, cpu_id());

    struct fault_frame *frame = (struct fault_frame *)machine->sp - 1;

    *frame = (struct fault_frame){
        .address = address,
        .kind = machine->error & 2 ? FAULT_WRITE : FAULT_READ,
        .flags = machine->rflags,
        .ip = machine->ip,
    };
    machine->sp = (uint64_t)frame;
    machine->ip = (uint64_t)fault_resume;
}

void fault_begin(void)
{
    struct fault_stack stack = { .memory = fault_stacks[cpu_id()], .size = SIGNAL_STACK };
    struct fault_action action = { fault_signal, SA_SIGINFO | SA_ONSTACK | SA_RESTORER, fault_signal_return, 0 };

    if (rt_syscall(RT_NR_SIGALTSTACK, (long)&stack, 0, 0, 0, 0, 0) != 0 ||
        rt_syscall(RT_NR_RT_SIGACTION, SIGSEGV, (long)&action, 0, sizeof(action.mask), 0, 0) != 0)
        panic("libos: this system has no signal handlers on stacks of their own");
}
