# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified Linux programs on libos: what works, what is refused, and that a file which is no program ends in one sentence."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path

import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.recording import load_recording
from cyclescope.experiments.replay import replay
from cyclescope.experiments.run import run_guest
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from emu.loader.boot import BootModule, BootSpec
from nic.memcached_udp import DEFAULT_PORT, datagram
from personalities.base import get_personality
from personalities.libos.personality import LibOS
from personalities.linux_like.personality import LinuxLike

CAPTURE = Path(__file__).parent / "captures" / "memcached-udp-300.pcap"
PROGRAMS = Path(__file__).parent / "guest" / "linux_like"
PANICKED = 125
WRITE, EXIT = 1, 60


def console_of(program: Path, *words: str, cpus: int = 1, keys: str = "") -> tuple[int, list[str]]:
    """Exit status and console lines of a file that the layer's image gets as its module, whatever the file is."""
    console = bytearray()
    spec = BootSpec(
        LibOS().find("libos-linux.elf"), f"{keys} -- {program.name} {' '.join(words)}", (BootModule(program, program.name),)
    )
    result = run_guest(spec, Hardware(cpus=cpus), limit_s=30.0, console=lambda data, time_ps: console.extend(data))
    assert not result.message, (result, console)
    return result.exit_code, console.decode(errors="replace").replace("\r", "").splitlines()


# ---- kvd ----


def test_every_personality_runs_the_very_same_kvd() -> None:
    files = [personality.find("kvd", "programs") for personality in (LibOS(), LinuxLike())]
    assert len({hashlib.sha256(file.read_bytes()).hexdigest() for file in files}) == 1
    assert get_personality("libos").prepare("linux_kvd").modules[0].path == files[0]


@pytest.mark.parametrize("name", ["libos:linux_kvd", "libos:ported_kvd"])
def test_ports_answer_as_recorded(name: str) -> None:
    recording = load_recording(CAPTURE)
    result = replay(recording, get_personality(name), Hardware(cpus=2), check=True, timing="functional")
    assert (result.different, result.lost, result.equal) == ((), 0, len(recording.exchanges))


@pytest.mark.parametrize("words", [[], ["--pin", "on"], ["--locks", "global"]])
def test_under_load_system_calls_are_calls_and_the_sums_come_out(words: list[str]) -> None:
    """All vCPUs serve; no ring is crossed, no page table changes, nothing faults; requests' parts are all of known names."""
    cpus, requests = 4, 400
    personality = get_personality("libos:linux_kvd")
    spec = personality.prepare("linux_kvd", [*personality.arguments_for("linux_kvd", cpus, DEFAULT_PORT), *words])
    load = [datagram(i, b"set k%d 0 0 3\r\nabc\r\n" % i if i % 2 == 0 else b"get k%d\r\n" % (i - 1)) for i in range(requests)]
    with Testbed(Hardware(cpus=cpus), personality, spec, timing="fast") as bed:
        bed.boot()
        earlier, before = bed.counters(), bed.snapshot()
        phase = bed.closed_loop(32, list(frames(iter(load), 64)), "")
        accounts = bed.accounts(before, bed.snapshot())
        counters = [{n: b[n] - a[n] for n in b} for a, b in zip(earlier, bed.counters(), strict=True)]
        table = bed.requests.table()
        lost_time = [int(table.parts_ps[:, i].sum()) for i, n in enumerate(table.part_names) if n == "wait.unattributed"]
    assert phase.lost == 0
    assert all(vcpu["syscall"] > 0 for vcpu in counters)
    assert all(vcpu["cr3_write"] == vcpu["page_fault"] == vcpu["exception"] == 0 for vcpu in counters)
    assert all({"app", "socket", "syscall", "sched", "copy"} <= set(vcpu) for vcpu in accounts.vcpu_components())
    assert sum(lost_time) == 0


def test_calls_may_be_made_as_functions() -> None:
    status, lines = console_of(LibOS().find("kvd", "programs"), "--help", keys="calls=function")
    assert (status, lines[1][:10]) == (0, "usage: kvd")


# ---- other programs: those that test linux_like from inside, with a C library and its threads ----


@pytest.mark.parametrize("name", ["threads", "fpu"])
def test_programs_with_a_c_library(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    command = ["cc", "-O1", "-march=x86-64", "-no-pie", "-static", "-pthread", "-o", str(program), str(PROGRAMS / f"test_{name}.c")]
    subprocess.run([*command, "-Wno-array-bounds"], check=True, capture_output=True)
    status, lines = console_of(program, cpus=2)
    assert (status, lines[-1]) == (0, "SUCCESS")
    refused = [line for line in lines if line.startswith("linux: ")]
    assert len(refused) == len(set(refused)) > 0  # clone3, rseq: said once each


# ---- what is not a program ----

CODE, DATA = 0x400000, 0x402000


def elf(code: bytes, *, entry: int = CODE, segments: list[tuple[int, ...]] | None = None, **fields: int) -> bytes:
    """A program of one executable segment, or of segments (type, flags, offset, address, file bytes, memory bytes)."""
    rows = segments or [(1, 5, 4096, CODE, len(code), len(code))]
    header = struct.pack(
        "<4s12xHHIQQQIHHHHHH", b"\x7fELF", fields.get("kind", 2), fields.get("machine", 62), 1, entry,
        fields.get("table", 64), 0, 0, 64, fields.get("entry_bytes", 56), fields.get("count", len(rows)), 0, 0, 0,
    )  # fmt: skip
    header = header[:4] + bytes([2, 1, 1]) + header[7:]
    table = b"".join(struct.pack("<IIQQQQQQ", t, f, o, a, a, n, m, 4096) for t, f, o, a, n, m in rows)
    return (header + table).ljust(4096, b"\0") + (code.ljust(64, b"\0") if segments else code)


def call(number: int, *arguments: int) -> bytes:
    """mov eax, number; the arguments into rdi, rsi, rdx; syscall."""
    loads = [b"\x48\xc7\xc7", b"\x48\xc7\xc6", b"\x48\xc7\xc2"]
    words = b"".join(load + struct.pack("<i", value) for load, value in zip(loads, arguments, strict=False))
    return b"\xb8" + struct.pack("<I", number) + words + b"\x0f\x05"


EXITS = call(EXIT, 7)

BROKEN = {
    "nothing": (b"", "0 bytes are less than an ELF64 header"),
    "text": (b"#!/bin/sh\n" * 20, "is not a 64-bit little-endian ELF file"),
    "cut in its header": (elf(EXITS)[:40], "40 bytes are less than an ELF64 header"),
    "cut in its code": (elf(EXITS)[:4100], "is cut short: segment 0 ends behind the end of the file"),
    "another machine": (elf(EXITS, machine=40), "is for ELF machine 40, not for x86-64 (62)"),
    "an object file": (elf(EXITS, kind=1), "is of ELF type 1, not a program"),
    "no headers": (elf(EXITS, count=0), "has 0 program headers of 56 bytes"),
    "65,535 headers": (elf(EXITS, count=65_535), "has 65535 program headers of 56 bytes"),
    "headers far away": (elf(EXITS, table=2**64 - 8), "its program header table ends behind the end of the file"),
    "no entry": (elf(EXITS, entry=0x1234), "its entry point 1234 lies in none of its executable segments"),
    "entry in data": (elf(EXITS, segments=[(1, 6, 4096, CODE, 16, 16)]), "lies in none of its executable segments"),
    "dynamic": (elf(EXITS, segments=[(3, 4, 0, CODE, 16, 16)]), "is dynamically linked; link it with -static"),
    "overlapping": (
        elf(EXITS, segments=[(1, 5, 4096, CODE, 16, 8192), (1, 6, 4096, CODE + 4096, 8, 8)]),
        "segment 1 overlaps the one before it",
    ),
    "more file than memory": (
        elf(EXITS, segments=[(1, 5, 4096, CODE, 16, 8)]), "segment 0 has more bytes in the file than in memory",
    ),
    "2^64 bytes": (elf(EXITS, segments=[(1, 5, 4096, CODE, 16, 2**64 - 1)]), "programs lie between 200000 and 1000000"),
    "at the image": (elf(EXITS, segments=[(1, 5, 4096, 0x1000000, 16, 16)]), "programs lie between 200000 and 1000000"),
    "at the firmware": (elf(EXITS, segments=[(1, 5, 4096, 0x8000, 16, 16)]), "programs lie between 200000 and 1000000"),
    "round the corner": (elf(EXITS, segments=[(1, 5, 2**64 - 8, CODE, 16, 16)]), "segment 0 ends behind the end of the file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_program_ends_in_one_sentence(name: str, tmp_path: Path) -> None:
    data, sentence = BROKEN[name]
    program = tmp_path / "program"
    program.write_bytes(data)
    status, lines = console_of(program)
    assert status == PANICKED
    assert sentence in lines[-1]
    assert lines[-1].startswith("panic: linux: program: " if data else "panic: linux: ")


def test_a_program_runs_and_its_exit_status_is_the_guests(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(elf(EXITS))
    assert console_of(program)[0] == 7


def test_an_unknown_system_call_is_refused_and_said_once(tmp_path: Path) -> None:
    """ENOSYS is 38: what the program gets is what it ends with."""
    last = call(999) + b"\xf7\xd8\x89\xc7" + b"\xb8" + struct.pack("<I", EXIT) + b"\x0f\x05"  # neg eax; mov edi, eax; exit
    program = tmp_path / "program"
    program.write_bytes(elf(call(999) + call(999) + call(4_000_000_000) + last))
    status, lines = console_of(program)
    assert status == 38
    assert lines[1:] == ["linux: system call 999 is not there: ENOSYS", "linux: system call 4000000000 is not there: ENOSYS"]


def test_a_program_that_touches_nothing_of_its_own_stops_the_machine_with_the_place(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(elf(b"\x31\xc0\x89\x00"))  # xor eax, eax; mov [rax], eax
    status, lines = console_of(program)
    assert status == PANICKED
    assert "exception 14, error 2, at 400002, address 0" in lines[-1]


def test_a_program_without_a_module_is_asked_for() -> None:
    console = bytearray()
    spec = BootSpec(LibOS().find("libos-linux.elf"), "-- nothing")
    result = run_guest(spec, Hardware(cpus=1), limit_s=30.0, console=lambda data, time_ps: console.extend(data))
    assert result.exit_code == PANICKED
    assert b"no program; boot this image with a static x86-64 program as the first module" in console
