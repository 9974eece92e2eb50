# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest goes from one address space to another, and changes them meanwhile: what it reads, runs and finds in its page
tables is what the architecture says. Software TLBs are kept over changes of CR3 (emu/core/softtlb.c): a stale one would show here.
"""

import random
import struct
from dataclasses import astuple

import pytest

from emu.core.binding import Level, Stop
from emu.uarch.table import load
from tests.core_guest import MAIN, Guest, assemble

TABLE = load("skylake_sp")
SPACES, PAGES, TARGETS, STEPS = 6, 4, 8, 250
ROOTS, RESULTS, TARGET, WINDOW = 0x1800000, 0x1000000, 0x2000000, 0x40000000
ACCESSED, DIRTY, CODE = 1 << 5, 1 << 6, 0x800


def root(space: int) -> int:
    return ROOTS + 0x10000 * space


def entry(space: int, page: int) -> int:
    """Where a page of the window has its page-table entry."""
    return root(space) + 0x4000 + 8 * page


class Model:
    """The architecture: every translation follows the tables as they are, since whoever changes one says so (INVLPG, or CR3)."""

    def __init__(self) -> None:
        self.entries = {(s, p): (TARGET + 0x1000 * ((s + p) % TARGETS)) | 7 for s in range(SPACES) for p in range(PAGES)}
        self.words = {TARGET + 0x1000 * t: 100 + t for t in range(TARGETS)}
        self.results: list[int] = []
        self.code: list[str] = []

    def at(self, space: int, page: int, bits: int) -> int:
        self.entries[space, page] |= bits
        return self.entries[space, page] & ~0xFFF

    def put(self, space: int, page: int, value: int, here: int) -> None:
        self.entries[space, page] = value
        self.code.append(f"mov rax, {value}; mov [{entry(space, page)}], rax")
        if space == here:
            self.code.append(f"invlpg [rbx + {0x1000 * page}]")

    def step(self, rng: random.Random, here: int) -> int:
        page, space, to = rng.randrange(PAGES), rng.randrange(SPACES), TARGET + 0x1000 * rng.randrange(TARGETS)
        match rng.choice(("switch", "switch", "load", "load", "run", "run", "store", "map", "clear", "same")):
            case "switch":
                self.code.append(f"mov rax, {root(space)}; mov cr3, rax")
                return space
            case "same":
                self.code.append("mov rax, cr3; mov cr3, rax")
            case "load":
                self.results.append(self.words[self.at(here, page, ACCESSED)])
                self.code.append(f"mov eax, [rbx + {0x1000 * page}]; mov [rdi], eax; add rdi, 4")
            case "run":
                self.results.append((self.at(here, page, ACCESSED) - TARGET >> 12) + 1000)
                self.code.append(f"lea rax, [rbx + {0x1000 * page + CODE}]; call rax; mov [rdi], eax; add rdi, 4")
            case "store":
                value = rng.randrange(1 << 30)
                self.words[self.at(here, page, ACCESSED | DIRTY)] = value
                self.code.append(f"mov dword ptr [rbx + {0x1000 * page}], {value}")
            case "map":
                self.put(space, page, to | 7, here)
            case "clear":
                self.put(space, page, self.entries[space, page] & ~(ACCESSED | DIRTY), here)
        return here


def prepared(seed: int) -> tuple[Guest, Model]:
    g, model, rng = Guest(1), Model(), random.Random(seed)
    for target in range(TARGETS):
        g.put(TARGET + 0x1000 * target, struct.pack("<I", 100 + target))
        g.put(TARGET + 0x1000 * target + CODE, assemble(f"mov eax, {1000 + target}; ret", 0))
    for space in range(SPACES):
        at = root(space)
        g.put(at, struct.pack("<Q", at + 0x1000 | 7))
        g.put(at + 0x1000, struct.pack("<2Q", at + 0x2000 | 7, at + 0x3000 | 7))
        g.put(at + 0x2000, struct.pack("<32Q", *(i << 21 | 0x87 for i in range(32))))
        g.put(at + 0x3000, struct.pack("<Q", at + 0x4000 | 7))
        for page in range(PAGES):
            g.put(entry(space, page), struct.pack("<Q", model.entries[space, page]))
    here = 0
    for _ in range(STEPS):
        here = model.step(rng, here)
    start = f"mov rbx, {WINDOW}; mov rdi, {RESULTS}; mov rax, {root(0)}; mov cr3, rax"
    at = MAIN
    for source in (start, *model.code, "mov eax, 1; out 0xf4, eax; hlt"):
        code = assemble(source, at)
        g.put(at, code)
        at += len(code)
    return g, model


@pytest.mark.parametrize("level", [Level.FUNCTIONAL, Level.FAST])
@pytest.mark.parametrize("seed", range(6))
def test_every_space_is_what_its_tables_say(seed: int, level: Level) -> None:
    g, model = prepared(seed)
    try:
        g.core.uarch(g.machine, TABLE.core_rows())
        g.core.insn_table(g.machine, (astuple(form) for form in TABLE.core_forms()))
        g.core.set_level(g.machine, level)
        assert g.run().stop == Stop.EXIT
        assert [g.u32(RESULTS + 4 * i) for i in range(len(model.results))] == model.results
        assert {key: g.u64(entry(*key)) for key in model.entries} == model.entries
    finally:
        g.close()
