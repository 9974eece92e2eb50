/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads without a scheduler. A thread belongs to a vCPU, and runs there as (part of) an event until it waits, like any
 * event: nothing preempts it. What a call that waits needs to know is in the thread, so no thread has a kernel stack.
 */
#include "compat.h"

#define MSR_FS_BASE 0xC0000100u
#define CLONE_VM 0x100u
#define CLONE_THREAD 0x10000u
#define CLONE_SETTLS 0x80000u
#define CLONE_PARENT_SETTID 0x100000u
#define CLONE_CHILD_CLEARTID 0x200000u
#define CLONE_CHILD_SETTID 0x1000000u
#define FPU_CONTROL 0x37Fu          /* as FNINIT leaves it */
#define SSE_CONTROL 0x1F80u         /* all exceptions masked */

/* Where linux_clone_entry put them, and linux_syscall before it. */
struct clone_frame {
    uint64_t rbx, rbp, r12, r13, r14, r15;
    uint64_t entry_return, alignment, r10, r9, r8, rdx, rsi, rdi, rip;
};

static uint32_t thread_last_id;
static uint32_t thread_count;

_Static_assert(offsetof(struct thread_registers, rax) == 112, "entry.S");

void thread_enter(struct threads *here, struct thread *thread);
void futex_wake_all(uint32_t *word);

static void *threads_miss(ebb_id id, void *root)
{
    (void)id;
    (void)root;

    struct threads *here = mem_zalloc(sizeof(*here));

    if (here == NULL)
        panic("thread: no memory for vCPU %u", cpu_id());
    return here;
}

void thread_init(void)
{
    ebb_install(EBB_THREADS, threads_miss, NULL);
}

struct thread *thread_new(uint64_t rip, uint64_t rsp)
{
    struct thread *thread = mem_zalloc(sizeof(*thread));

    if (thread == NULL)
        return NULL;
    thread->id = __atomic_add_fetch(&thread_last_id, 1, __ATOMIC_RELAXED);
    thread->cpu = (thread->id - 1) % cpu_count();
    thread->registers.rip = rip;
    thread->registers.rsp = rsp;
    *(uint16_t *)thread->fpu = FPU_CONTROL;
    *(uint32_t *)(thread->fpu + 24) = SSE_CONTROL;
    __atomic_add_fetch(&thread_count, 1, __ATOMIC_RELAXED);
    return thread;
}

/* FS base and FPU registers stay in the processor until another thread needs them. */
static noinline void thread_load(struct threads *here, struct thread *thread)
{
    if (here->loaded)
        __asm__ volatile("fxsave64 %0" : "=m"(here->loaded->fpu));
    __asm__ volatile("fxrstor64 %0" : : "m"(thread->fpu));
    wrmsr(MSR_FS_BASE, thread->fs_base);
    here->loaded = thread;
}

static void thread_unload(struct threads *here, struct thread *thread)
{
    if (here->loaded == thread) {
        __asm__ volatile("fxsave64 %0" : "=m"(thread->fpu));
        here->loaded = NULL;
    }
}

static void thread_run(struct thread *thread)
{
    struct threads *here = threads_here();

    if (unlikely(here->loaded != thread))
        thread_load(here, thread);
    here->current = thread;
    thread_enter(here, thread);
    here->current = NULL;
}

/* Probe points: a request stops with its thread, and goes on with it. `thread` is what its token lies on meanwhile. */
static noinline void thread_depart_lock(struct thread *thread)
{
    thread->adrift = true;
}

static noinline void thread_depart(struct thread *thread)
{
    thread->adrift = true;
}

static noinline void thread_arrive(struct thread *thread)
{
    thread->adrift = false;
}

static void thread_resume(void *arg)
{
    struct thread *thread = arg;

    if (thread->adrift)
        thread_arrive(thread);
    thread_run(thread);
}

int64_t thread_wait_for_lock(struct thread *thread)
{
    thread_depart_lock(thread);
    return THREAD_WAITS;
}

int64_t thread_wait_for_event(struct thread *thread)
{
    thread_depart(thread);
    return THREAD_WAITS;
}

void thread_go_on(struct thread *thread, int64_t result)
{
    thread->registers.rax = result;
    event_post(thread->cpu, &thread->event, thread_resume, thread);
}

void thread_run_in_frame(struct thread *thread, int64_t result)
{
    struct threads *here = threads_here();

    thread->registers.rax = result;
    here->in_frame = true;
    thread_run(thread);
    here->in_frame = false;
}

void thread_start(struct thread *thread)
{
    event_post(thread->cpu, &thread->event, thread_resume, thread);
}

int64_t thread_yield(int64_t result)
{
    struct thread *thread = thread_current();

    thread_depart(thread);
    thread_go_on(thread, result);
    return THREAD_WAITS;
}

/* Its registers are saved behind this (linux_wait), so the other vCPU is told by an event of this one, which comes later. */
static void thread_hand_over(void *arg)
{
    struct thread *thread = arg;

    event_post(thread->cpu, &thread->event, thread_resume, thread);
}

int64_t thread_yield_to(unsigned cpu, int64_t result)
{
    struct thread *thread = thread_current();

    if (cpu == cpu_id())
        return thread_yield(result);
    thread_depart(thread);
    thread_unload(threads_here(), thread);
    thread->registers.rax = result;
    thread->cpu = cpu;
    event_post(cpu_id(), &thread->event, thread_hand_over, thread);
    return THREAD_WAITS;
}

int64_t linux_clone(uint64_t flags, uint64_t stack, uint32_t *parent_id, uint32_t *child_id, uint64_t tls, struct clone_frame *frame)
{
    const uint64_t needed = CLONE_VM | CLONE_THREAD;

    if ((flags & needed) != needed || stack == 0) {
        linux_say_once(1, "linux: clone with flags %lx makes a process, and there is one only: ENOSYS\n", flags);
        return -LINUX_ENOSYS;
    }

    struct thread *child = thread_new(frame->rip, stack);

    if (child == NULL)
        return -LINUX_ENOMEM;
    child->registers.rbx = frame->rbx;
    child->registers.rbp = frame->rbp;
    child->registers.r12 = frame->r12;
    child->registers.r13 = frame->r13;
    child->registers.r14 = frame->r14;
    child->registers.r15 = frame->r15;
    child->registers.rdi = frame->rdi;
    child->registers.rsi = frame->rsi;
    child->registers.rdx = frame->rdx;
    child->registers.r8 = frame->r8;
    child->registers.r9 = frame->r9;
    child->registers.r10 = frame->r10;
    child->fs_base = flags & CLONE_SETTLS ? tls : thread_current()->fs_base;
    __asm__ volatile("fxsave64 %0" : "=m"(child->fpu));
    if (flags & CLONE_CHILD_CLEARTID)
        child->clear_id = child_id;
    if (flags & CLONE_CHILD_SETTID)
        *child_id = child->id;
    if (flags & CLONE_PARENT_SETTID)
        *parent_id = child->id;

    int64_t id = child->id;

    thread_start(child);
    return id;
}

/* Behind the last look at the thread: it may not be freed while its own call still stands on it. */
static void thread_free(void *arg)
{
    mem_free(arg);
}

int64_t linux_exit(uint64_t status)
{
    struct threads *here = threads_here();
    struct thread *thread = here->current;

    if (__atomic_sub_fetch(&thread_count, 1, __ATOMIC_RELAXED) == 0)
        machine_exit((uint32_t)status & 0xFF);
    if (thread->clear_id) {
        *thread->clear_id = 0;
        futex_wake_all(thread->clear_id);
    }
    if (here->loaded == thread)
        here->loaded = NULL;
    event_post(cpu_id(), &thread->event, thread_free, thread);
    return THREAD_WAITS;
}
