// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The program, stopped before the first instruction of its own: by then its linker has mapped its libraries, so what runs where can be told. A
 * breakpoint at AT_ENTRY, taken out again; nothing is traced any more when the program goes on. Sources: ptrace(2), proc(5).
 */
#include "init.h"

enum { TRACEME = 0, PEEK_TEXT = 1, POKE_TEXT = 4, CONT = 7, GET_REGS = 12, SET_REGS = 13, DETACH = 17,
       RIP = 16, REGS = 27, AT_ENTRY = 9, SIGTRAP = 5, INT3 = 0xCC, STOPPED = 0x7f };

static long ask(long request, long child, long address, long data)
{
    return sys5(NR_PTRACE, request, child, address, data, 0);
}

void trace_me(void)
{
    ask(TRACEME, 0, 0, 0);
}

/* Waits until it stands at a trap; signals on the way are its own. False: it ended, as *how says. */
static bool trapped(long child, int *how)
{
    for (;;) {
        long who = sys5(NR_WAIT4, child, (long)how, 0, 0, 0);
        if (who == -EINTR)
            continue;
        if (who < 0)
            fail("lost sight of the program", "", who);
        if ((*how & 0xff) != STOPPED)
            return false;
        if (*how >> 8 == SIGTRAP)
            return true;
        ask(CONT, child, 0, *how >> 8);
    }
}

static uint64_t entry_of(long child)
{
    static uint64_t pairs[128];
    struct text path = {0};
    process_path(&path, child, "/auxv");
    long bytes = read_file(path.data, (char *)pairs, sizeof pairs);
    for (long i = 0; i + 1 < bytes / (long)sizeof *pairs; i += 2)
        if (pairs[i] == AT_ENTRY)
            return pairs[i + 1];
    fail("cannot find the entry of the program in ", path.data, 0);
}

bool stop_at_entry(long child, int *how)
{
    static uint64_t regs[REGS];
    if (!trapped(child, how)) /* its execve */
        return false;
    uint64_t entry = entry_of(child), word = 0;
    long result = ask(PEEK_TEXT, child, (long)entry, (long)&word);
    if (result >= 0)
        result = ask(POKE_TEXT, child, (long)entry, (long)((word & ~0xffull) | INT3));
    if (result < 0)
        fail("cannot stop the program at its entry", "", result);
    ask(CONT, child, 0, 0);
    if (!trapped(child, how))
        return false;
    ask(GET_REGS, child, 0, (long)regs);
    regs[RIP] = entry;
    ask(SET_REGS, child, 0, (long)regs);
    ask(POKE_TEXT, child, (long)entry, (long)word);
    return true;
}

void let_go(long child)
{
    ask(DETACH, child, 0, 0);
}
