# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that can do nothing any more is told so; one that merely takes long is not."""

from pathlib import Path

import pytest

from emu.hang import jumps_to_itself
from emu.loader.boot import BootSpec
from emu.machine import MachineConfig
from emu.outcome import outcome
from emu.units import MIB, PS_PER_S
from emu.world import Reason, StopInfo, World
from tests.images import assemble32, pvh_elf

PAGING_ON = """
    mov edi, 0x104000
    mov dword ptr [edi], 0x105003
    mov dword ptr [0x105000], 0x106003
    mov dword ptr [0x106000], 0x83
    mov eax, 0x20
    mov cr4, eax
    mov cr3, edi
    mov ecx, 0xc0000080
    mov eax, 0x100
    xor edx, edx
    wrmsr
    mov eax, 0x80000011
    mov cr0, eax
"""


def run(tmp_path: Path, source: str, cpus: int = 1, until_ps: int = 5 * PS_PER_S) -> tuple[StopInfo, str]:
    image = tmp_path / "image.elf"
    image.write_bytes(pvh_elf(assemble32(source), memory=0x10000))
    with World() as world:
        world.add_machine(MachineConfig(cpus=cpus, ram_bytes=64 * MIB, hz=100_000_000)).boot(BootSpec(image))
        stop = world.run(until_ps)
        return stop, outcome(world, stop).message


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize(
    "source",
    [
        "spin: jmp spin\n",
        "spin: pause\njmp spin\n",
        "spin: nop\npause\nnop\njmp spin\n",
        "cli\nspin: hlt\njmp spin\n",
        PAGING_ON + "spin: pause\njmp spin\n",
    ],
)
def test_a_loop_that_nothing_can_end_is_a_hang(tmp_path: Path, source: str, cpus: int) -> None:
    stop, message = run(tmp_path, source, cpus)
    assert stop.reason == Reason.NO_PROGRESS
    assert stop.time_ps < PS_PER_S
    assert message.startswith("The guest hangs: ")


@pytest.mark.parametrize(
    "source",
    [
        "spin: inc eax\njmp spin\n",
        "spin: inc dword ptr [0x107000]\njmp spin\n",
        "spin: in al, 0x61\njmp spin\n",
        "spin: cmp dword ptr [0x107000], 1\njne spin\n",
    ],
)
def test_other_loops_only_end_at_the_limit(tmp_path: Path, source: str) -> None:
    assert run(tmp_path, source, until_ps=PS_PER_S * 3 // 20)[0].reason == Reason.UNTIL


def test_waiting_long_for_a_timer_is_no_hang(tmp_path: Path) -> None:
    """A LAPIC timer, polled, far beyond the look for hangs: the guest ends by itself."""
    source = """
        mov dword ptr [0xfee000f0], 0x1ff
        mov dword ptr [0xfee003e0], 0xb
        mov dword ptr [0xfee00320], 0x10030
        mov dword ptr [0xfee00380], 0xffffffff
    wait:
        mov eax, [0xfee00390]
        cmp eax, 0xffb00000
        ja wait
        mov al, 9
        out 0xf4, al
        hlt
    """
    stop, _ = run(tmp_path, source)
    assert (stop.reason, stop.value) == (Reason.EXIT, 9)


@pytest.mark.parametrize(
    ("code", "at", "says"),
    [
        (b"\x90" * 4 + b"\xeb\xfe" + b"\x90" * 6, 4, True),
        (b"\x90" * 2 + b"\xf3\x90\xeb\xfc" + b"\x90" * 6, 4, True),
        (b"\x90" * 2 + b"\xf3\x90\xeb\xfc" + b"\x90" * 6, 2, True),
        (b"\x90" * 4 + b"\xeb\x00" + b"\x90" * 6, 4, False),
        (b"\x90" * 2 + b"\xff\xc0\xeb\xfc" + b"\x90" * 6, 4, False),
        (b"\x90" * 12, 4, False),
    ],
)
def test_only_a_bare_jump_counts(code: bytes, at: int, says: bool) -> None:
    assert jumps_to_itself(code, at) is says
