# SPDX-License-Identifier: GPL-2.0-or-later
"""The inclusive profile on the bare core: hand-assembled call graphs whose costs are known to the instruction."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from emu.core.binding import Level
from emu.ledger.calls import SYMBOL, Paths, empty_rows
from emu.ledger.profile import ROOTS
from tests.core_guest import MAIN, USER, Guest, interrupt_stack
from tests.test_emu_core_vcpu import EXIT, TO_RING_3, load_table

SPACING = 0x100


class Program:
    """Functions by name, each at its own address and a symbol of its own; `{name}` in a source is a function's address."""

    def __init__(self, user: Sequence[str] = (), **sources: str) -> None:
        self.names = [*sources]
        base = {name: USER if name in user else MAIN for name in sources}
        self.at = {name: base[name] + SPACING * i for i, name in enumerate(self.names)}
        for name in (self.names[0], *user[:1]):
            self.at[name] = base[name]
        self.guest = Guest()
        self.core = self.guest.core
        self.calls = self.core.ledger_calls()
        for name, source in sources.items():
            self.guest.code(self.at[name], source.format(**self.at))
        for ring in (False, True):
            rows = sorted(
                (self.at[name], self.at[name] + SPACING, i, 0, 0)
                for i, name in enumerate(self.names)
                if (name in user) == ring
            )
            self.calls.symbols(0, ring, empty_rows(SYMBOL, rows), len(self.names), 27)

    def paths(self, level: Level = Level.FUNCTIONAL) -> dict[str, tuple[int, int, int]]:
        """Run to the end: path, its function names joined by / -> cycles, instructions, calls; those of the stub left out."""
        if level is not Level.FUNCTIONAL:
            load_table(self.guest)
            self.core.set_level(0, level)
        self.calls.profile(0, on=True)
        self.guest.run()
        read = self.calls.profile_read(0)
        check(read, self.core.cycles(0, 0))
        self.lost = read.lost
        self.core.close()
        found = {path.removeprefix("[resumed]/?/"): cost for path, cost in named(read, self.names).items() if any(cost)}
        return {path: cost for path, cost in found.items() if not path.endswith("?")}


def named(read: Paths, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Each path's own cycles, instructions and calls; "?" is a function without a symbol."""
    texts = list(ROOTS)
    for row in read.rows[len(ROOTS) :]:
        assert row["parent"] < len(texts)
        symbol = int(row["symbol"])
        texts.append(f"{texts[row['parent']]}/{names[symbol] if symbol < len(names) else '?'}")
    costs = [(int(r["cycles16"]) // 16, int(r["instructions"]), int(r["calls"])) for r in read.rows]
    return dict(zip(texts, costs, strict=True))


def check(read: Paths, clock: int) -> None:
    """One vCPU that never halts: the paths sum to its clock."""
    assert int(read.rows["cycles16"].sum()) == read.total16
    assert read.total16 >> 4 == clock


def instructions(paths: dict[str, tuple[int, int, int]]) -> dict[str, int]:
    return {path: cost[1] for path, cost in paths.items()}


def calls(paths: dict[str, tuple[int, int, int]]) -> dict[str, int]:
    return {path: cost[2] for path, cost in paths.items()}


def run(user: Sequence[str] = (), **sources: str) -> dict[str, tuple[int, int, int]]:
    return Program(user, **sources).paths()


def test_a_chain_of_calls_costs_each_path_what_it_executes():
    paths = run(
        main=f"call {{a}}; call {{a}}; nop; call {{b}}; {EXIT}",
        a="nop; call {b}; nop; call {b}; ret",
        b="nop; nop; ret",
    )
    assert instructions(paths) == {"main": 6, "main/a": 10, "main/a/b": 12, "main/b": 3}
    assert all(cycles == executed for cycles, executed, _ in paths.values())  # at the functional level
    assert calls(paths) == {"main": 1, "main/a": 2, "main/a/b": 4, "main/b": 1}


def test_a_tail_call_is_a_call():
    paths = run(main=f"call {{a}}; call {{c}}; {EXIT}", a="nop; jmp {b}", b="nop; jmp {c}", c="ret")
    assert instructions(paths) == {"main": 4, "main/a": 2, "main/a/b": 2, "main/a/b/c": 1, "main/c": 1}
    assert calls(paths) == {"main": 1, "main/a": 1, "main/a/b": 1, "main/a/b/c": 1, "main/c": 1}


def test_tail_calls_in_a_circle_grow_no_stack():
    program = Program(main=f"mov ecx, 2000; call {{a}}; {EXIT}", a="jmp {b}", b="dec ecx; jnz {a}; ret")
    assert instructions(program.paths()) == {"main": 4, "main/a": 2000, "main/a/b": 4001}
    assert not program.lost


def test_a_linkage_table_leaves_no_trace_but_its_own_cost():
    """Called where no function starts, it jumps to one."""
    paths = run(main=f"mov rax, {{table}}; inc rax; call rax; {EXIT}", table="nop; jmp {b}", b="nop; ret")
    assert instructions(paths) == {"main": 5, "main/table": 1, "main/b": 2}


def test_what_a_function_jumps_to_and_comes_back_from_is_part_of_it():
    """A .cold part: entered by a jump with the frame in use, and it calls, too."""
    paths = run(
        main=f"call {{a}}; {EXIT}",
        a="push rbx; jmp {a_cold}; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; pop rbx; ret",
        a_cold="call {b}; mov rax, {a}; add rax, 0x10; jmp rax",
        b="ret",
    )
    assert set(paths) == {"main", "main/a", "main/a/a_cold", "main/a/a_cold/b"}
    assert calls(paths) == {"main": 1, "main/a": 1, "main/a/a_cold": 1, "main/a/a_cold/b": 1}


def test_recursion_is_a_path_of_its_own_at_each_depth():
    paths = run(main=f"mov ecx, 3; call {{r}}; {EXIT}", r="dec ecx; jz L1; call {r}; nop; L1: ret")
    assert instructions(paths) == {"main": 4, "main/r": 5, "main/r/r": 5, "main/r/r/r": 3}
    assert calls(paths) == {"main": 1, "main/r": 1, "main/r/r": 1, "main/r/r/r": 1}


def test_a_retpoline_leads_from_caller_to_callee():
    """The thunk's CALL pushes an address that it then replaces by the target's; the target returns to the thunk's caller."""
    paths = run(
        main=f"mov rax, {{b}}; call {{thunk}}; call {{b}}; {EXIT}",
        thunk="call L1; L2: pause; jmp L2; L1: mov [rsp], rax; ret",
        b="nop; ret",
    )
    assert instructions(paths) == {"main": 5, "main/thunk": 3, "main/b": 4}
    assert calls(paths) == {"main": 1, "main/thunk": 1, "main/b": 2}


def test_a_call_to_the_next_instruction_is_no_call():
    stuffing = "call L1; L1: call L2; L2: call L3; L3: add rsp, 24;"
    paths = run(main=f"call {{a}}; {EXIT}", a=stuffing + "call {b}; ret", b="call L1; L1: pop rax; ret")
    assert instructions(paths) == {"main": 3, "main/a": 6, "main/a/b": 3}


def test_a_callee_may_leave_more_on_the_stack_than_it_found():
    """As Linux's error_entry does: it saves registers above its return address."""
    paths = run(
        main=f"call {{a}}; {EXIT}",
        a="call {save}; call {b}; add rsp, 16; ret",
        save="mov rax, [rsp]; mov [rsp], rbx; push rcx; push rax; ret",
        b="ret",
    )
    assert instructions(paths) == {"main": 3, "main/a": 4, "main/a/save": 5, "main/a/b": 1}


def test_longjmp_drops_what_it_jumps_over():
    paths = run(
        main=f"mov rbx, rsp; call {{a}}; L1: nop; call {{c}}; {EXIT}",
        a="call {b}; ud2",
        b="mov rsp, rbx; mov rax, {main}; add rax, 8; jmp rax",
        c="ret",
    )
    assert instructions(paths) == {"main": 6, "main/a": 1, "main/a/b": 4, "main/c": 1}


OTHER_STACK = 0x200000


def test_a_call_on_another_stack_is_a_call():
    """As Linux enters its interrupt stacks; another vCPU's worth of frames below must not matter."""
    paths = run(
        main=f"call {{a}}; call {{b}}; {EXIT}",
        a=f"push rbx; mov rcx, {OTHER_STACK}; mov [rcx - 8], rsp; lea rsp, [rcx - 8]; call {{b}};"
        "pop rsp; call {c}; pop rbx; ret",
        b="call {c}; ret",
        c="push rax; pop rax; ret",
    )
    assert instructions(paths) == {
        "main": 4,
        "main/a": 9,
        "main/a/b": 2,
        "main/a/b/c": 3,
        "main/a/c": 3,
        "main/b": 2,
        "main/b/c": 3,
    }


SWITCH = "push rbx; push rbp; mov [rdi], rsp; mov rsp, [rsi]; pop rbp; pop rbx; ret"
CONTEXTS = 0x210000


@pytest.mark.parametrize(
    "switch", [SWITCH, SWITCH.replace("pop rbp", "jmp L1; nop; L1: pop rbp")], ids=["one block", "two"]
)
def test_threads_keep_their_stacks(switch: str):
    """Two coroutines, each within a function when it is switched out; the second begins by a return to its first function."""
    paths = run(
        main=f"""mov rax, {{worker}}; mov [{OTHER_STACK} - 8], rax; mov rax, {OTHER_STACK} - 24; mov [{CONTEXTS} + 8], rax;
            call {{driver}}; {EXIT}""",
        driver=f"mov edx, 3; L1: mov rdi, {CONTEXTS}; mov rsi, {CONTEXTS} + 8; call {{switch}};"
        "call {leaf}; dec edx; jnz L1; ret",
        worker="L1: call {inner}; jmp L1",
        inner=f"mov rdi, {CONTEXTS} + 8; mov rsi, {CONTEXTS}; call {{switch}}; call {{leaf}}; ret",
        switch=switch,
        leaf="nop; ret",
    )
    first = {"main", "main/driver", "main/driver/switch", "main/driver/leaf"}
    assert set(paths) == first | {f"[thread]/worker{path}" for path in ("", "/inner", "/inner/switch", "/inner/leaf")}
    assert paths["main/driver/leaf"][1:] == (6, 3)
    assert paths["[thread]/worker/inner/leaf"][1:] == (4, 2)
    assert paths["[thread]/worker/inner"][2] == 3
    assert paths["main/driver/switch"][2] == 3
    assert paths["main/driver/switch"][1] + paths["[thread]/worker/inner/switch"][1] == 6 * len(
        switch.replace("; nop", "").split(";")
    )


def test_an_exception_is_part_of_what_raised_it():
    program = Program(
        main=f"call {{a}}; {EXIT}",
        a="nop; ud2; call {b}; ret",
        handler="add qword ptr [rsp], 2; call {b}; iretq",
        b="ret",
    )
    program.guest.vector(6, program.at["handler"])
    paths = program.paths()
    assert instructions(paths) == {"main": 3, "main/a": 3, "main/a/handler": 3, "main/a/handler/b": 1, "main/a/b": 1}
    assert calls(paths)["main/a/handler"] == 1


def test_a_handler_may_leave_by_another_function_with_the_error_code_dropped():
    """As Linux does; from ring 3, so the handler has a stack of its own. The program is where it was."""
    program = Program(
        ("start", "reader", "b"),
        main=TO_RING_3,
        start="call {reader}; call {b}; hlt",
        reader="mov rax, [0x600000]; call {b}; ret",
        b="nop; ret",
        handler="add qword ptr [rsp + 8], 10; add rsp, 8; jmp {leave}",
        leave="iretq",
        end=EXIT,
    )
    program.guest.page(0x600000, 0)
    program.guest.vector(14, program.at["handler"])
    program.guest.vector(13, program.at["end"])  # HLT in ring 3
    paths = instructions(program.paths())
    assert {path: n for path, n in paths.items() if path.startswith("[thread]")} == {
        "[thread]/start": 2,
        "[thread]/start/reader": 2,
        "[thread]/start/reader/handler": 3,
        "[thread]/start/reader/handler/leave": 1,
        "[thread]/start/reader/b": 2,
        "[thread]/start/b": 2,
        "[thread]/start/end": 2,
    }


def test_an_interrupt_is_nobodys():
    """It comes right behind a CALL, before the callee's first instruction: STI's shadow puts it there."""
    program = Program(
        main="mov ebx, 0xfee00000; mov dword ptr [rbx + 0xf0], 0x1ff; mov dword ptr [rbx + 0x300], 0x44040;"
        f"sti; call {{a}}; {EXIT}",
        a="nop; call {b}; ret",
        handler="call {b}; mov dword ptr [rbx + 0xb0], 0; iretq",
        b="ret",
    )
    program.guest.vector(0x40, program.at["handler"])
    paths = program.paths()
    assert instructions(paths) == {
        "main": 7, "main/a": 3, "main/a/b": 1, "[interrupt]/handler": 3, "[interrupt]/handler/b": 1,
    }  # fmt: skip
    assert calls(paths) == {"main": 1, "main/a": 1, "main/a/b": 1, "[interrupt]/handler": 1, "[interrupt]/handler/b": 1}


def enter_ring_3(program: str) -> str:
    """Code of ring 0 that points SYSCALL at {entry} and goes to ring 3."""
    return (
        "mov ecx, 0xc0000081; xor eax, eax; mov edx, 0x00130008; wrmsr;"
        "mov ecx, 0xc0000082; mov rax, {entry}; xor edx, edx; wrmsr; mov ecx, 0xc0000084; mov eax, 0x200; xor edx, edx; wrmsr;"
        + program
    )


def test_a_system_call_is_part_of_what_makes_it():
    """The entry starts on the program's stack and moves to the kernel's, twice to the same place."""
    kernel = interrupt_stack(0) - 0x100
    paths = run(
        ("start", "wrapper"),
        main=enter_ring_3(TO_RING_3),
        start="mov ebx, 2; L1: call {wrapper}; dec ebx; jnz L1; mov eax, 1; syscall",
        wrapper="xor eax, eax; syscall; ret",
        entry=f"mov r8, rsp; mov rsp, {kernel}; push rcx; push r11; call {{work}}; pop r11; pop rcx; mov rsp, r8; sysret",
        work=f"test eax, eax; jz L1; {EXIT}; L1: ret",
    )
    entry = "[thread]/start/wrapper/entry"
    assert paths["[thread]/start/wrapper"][1:] == (6, 2)
    assert paths[entry][1:] == (18, 2)
    assert paths[f"{entry}/work"][1:] == (6, 2)
    assert paths["[thread]/start/entry/work"][1:] == (4, 1)
    assert {path for path in paths if not path.startswith("main")} == {
        "[thread]/start", "[thread]/start/wrapper", entry, f"{entry}/work", "[thread]/start/entry", "[thread]/start/entry/work",
    }  # fmt: skip


def test_recursion_deeper_than_the_stacks_kept_is_counted_and_loses_nothing_else():
    program = Program(
        main=f"mov ecx, 1000; call {{r}}; call {{b}}; {EXIT}", r="dec ecx; jz L1; call {r}; nop; L1: ret", b="ret"
    )
    paths = program.paths()
    assert sum(cost[1] for path, cost in paths.items() if path.endswith("/r")) == 999 * 5 + 3
    assert program.lost["frames"] > 700
    assert paths["main/b"][1:] == (1, 1)


def test_more_paths_than_there_is_room_for_are_counted_as_lost():
    """Binary recursion to depth 18 in two functions: 2 ** 19 paths."""
    body = "push rcx; dec ecx; jz L1; call {a}; call {b}; L1: pop rcx; ret"
    program = Program(main=f"mov ecx, 19; call {{a}}; {EXIT}", a=body, b=body)
    paths = program.paths()
    assert program.lost["paths"] > 0
    assert paths["[lost]"][1] > 0
    assert len(paths) <= 1 << 18


@pytest.mark.parametrize("seed", range(6))
def test_whatever_a_guest_does_with_its_stack_the_sums_hold(seed: int):
    """Random code that calls, returns, jumps and throws RSP about; handlers that do the same."""
    rng = random.Random(seed)
    names = [f"f{i}" for i in range(12)]
    stacks = [0x200000 + 0x400 * i for i in range(200)]

    def body() -> str:
        out = []
        for _ in range(6):
            target = rng.choice(names)
            out.append(
                rng.choice([
                    f"call {{{target}}}", f"call {{{target}}}", "push rax", "pop rax",
                    f"mov rsp, {rng.choice(stacks)}", "call L1; L1: nop",
                    f"mov rax, {{{target}}}; push rax; ret", "sub rsp, 0x900", "ud2", f"lea rsp, [rsp + {8 * rng.randrange(64)}]",
                    f"xchg rsp, [{rng.choice(stacks)}]", "int3", f"mov rsp, {rng.choice(stacks)}; call {{{target}}}",
                ]).replace("L1", f"L{len(out)}")
            )  # fmt: skip
        return "nop; " + "; ".join(out) + f"; jmp {{{rng.choice(names)}}}"

    program = Program(main="jmp {f0}", **{name: body() for name in names})
    for vector in (3, 6, 13, 14):
        program.guest.vector(vector, program.at[rng.choice(names)], ist=rng.choice((0, 1)))
    for stack in stacks:
        program.guest.put(stack, (rng.choice(stacks)).to_bytes(8, "little"))
    load_table(program.guest)
    program.core.set_level(0, Level.FAST)
    program.calls.profile(0, on=True)
    program.guest.start()
    program.core.run(100_000_000)
    read = program.calls.profile_read(0)
    clock = program.core.cycles(0, 0)
    assert clock > 1000
    check(read, clock)
    ledger = program.calls.symbol_accounts(0, 0, len(program.names) + 2)
    own = np.zeros(len(ledger), np.int64)
    rows = read.rows[len(ROOTS) :]
    np.add.at(own, rows["symbol"].astype(int), rows["instructions"].astype(np.int64))
    assert read.rows["instructions"][ROOTS.index("[lost]")] or own.tolist() == ledger["instructions"].tolist()
    program.core.close()


@pytest.mark.parametrize("level", [Level.FUNCTIONAL, Level.FAST, Level.DETAILED])
def test_a_profile_moves_no_clock(level: Level):
    def clock(profiled: bool) -> list[int]:
        program = Program(
            main=f"mov ecx, 50; L1: call {{a}}; dec ecx; jnz L1; {EXIT}",
            a="push rbx; call {b}; pop rbx; ret",
            b="imul rax, rcx; ret",
        )
        if level is not Level.FUNCTIONAL:
            load_table(program.guest)
            program.core.set_level(0, level)
        program.calls.profile(0, on=profiled)
        program.guest.run()
        state = [program.core.cycles(0, 0), *program.guest.regs(), *program.guest.counters()]
        program.core.close()
        return state

    assert clock(True) == clock(False)
