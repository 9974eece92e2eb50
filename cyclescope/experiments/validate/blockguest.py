# SPDX-License-Identifier: GPL-2.0-or-later
"""A basic block as guest code, where no address is unmapped and no access misses: BHive's harness as a bare guest.

Every virtual address but the harness's own leads to one physical page: four page tables with one entry each, 512 times. The
page holds `BLOCK_FILL` in every 8 bytes, each general register the same, RSP half a page more: as the block predictor has it
(emu/core/predict.c). The harness lies alone in the upper half, its code read-only; every exception gate leads to an OUT that
ends the run with its vector.

Unrolled, the copies stand one behind the other between two RDTSC, all in the L1I, after straight code that fills the micro-op
cache; what twice as many copies take longer is theirs. Looped, one copy and a JMP back to it run from the micro-op cache,
watched from outside.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cyclescope.asm.assembler import assemble, assemble_32
from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine
from emu.core.binding import BLOCK_FILL, Level, Prediction
from emu.errors import ConfigError, EmuBug
from emu.ledger.calls import SYMBOL, empty_rows
from emu.uarch.table import load as load_table
from emu.world import Reason, World

L1I_BYTES = 32 << 10
PAGE = 4096
PASSES = 3
LIMIT_PS = 10**10
ENDED = 0xFF
"""What the harness writes to the debug-exit port when nothing faulted."""

# Physical: the boot stub and its one-to-one tables, the harness's tables, the page that all memory is, the code.
_STUB_GPA, _BOOT_GPA, _TABLES_GPA, _DATA_GPA, _HARNESS_GPA = 0x100000, 0x101000, 0x110000, 0x120000, 0x200000
# Virtual: 2 MiB in the middle of the upper half, so that what is RIP-relative finds the page, too.
_REGION = 0xFFFF_C040_0000_0000
_SYSTEM, _STACK, _RESULT, _CODE = (_REGION + n * PAGE for n in (0, 2, 4, 256))
_LOOP = _CODE + 0x400
_PRESENT, _WRITE, _LARGE, _NX = 1, 2, 0x80, 1 << 63
_TSS_SELECTOR = 0x28
_HANDLER_BYTES = 8
_CR2 = 19
_REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))


@dataclass(frozen=True)
class Fault:
    """An exception inside the block: its vector, the faulting instruction's offset in the copy, and CR2."""

    vector: int
    offset: int
    address: int


@dataclass(frozen=True)
class Measured:
    """Cycles for so many copies."""

    cycles: int
    copies: float

    @property
    def per_copy(self) -> float:
        """Cycles."""
        return self.cycles / self.copies


class BlockHarness:
    """A machine that runs one block after the other, each from a reset. Close it."""

    def __init__(self, uarch: str, rows: dict[str, int]) -> None:
        table = load_table(uarch).varied(rows)
        self._evicting_bytes = 32 * table["dsb_sets"].value * table["dsb_ways"].value
        self._world = World()
        self._machine = add_machine(self._world, Hardware(cpus=1, memory_mib=64, uarch=uarch, rows=rows)).index
        self._core = self._world.core
        self._world.set_level(Level.DETAILED)
        self._ledger = self._core.ledger_calls()
        self._system = _system()
        for gpa, data in ((_STUB_GPA, _stub()), *_boot_tables(), *_tables()):
            self._core.load(self._machine, gpa, data)
        row = empty_rows(SYMBOL, [(_LOOP, _CODE + L1I_BYTES, 0, 0, 0)])
        self._ledger.symbols(self._machine, False, row, 1, 1)

    def close(self) -> None:
        """Free the machine."""
        self._world.close()

    def predict(self, block: bytes, *, looped: bool = False) -> Prediction:
        """Without a guest."""
        return self._core.predict(self._machine, block, looped=looped)

    def unrolled(self, block: bytes, copies: int) -> Measured | Fault:
        """What the second half of so many copies takes, or of as many as fit the L1I beside the harness."""
        copies = min(copies, (L1I_BYTES - self._evicting_bytes - PAGE) // len(block)) // 2
        if copies < 1:
            raise ConfigError("validate emulator: what fills this micro-op cache leaves no room in the L1I; give a smaller one")
        short = self._timed(block, copies)
        if isinstance(short, Fault):
            return short
        long = self._timed(block, 2 * copies)
        return long if isinstance(long, Fault) else Measured(long - short, copies)

    def looped(self, block: bytes, instructions: int, cycles: int) -> Measured | Fault:
        """After two times as long, so many cycles of the block, of that many instructions, with a JMP back to it."""
        code = _assemble(_FILL_MEMORY + _fill_registers(_REGISTERS)).ljust(_LOOP - _CODE, b"\x90")
        self._start(code + block + b"\xe9" + struct.pack("<i", -(len(block) + 5)))
        looks, give_up_ps = [(0, self._loop_instructions())], self._world.now_ps + LIMIT_PS
        while len(looks) < 4:
            if self._world.now_ps > give_up_ps:
                raise EmuBug(f"a block's guest has not come to its loop: {self._core.regs(self._machine, 0)}")
            stop = self._world.run(self._world.now_ps + self._core.cycles_to_ps(self._machine, cycles))
            if stop.reason is Reason.EXIT:
                return self._fault(stop.value, _LOOP, len(block) + 5)
            if (done := self._loop_instructions()) != looks[-1][1]:  # past the prologue
                looks.append((self._core.cycles(self._machine, 0), done))
        (begin, before), (end, after) = looks[-2:]
        return Measured(end - begin, (after - before) / (instructions + 1))

    def _loop_instructions(self) -> int:
        return int(self._ledger.symbol_accounts(self._machine, 0, 3)[0]["instructions"])

    # ---- plumbing

    def _timed(self, block: bytes, copies: int) -> int | Fault:
        """Cycles from one RDTSC to the next, in the last pass."""
        code = _aligned(_assemble(f"cld; fninit; {_FILL_MEMORY}"), 32) + _WINDOW_OF_NOPS * (self._evicting_bytes // 32)
        code += _assemble(_fill_registers(_REGISTERS))
        code += _clock(len(code), 0) + _assemble(_fill_registers(("rax", "rdx")))
        code = _aligned(code, 64)
        first = _CODE + len(code)
        code += block * copies
        code += _clock(len(code), 4)
        code += b"\x48\x8d\x1d" + struct.pack("<i", _RESULT - (_CODE + len(code) + 7))  # lea rbx, [rip + ...]
        code += _assemble("mov eax, [rbx + 4]; sub eax, [rbx]; mov [rbx + 8], eax; dec dword ptr [rbx + 12]")
        code += b"\x74\x05\xe9" + struct.pack("<i", -(len(code) + 7))  # jz over the jump back
        code += _assemble(f"mov al, {ENDED}; out 0xf4, al; hlt")  # the run ends at a block's end
        self._start(code)
        stop = self._world.run(self._world.now_ps + LIMIT_PS)
        if stop.reason is not Reason.EXIT:
            raise EmuBug(f"a block's guest ended by {stop.reason} at {stop.rip:#x}")
        if stop.value != ENDED:
            return self._fault(stop.value, first, len(block))
        (cycles,) = struct.unpack("<I", self._core.dma_read(self._machine, _gpa(_RESULT) + 8, 4, 0))
        return int(cycles)

    def _start(self, code: bytes) -> None:
        if len(code) > L1I_BYTES:
            raise ConfigError(f"validate emulator: {len(code)} bytes of code do not fit an L1I of {L1I_BYTES}")
        self._core.load(self._machine, _gpa(_SYSTEM), self._system)  # LTR has marked the TSS busy
        self._core.load(self._machine, _gpa(_CODE), code)
        self._core.load(self._machine, _gpa(_RESULT), struct.pack("<4I", 0, 0, 0, PASSES))
        self._core.start_pvh(self._machine, _STUB_GPA, 0)

    def _fault(self, vector: int, first: int, length: int) -> Fault:
        rip = int.from_bytes(self._core.dma_read(self._machine, _gpa(_STACK) + PAGE - 40, 8, 0), "little")
        return Fault(vector, (rip - first) % length, self._core.regs(self._machine, 0)[_CR2])


# ---- the guest's parts


def _gpa(address: int) -> int:
    return _HARNESS_GPA + address - _REGION


def _assemble(text: str) -> bytes:
    return assemble(text, address=_CODE)


def _aligned(code: bytes, to: int) -> bytes:
    return code + b"\x90" * (-len(code) % to)


def _fill_registers(names: tuple[str, ...]) -> str:
    return "".join(f"mov {r}, {BLOCK_FILL + (PAGE // 2 if r == 'rsp' else 0)};" for r in names)


def _clock(at: int, result: int) -> bytes:
    """RDTSC, its lower half to _RESULT + `result`."""
    return b"\x0f\x31\x89\x05" + struct.pack("<i", _RESULT + result - (_CODE + at + 8))


_FILL_MEMORY = f"mov rdi, {BLOCK_FILL & -PAGE}; mov rax, {BLOCK_FILL}; mov ecx, {PAGE // 8}; rep stosq;"
_WINDOW_OF_NOPS = 4 * b"\x0f\x1f\x84\x00\x00\x00\x00\x00"


def _stub() -> bytes:
    """From 32-bit code into the harness, by tables that also map the stub itself."""
    enter = assemble_32(f"""
        mov eax, cr4; or eax, 0x620; mov cr4, eax
        mov eax, {_BOOT_GPA}; mov cr3, eax
        mov ecx, 0xC0000080; rdmsr; or eax, 0x900; wrmsr
        mov eax, cr0; and eax, 0xFFFFFFFB; or eax, 0x80010002; mov cr0, eax
        lgdt [{_STUB_GPA + 0x200}]""", _STUB_GPA)  # fmt: skip
    far = _STUB_GPA + len(enter) + 7
    enter += b"\xea" + struct.pack("<IH", far, 8)
    enter += assemble(f"mov rax, {_SYSTEM + 0x1800}; jmp rax", address=far)
    pointer = struct.pack("<HI", len(_GDT) - 1, _STUB_GPA + 0x210)
    return enter.ljust(0x200, b"\xcc") + pointer.ljust(0x10, b"\0") + _GDT


_GDT = struct.pack("<3Q", 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF)


def _system() -> bytes:
    """Two pages: IDT, GDT, TSS, handlers; the way into the harness's own tables."""
    handlers = b"".join(_assemble(f"mov al, {n}; out 0xf4, al; hlt").ljust(_HANDLER_BYTES, b"\xcc") for n in range(32))
    idt = b""
    for n in range(32):
        at = _SYSTEM + 0x1000 + _HANDLER_BYTES * n
        low = (at & 0xFFFF) | 8 << 16 | 1 << 32 | 0x8E << 40 | (at >> 16 & 0xFFFF) << 48
        idt += struct.pack("<QQ", low, at >> 32)
    tss = struct.pack("<36xQ", _STACK + PAGE).ljust(0x66, b"\0") + struct.pack("<H", 0x68)
    tss_at = _SYSTEM + 0x600
    gdt = _GDT.ljust(_TSS_SELECTOR, b"\0")
    gdt += struct.pack("<QQ", 0x67 | (tss_at & 0xFFFFFF) << 16 | 0x89 << 40 | (tss_at >> 24 & 0xFF) << 56, tss_at >> 32)
    pointers = struct.pack("<HQ", len(gdt) - 1, _SYSTEM + 0x400).ljust(16, b"\0") + struct.pack("<HQ", len(idt) - 1, _SYSTEM)
    first = idt.ljust(0x400, b"\0") + gdt.ljust(0x200, b"\0") + tss.ljust(0x200, b"\0") + pointers
    enter = assemble(f"""
        mov rbx, {_SYSTEM + 0x800}; lgdt [rbx]; lidt [rbx + 16]
        mov eax, 16; mov ds, eax; mov es, eax; mov ss, eax
        mov eax, {_TSS_SELECTOR}; ltr ax
        mov eax, {_TABLES_GPA}; mov cr3, rax
        mov rax, {_CODE}; jmp rax""", address=_SYSTEM + 0x1800)  # fmt: skip
    return first.ljust(PAGE, b"\0") + handlers.ljust(0x800, b"\xcc") + enter


def _table(entries: dict[int, int], other: int = 0) -> bytes:
    return struct.pack("<512Q", *(entries.get(n, other) for n in range(512)))


def _boot_tables() -> list[tuple[int, bytes]]:
    """The first 2 MiB one to one, and the harness where its own tables have it."""
    flags = _PRESENT | _WRITE
    pml4 = _table({0: _BOOT_GPA + PAGE | flags, _index(4): _TABLES_GPA + 4 * PAGE | flags})
    pdpt = _table({0: _BOOT_GPA + 2 * PAGE | flags})
    directory = _table({0: flags | _LARGE})
    return [(_BOOT_GPA + n * PAGE, table) for n, table in enumerate((pml4, pdpt, directory))]


def _tables() -> list[tuple[int, bytes]]:
    """PML4, then the three that lead to the one page, then the three that lead to the harness and, beside it, to the page."""
    flags = _PRESENT | _WRITE
    at = [_TABLES_GPA + n * PAGE | flags for n in range(7)]
    page = _DATA_GPA | flags | _NX
    own = {
        n: _HARNESS_GPA + n * PAGE | (_PRESENT if n >= 256 else flags)
        for n in (0, 1, 2, 4, *range(256, 256 + L1I_BYTES // PAGE))
    }
    entries = (
        _table({_index(4): at[4]}, at[1]), _table({}, at[2]), _table({}, at[3]), _table({}, page),
        _table({_index(3): at[5]}, at[2]), _table({_index(2): at[6]}, at[3]), _table(own, page),
    )  # fmt: skip
    return [(_TABLES_GPA + n * PAGE, table) for n, table in enumerate(entries)]


def _index(level: int) -> int:
    return _REGION >> (3 + 9 * level) & 511
