/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What Unicorn calls, once for a machine's engine (engine.c); the vCPU that it is about is `executing`.
 *
 * Rules that keep this honest: the running block is closed before anything looks at the clock or changes the flow; no Python
 * frame ever lies between a hook and Unicorn's longjmp (callbacks return first, then exceptions are delivered); RIP in env is right
 * at block starts, in INTR, SYSCALL and clock hooks, and in port hooks of blocks marked port_io; in MMIO callbacks it is restored.
 */
#ifndef CS_HOOKS_H
#define CS_HOOKS_H
#include "machine.h"

/* blockhook.c: translations and accesses */
void on_block(uc_engine *, uint64_t va, uint32_t size, void *group);
void on_memory(uc_engine *, uc_mem_type, uint64_t gpa, int size, int64_t value, void *);
void stop_here(struct vcpu *);                         /* executes no further block */
/* instructions.c: what Unicorn leaves undone */
void on_exception(uc_engine *, uint32_t number, void *);
bool on_invalid(uc_engine *, void *);
void on_syscall(uc_engine *, void *);
void on_sysenter(uc_engine *, void *);
int on_rdtsc(uc_engine *, void *);
int on_rdtscp(uc_engine *, void *);
int on_cpuid(uc_engine *, void *);
uint32_t on_in(uc_engine *, uint32_t port, int size, void *);
void on_out(uc_engine *, uint32_t port, int size, uint32_t value, void *);

static inline bool user_mode(const struct vcpu *v) { return (env_of(v)->hflags & HF_CPL) == 3; }
static inline cs_world *world(const struct vcpu *v) { return v->machine->world; }
static inline uint32_t event_row(const struct vcpu *v, int row) { return v->timed ? (uint32_t)uarch_row(v->machine->uarch, row) : 0; }
#endif
