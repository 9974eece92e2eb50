/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does a program that breaks a rule of the processor die of the right cause, and it alone? */
#include "check.h"

static void do_hlt(void) { __asm__ volatile("hlt"); }
static void do_cli(void) { __asm__ volatile("cli"); }
static void do_wrmsr(void) { __asm__ volatile("wrmsr" ::"a"(0), "d"(0), "c"(0xc0000082)); }
static void do_cr3(void) { __asm__ volatile("mov %%cr3, %%rax" ::: "rax"); }
static void do_write_kernel(void) { *(volatile long *)0xffffffff80000000 = 1; }
static void do_write_kernel_text(void) { *(volatile long *)0xffffffff80107000 = 1; }
static void do_read_linear(void) { (void)*(volatile long *)0xffff888000100000; }
static void do_read_noncanonical(void) { (void)*(volatile long *)0x8000000000000000; }
static void do_jump_kernel(void) { ((void (*)(void))0xffffffff80107000)(); }
static void do_null(void) { *(volatile int *)0 = 1; }
static void do_ud2(void) { __asm__ volatile("ud2"); }
static void do_int3(void) { __asm__ volatile("int3"); }
static void do_int81(void) { __asm__ volatile("int $0x81"); }
static void do_abort(void) { abort(); }

static void do_divide(void)
{
    volatile int zero = 0;
    volatile int x = 12345 / zero; /* 1 / zero would be compiled to comparisons */
    (void)x;
}

static int deeper(volatile char *p)
{
    volatile char frame[4096];
    frame[0] = *p;
    return deeper(frame) + frame[0];
}
static void do_overflow_stack(void)
{
    volatile char c = 1;
    deeper(&c);
}

static void do_run_data(void)
{
    static unsigned char code[] = { 0xc3 };
    ((void (*)(void))code)();
}
static void do_run_heap(void)
{
    unsigned char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[0] = 0xc3;
    ((void (*)(void))p)();
}
static void do_write_code(void) { *(volatile unsigned char *)do_write_code = 0x90; }
static void do_write_readonly(void)
{
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *(volatile char *)p = 1;
}
static const struct { const char *name; void (*fn)(void); int signal; } cases[] = {
    { "HLT", do_hlt, SIGSEGV }, { "CLI", do_cli, SIGSEGV }, { "WRMSR", do_wrmsr, SIGSEGV },
    { "MOV from CR3", do_cr3, SIGSEGV }, { "write kernel", do_write_kernel, SIGSEGV },
    { "write kernel text", do_write_kernel_text, SIGSEGV }, { "read linear map", do_read_linear, SIGSEGV },
    { "read non-canonical", do_read_noncanonical, SIGSEGV }, { "jump to kernel", do_jump_kernel, SIGSEGV },
    { "write to 0", do_null, SIGSEGV }, { "UD2", do_ud2, SIGILL }, { "INT3", do_int3, SIGTRAP }, { "INT 0x81", do_int81, SIGSEGV },
    { "abort", do_abort, SIGABRT }, { "divide by zero", do_divide, SIGFPE }, { "overflow the stack", do_overflow_stack, SIGSEGV },
    { "run data", do_run_data, SIGSEGV }, { "run heap", do_run_heap, SIGSEGV }, { "write code", do_write_code, SIGSEGV },
    { "write read-only memory", do_write_readonly, SIGSEGV },
};

int main(void)
{
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            cases[i].fn();
            _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != cases[i].signal)
            printf("FAILURE %s: status %x\n", cases[i].name, status);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == cases[i].signal);
    }
    return success();
}
