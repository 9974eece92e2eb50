# SPDX-License-Identifier: GPL-2.0-or-later
"""A World without a network in a snapshot: x87 and SSE registers, debug registers, what cannot be saved."""

from pathlib import Path

import pytest

from emu.errors import BadSnapshot, NotModelled
from emu.loader.boot import BootSpec
from emu.machine import MachineConfig
from emu.snapshot import SavedWorld
from emu.world import Reason, World
from tests.images import LOAD_GPA, assemble32, pvh_elf

RESULT = 0x20_0000
CONFIG = MachineConfig(ram_bytes=64 << 20)
SOURCE = f"""
    mov eax, cr4
    or eax, 0x600
    mov cr4, eax
    fninit
    fld1
    fldpi
    fldl2e
    mov eax, 0x12345678
    movd xmm0, eax
    pshufd xmm7, xmm0, 0
    paddd xmm7, xmm7
    push 0x9f80
    ldmxcsr [esp]
    mov eax, 0x1000
    mov dr0, eax
    mov ecx, 0x30000
wait:
    dec ecx
    jnz wait
    mov edi, {RESULT:#x}
    fstp qword ptr [edi]
    fstp qword ptr [edi + 8]
    fstp qword ptr [edi + 16]
    movups [edi + 32], xmm7
    stmxcsr [edi + 48]
    mov eax, dr0
    mov [edi + 52], eax
    fnstcw [edi + 56]
    fnstsw [edi + 60]
    mov eax, 7
    out 0xf4, eax
"""


def booted(image: Path, source: str) -> World:
    world = World()
    machine = world.add_machine(CONFIG)
    stack = f"mov esp, {LOAD_GPA + 0x8000:#x}\n"
    image.write_bytes(pvh_elf(assemble32(stack + source), memory=0x10000))
    machine.boot(BootSpec(image))
    return world


def finished(world: World) -> tuple[int, int, list[int], bytes]:
    stop = world.run(10**10)
    assert (stop.reason, stop.value) == (Reason.EXIT, 7)
    return stop.time_ps, world.core.cycles(0, 0), world.core.regs(0, 0), bytes(world.core.ram(0, RESULT + 64)[RESULT:])


def test_x87_and_sse_registers_come_back(tmp_path: Path) -> None:
    with booted(tmp_path / "image", SOURCE) as world:
        whole = finished(world)
    assert whole[3][32:48] == (0x2468ACF0).to_bytes(4, "little") * 4
    with booted(tmp_path / "image", SOURCE) as world:
        world.run(10**7)
        SavedWorld.of_world(world, {}, {}).write(tmp_path / "saved")
        assert finished(world) == whole
    with World() as world:
        world.add_machine(CONFIG)
        saved = SavedWorld.read(tmp_path / "saved")
        saved.boards_into(world)
        saved.core_into(world)
        assert finished(world) == whole


def test_a_hardware_breakpoint_cannot_be_saved(tmp_path: Path) -> None:
    with booted(tmp_path / "image", "mov eax, 0x402\nmov dr7, eax\nhere: jmp here") as world:
        world.run(10**7)
        with pytest.raises(NotModelled, match="hardware breakpoint"):
            SavedWorld.of_world(world, {}, {})


def test_a_world_that_has_run_takes_no_snapshot_in(tmp_path: Path) -> None:
    with booted(tmp_path / "image", "here: jmp here") as world:
        world.run(10**7)
        saved = SavedWorld.of_world(world, {}, {})
        with pytest.raises(BadSnapshot, match="this World has run already"):
            saved.core_into(world)
