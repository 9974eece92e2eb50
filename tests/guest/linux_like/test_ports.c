/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Are I/O ports out of a program's reach? The one tried would end the machine. */
#include "check.h"

static void do_out(void) { __asm__ volatile("outb %%al, $0xf4" ::"a"(7)); }
static void do_in(void) { __asm__ volatile("inb $0x60, %%al" ::: "rax"); }
static void do_out_dx(void) { __asm__ volatile("outl %%eax, %%dx" ::"a"(7), "d"(0xf4)); }

int main(void)
{
    static void (*const cases[])(void) = { do_in, do_out, do_out_dx };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            cases[i]();
            _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
    return success();
}
