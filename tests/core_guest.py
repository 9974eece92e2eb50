# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-assembled guests on the bare core, for its tests: flat long mode with an IDT, a TSS per vCPU, and every access recorded.

Memory: GDT 0x6000, IDT 0x7000, TSSs 0x8000 + 0x100 * vCPU, page tables 0x10000 (4 GiB, identity, user-accessible, global off),
stub 0x20000, real-mode trampoline 0x3000 (vector 3), kernel stacks end at 0x90000 + 0x10000 * vCPU. Code: 0x100000 and above.
"""

import struct
from dataclasses import dataclass, field

from keystone import KS_ARCH_X86, KS_MODE_16, KS_MODE_32, KS_MODE_64, Ks

from cyclescope.asm.assembler import in_hexadecimal
from emu.core.binding import NEVER_PS, Core, CoreStop

HZ = 2_500_000_000
MIB = 1 << 20
GDT, IDT, TSS, TABLES, STUB, TRAMPOLINE = 0x6000, 0x7000, 0x8000, 0x10000, 0x20000, 0x3000
MAIN, AP_MAIN, USER = 0x100000, 0x110000, 0x400000
LAPIC = 0xFEE00000
_ks = {16: Ks(KS_ARCH_X86, KS_MODE_16), 32: Ks(KS_ARCH_X86, KS_MODE_32), 64: Ks(KS_ARCH_X86, KS_MODE_64)}


def assemble(source: str, at: int, bits: int = 64) -> bytes:
    """Machine code of `source`, placed at `at`."""
    code, _ = _ks[bits].asm(in_hexadecimal(source), at)
    assert code is not None
    return bytes(code)


def interrupt_stack(vcpu: int) -> int:
    """Where RSP0 points."""
    return 0x90000 + 0x10000 * vcpu - 0x4000


@dataclass
class Recorder:
    """Callbacks that record, and answer from tables."""

    printed: bytearray = field(default_factory=bytearray)
    accesses: list[tuple[object, ...]] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    eois: list[tuple[int, int]] = field(default_factory=list)

    def pio_read(self, machine: int, vcpu: int, port: int, size: int, time_ps: int) -> int:
        self.accesses.append(("in", machine, vcpu, port, size, time_ps))
        return self.answers.get(port, 0xFFFFFFFF)

    def pio_write(self, machine: int, vcpu: int, port: int, size: int, time_ps: int, value: int) -> None:
        self.accesses.append(("out", machine, vcpu, port, size, time_ps, value))

    def mmio_read(self, machine: int, vcpu: int, gpa: int, size: int, time_ps: int) -> int:
        self.accesses.append(("read", machine, vcpu, gpa, size, time_ps))
        return self.answers.get(gpa, 0)

    def mmio_write(self, machine: int, vcpu: int, gpa: int, size: int, time_ps: int, value: int) -> None:
        self.accesses.append(("write", machine, vcpu, gpa, size, time_ps, value))

    def console(self, machine: int, data: bytes, time_ps: int) -> None:
        self.printed += data

    def eoi(self, machine: int, vcpu: int, vector: int, time_ps: int) -> None:
        self.eois.append((vcpu, vector))


class Guest:
    """One machine in a core of its own."""

    def __init__(
        self, ncpus: int = 1, ram: int = 64 * MIB, hz: int = HZ, cycle_limit: int = 0, callbacks: Recorder | None = None,
        core: Core | None = None,
    ) -> None:  # fmt: skip
        self.io = callbacks or Recorder()
        self.core = core or Core(self.io)
        self.machine = self.core.machine_add(hz, ncpus, ram, cycle_limit)
        self.ncpus = ncpus
        self._tables()

    def put(self, at: int, data: bytes) -> None:
        self.core.load(self.machine, at, data)

    def code(self, at: int, source: str) -> None:
        """64-bit code."""
        self.put(at, assemble(source, at))

    def vector(self, number: int, at: int, *, ist: int = 0, dpl: int = 0) -> None:
        """An interrupt gate."""
        low = (at & 0xFFFF) | 8 << 16 | ist << 32 | (0x8E | dpl << 5) << 40 | (at >> 16 & 0xFFFF) << 48
        self.put(IDT + 16 * number, struct.pack("<QQ", low, at >> 32))

    def page(self, at: int, flags: int, to: int | None = None) -> None:
        """Give one 4 KiB page (of the first 1 GiB) its own entry."""
        table = TABLES + 0x6000 + (at >> 21) * 0x1000
        directory = TABLES + 0x2000 + (at >> 21) * 8
        assert table < STUB or at >> 21 < 10
        if not self.u64(directory) & 0x80:
            pass
        else:
            for i in range(512):
                self.put(table + 8 * i, struct.pack("<Q", (at >> 21 << 21) + (i << 12) | 7))
            self.put(directory, struct.pack("<Q", table | 7))
        self.put(table + (at >> 12 & 511) * 8, struct.pack("<Q", (at if to is None else to) | flags))

    def pte(self, at: int) -> int:
        """Where `page` put that page's entry."""
        return TABLES + 0x6000 + (at >> 21) * 0x1000 + (at >> 12 & 511) * 8

    def u64(self, at: int) -> int:
        value: int = struct.unpack("<Q", self.core.dma_read(self.machine, at, 8, 0))[0]
        return value

    def u32(self, at: int) -> int:
        value: int = struct.unpack("<I", self.core.dma_read(self.machine, at, 4, 0))[0]
        return value

    def start(self) -> None:
        """Point vCPU 0 at the stub, which enters MAIN in long mode, with EBX = 0x1234."""
        self.put(STUB, assemble(self._enter(MAIN), STUB, 32))
        self.core.start_pvh(self.machine, STUB, 0x1234)

    def run(self, until_ps: int = NEVER_PS) -> CoreStop:
        """Start if that was not done, and run."""
        if self.core.cycles(self.machine, 0) == 0:
            self.start()
        return self.core.run(until_ps)

    def counters(self, vcpu: int = 0) -> list[int]:
        return self.core.counters(self.machine, vcpu)

    def regs(self, vcpu: int = 0) -> list[int]:
        return self.core.regs(self.machine, vcpu)

    def close(self) -> None:
        self.core.close()

    # ---- plumbing

    @staticmethod
    def _enter(main: int) -> str:
        return f"""
            lgdt [{GDT + 0x800}]; lidt [{GDT + 0x810}]
            mov eax, 0x6b0; mov cr4, eax
            mov eax, {TABLES}; mov cr3, eax
            mov ecx, 0xc0000080; mov eax, 0x901; xor edx, edx; wrmsr
            mov eax, 0x80010033; mov cr0, eax
            mov eax, [{LAPIC + 0x20}]; shr eax, 24
            mov esi, eax
            shl eax, 16; add eax, 0x90000; mov esp, eax
            mov eax, esi; shl eax, 4; add eax, 0x28; ltr ax
            push 8; push {main}; retf
        """

    def _tables(self) -> None:
        gdt = [0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF]
        for v in range(16):
            tss = TSS + 0x100 * v
            gdt += [0x67 | (tss & 0xFFFFFF) << 16 | 0x89 << 40 | (tss >> 24) << 56, tss >> 32]
            self.put(tss + 4, struct.pack("<Q", interrupt_stack(v)))
            self.put(tss + 36, struct.pack("<Q", interrupt_stack(v) - 0x2000))
            self.put(tss + 102, struct.pack("<H", 0x68))  # no I/O bitmap: ring 3 has no ports
        self.put(GDT, struct.pack(f"<{len(gdt)}Q", *gdt))
        self.put(GDT + 0x800, struct.pack("<HI", 8 * len(gdt) - 1, GDT) + b"\0\0")
        self.put(GDT + 0x810, struct.pack("<HI", 0xFFF, IDT) + b"\0\0")
        self.put(TABLES, struct.pack("<Q", TABLES + 0x1000 | 7))
        for i in range(4):
            self.put(TABLES + 0x1000 + 8 * i, struct.pack("<Q", TABLES + 0x2000 + 0x1000 * i | 7))
            for j in range(512):
                self.put(TABLES + 0x2000 + 0x1000 * i + 8 * j, struct.pack("<Q", (i << 30 | j << 21) | 0x87))
        # real mode at TRAMPOLINE: into protected mode, then as the stub does, to AP_MAIN
        protected = TRAMPOLINE + 0x100
        lgdt = b"\xfa\x31\xc0\x8e\xd8\x66\x0f\x01\x16"  # cli; xor ax, ax; mov ds, ax; lgdt [...]
        self.put(TRAMPOLINE, lgdt + struct.pack("<H", GDT + 0x820))
        self.put(GDT + 0x820, struct.pack("<HI", 8 * len(gdt) - 1, GDT + 0x400))
        flat = [0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF]
        self.put(GDT + 0x400, struct.pack("<3Q", *flat))
        self.put(
            TRAMPOLINE + 11,
            b"\x66\xb8\x11\x00\x00\x00\x0f\x22\xc0\x66\xea"
            + struct.pack("<IH", protected, 8),  # mov eax,0x11; mov cr0,eax; ljmp
        )
        setup = "mov ax, 16; mov ds, ax; mov es, ax; mov ss, ax;"
        self.put(protected, assemble(setup + self._enter(AP_MAIN), protected, 32))
