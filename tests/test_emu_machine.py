# SPDX-License-Identifier: GPL-2.0-or-later
"""The board under a hostile guest, a serial port that interrupts, and a user who presses Ctrl-C."""

import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError, EmuBug, NotModelled
from emu.irq.ioapic import IOAPIC_GPA
from emu.loader.boot import BootSpec
from emu.loader.program import check_program
from emu.machine import Machine, MachineConfig
from emu.pci.function import PciFunction
from emu.pci.msix import MsixTable
from emu.units import MIB, PS_PER_MS
from emu.world import Reason, World
from tests.images import assemble32, pvh_elf


@pytest.fixture(scope="module")
def board() -> Iterator[tuple[World, Machine]]:
    """A machine with a PCI function, never started: its devices are driven directly."""
    with World() as world:
        machine = world.add_machine(MachineConfig(ram_bytes=64 * MIB))
        function = PciFunction(0x1AF4, 0x1041, 0x020000, name="nic")
        function.add_bar(0, 0x4000, lambda offset, size, time_ps: 0, lambda offset, size, value, time_ps: None)
        function.add_bar(4, 0x2000, lambda offset, size, time_ps: 0, lambda offset, size, value, time_ps: None, wide=True)
        MsixTable(function, 1, 0, 0x800, 9, machine)
        machine.add_pci(function)
        machine.pci.assign()
        yield world, machine


PORTS = st.one_of(
    st.integers(0, 0xFFFF),
    st.sampled_from([0x20, 0x21, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xA0, 0xA1, 0x4D0, 0x600]),
    st.integers(0x600, 0x60C),
    st.integers(0xCF8, 0xCFF),
)
CONFIG_ADDRESSES = st.builds(
    lambda slot, register: 1 << 31 | slot << 11 | register << 2, st.integers(0, 3), st.integers(0, 63)
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["in", "out", "config", "load", "store"]),
        PORTS,
        CONFIG_ADDRESSES,
        st.sampled_from([1, 2, 4]),
        st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 0xFFFF_FFFF, 0xFEE0_0000, 0xFEC0_0000, 0x100000])),
        st.integers(0, 0x3FFF),
        st.integers(0, 10**9),
    ),
    max_size=40,
)


@settings(max_examples=1500, deadline=None)
@given(steps=STEPS)
def test_no_access_by_a_guest_raises(board: tuple[World, Machine], steps: list[tuple[str, int, int, int, int, int, int]]) -> None:
    """Ports, configuration space (BARs moved anywhere) and device memory, in any order, at any size."""
    world, machine = board
    time_ps = world.now_ps
    for kind, port, address, size, value, offset, later in steps:
        time_ps += later
        value &= (1 << 8 * size) - 1
        if kind == "in":
            assert 0 <= world.machines[0].ports.read(port, size, time_ps) < 1 << 8 * size
        elif kind == "out":
            machine.ports.write(port, size, value, time_ps)
        elif kind == "config":
            machine.ports.write(0xCF8, 4, address, time_ps)
            machine.ports.write(0xCFC, size, value, time_ps)
            machine.ports.read(0xCFC, size, time_ps)
        else:
            bars = [bar.mapped.base for f in machine.pci.functions for bar in f.bars.values() if bar.mapped is not None]
            gpa = [*bars, IOAPIC_GPA][value % (len(bars) + 1)] + (offset & ~3)
            if kind == "load":
                assert 0 <= machine.mmio.read(gpa, 4, time_ps) < 1 << 32
            else:
                machine.mmio.write(gpa, 4, value, time_ps)
    world._stop = None  # a reset or power-off asked for: not what is tested here
    for function in machine.pci.functions:
        for bar in function.bars.values():
            assert bar.mapped is None or bar.mapped.base == bar.address


INTERRUPTED_GUEST = """
    mov esp, 0x106000
    lgdt [0x105000]
    lidt [0x105008]
    mov dword ptr [0xfee000f0], 0x1ff
    mov dword ptr [0xfec00000], 0x18
    mov dword ptr [0xfec00010], 0x30
    mov dword ptr [0xfec00000], 0x19
    mov dword ptr [0xfec00010], 0
    sti
    mov dx, 0x3f9
    mov al, 2
    out dx, al
wait:
    hlt
    jmp wait
"""


def interrupted_image(gdt_limit: int) -> bytes:
    """The guest above, a handler at 0x103000 that exits with IIR, IDT at 0x104000, GDT at 0x105100."""
    image = bytearray(0x6000)

    def put(gpa: int, data: bytes) -> None:
        image[gpa - 0x100000 : gpa - 0x100000 + len(data)] = data

    put(0x100000, assemble32(INTERRUPTED_GUEST, 0x100000))
    put(0x103000, assemble32("mov dx, 0x3fa\nin al, dx\nout 0xf4, al\nhlt\n", 0x103000))
    put(0x104000 + 8 * 0x30, struct.pack("<HHHH", 0x3000, 8, 0x8E00, 0x10))
    put(0x105000, struct.pack("<HI", gdt_limit, 0x105100))
    put(0x105008, struct.pack("<HI", 0x7FF, 0x104000))
    put(0x105108, struct.pack("<QQ", 0x00CF9B00_0000FFFF, 0x00CF9300_0000FFFF))
    return pvh_elf(bytes(image), memory=0x8000)


def test_transmitter_interrupt_reaches_the_guest(tmp_path: Path) -> None:
    """The transmitter's interrupt, enabled: the I/O APIC's line 4, a vector, a handler that finds it in IIR."""
    image = tmp_path / "serial.elf"
    image.write_bytes(interrupted_image(gdt_limit=23))
    with World() as world:
        world.add_machine(MachineConfig(ram_bytes=64 * MIB)).boot(BootSpec(image))
        stop = world.run(10 * PS_PER_MS)
    assert (stop.reason, stop.value & 0x0F) == (Reason.EXIT, 0x02)


def test_interrupt_without_a_code_segment_stops_with_a_sentence(tmp_path: Path) -> None:
    image = tmp_path / "serial.elf"
    image.write_bytes(interrupted_image(gdt_limit=7))
    with World() as world:
        world.add_machine(MachineConfig(ram_bytes=64 * MIB)).boot(BootSpec(image))
        with pytest.raises(NotModelled, match="Interrupt 48 on vCPU 0 finds no gate or no writable stack, or no code segment"):
            world.run(10 * PS_PER_MS)


def test_ctrl_c_ends_a_guest_that_never_leaves_the_core(tmp_path: Path) -> None:
    image = tmp_path / "spin.elf"
    image.write_bytes(pvh_elf(assemble32("spin: jmp spin\n")))
    with World() as world:
        world.add_machine(MachineConfig(ram_bytes=64 * MIB)).boot(BootSpec(image))
        begun = time.monotonic()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            world.run()
        assert time.monotonic() - begun < 5


def test_an_own_signal_handler_gets_the_reason(tmp_path: Path) -> None:
    image = tmp_path / "spin.elf"
    image.write_bytes(pvh_elf(assemble32("spin: jmp spin\n")))
    seen: list[int] = []
    old = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with World() as world:
            world.add_machine(MachineConfig(ram_bytes=64 * MIB)).boot(BootSpec(image))
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            assert world.run().reason == Reason.INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, old)
    assert seen == [signal.SIGINT]


def test_a_machine_boots_once(tmp_path: Path) -> None:
    image = tmp_path / "spin.elf"
    image.write_bytes(pvh_elf(assemble32("spin: jmp spin\n")))
    with World() as world:
        machine = world.add_machine(MachineConfig(ram_bytes=64 * MIB))
        machine.boot(BootSpec(image))
        with pytest.raises(EmuBug, match="booted twice"):
            machine.boot(BootSpec(image))


GOOD_PROGRAM = pvh_elf(b"\xf4")  # any ELF64 executable without an interpreter


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=6), st.integers(0, 400))
def test_mutated_programs_are_taken_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], keep: int
) -> None:
    data = bytearray(GOOD_PROGRAM)
    for at, value in changes:
        data[at % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "program"
    path.write_bytes(data[:keep] if keep < 200 else data)
    try:
        accepted, said = check_program(path) == path, f"{path}: "
    except ConfigError as error:
        accepted, said = True, str(error)
    assert accepted
    assert said.startswith(f"{path}: ")
    assert "\n" not in said


def test_two_machines_share_one_clock(tmp_path: Path) -> None:
    """The second spins ten times as long before it prints; its exit ends the run."""
    print_after = "mov ecx, {n}\nspin: dec ecx\njnz spin\nmov dx, 0x3f8\nmov al, {letter}\nout dx, al\nmov al, 10\nout dx, al\n"
    seen: list[tuple[int, bytes, int]] = []
    with World() as world:
        for index, (n, end) in enumerate(((100_000, "cli\nhlt\n"), (1_000_000, "mov al, 5\nout 0xf4, al\nhlt\n"))):
            image = tmp_path / f"image{index}.elf"
            image.write_bytes(pvh_elf(assemble32(print_after.format(n=n, letter=65 + index) + end)))
            machine = world.add_machine(MachineConfig(ram_bytes=64 * MIB))
            machine.console.sink = lambda data, time_ps, index=index: seen.append((index, data, time_ps))  # type: ignore[misc]
            machine.boot(BootSpec(image))
        stop = world.run()
    assert (stop.reason, stop.machine, stop.value) == (Reason.EXIT, 1, 5)
    assert [(index, data) for index, data, _ in seen] == [(0, b"A\n"), (1, b"B\n")]
    assert 9 < seen[1][2] / seen[0][2] < 11
