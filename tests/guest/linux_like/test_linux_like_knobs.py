# SPDX-License-Identifier: GPL-2.0-or-later
"""linux_like with its knobs turned: the programs still run, kvd still answers as recorded, on our machine and under QEMU."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from cyclescope.config import Hardware, Load
from cyclescope.experiments.compare import compare
from cyclescope.experiments.recording import load_recording
from cyclescope.experiments.replay import replay
from cyclescope.experiments.testbed import Testbed
from cyclescope.result import Run
from emu.errors import ConfigError
from emu.loader.boot import BootModule, BootSpec
from nic.memcached_udp import DEFAULT_PORT
from personalities.base import get_personality
from personalities.linux_like.personality import LinuxLike
from tests.crosscheck.qemu import QemuServer, needs_qemu, run_to_end
from tests.crosscheck.test_recorded_answers import CAPTURE, answer_to, payload_of
from tests.guest.linux_like.test_linux_like_guest import HERE, MANIFEST, build, run

KNOBS = list(LinuxLike.knobs)
ALL = "+".join(KNOBS)
KERNEL_BASE = 0xFFFFFFFF80000000  # kernel/mm.h
ACCESSED = 0x20  # of a page-table entry
UNDER_POLLING = ["test_network", "test_threads", "test_signals", "test_preemption"]


@pytest.fixture(scope="module")
def image() -> Path:
    return LinuxLike().find("linux_like.elf")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(HERE, tmp_path_factory.mktemp("programs"))


def spec_of(image: Path, program: Path, keys: str) -> BootSpec:
    return BootSpec(image, f"{keys} -- {program.name}", modules=(BootModule(program, program.name),), manifest=MANIFEST)


# ---- programs


@pytest.mark.parametrize("name", UNDER_POLLING)
def test_programs_run_where_nobody_halts(image: Path, programs: Path, name: str) -> None:
    status, console, _ = run(spec_of(image, programs / name, "poll=1"), 2)
    assert (status, console.rstrip()[-7:]) == (0, "SUCCESS"), console


@pytest.mark.parametrize("cpus", [1, 4])
def test_loans(image: Path, programs: Path, cpus: int) -> None:
    status, console, _ = run(spec_of(image, programs / "zero_copy", "pool=64"), cpus)
    assert (status, console.rstrip()[-7:]) == (0, "SUCCESS"), console


@needs_qemu
def test_loans_under_qemu(image: Path, programs: Path, tmp_path: Path) -> None:
    status, console = run_to_end(spec_of(image, programs / "zero_copy", "pool=64"), 4, tmp_path)
    assert (status, console.rstrip()[-7:]) == (1, "SUCCESS"), console


def test_a_program_that_executes_syscall_is_told_so(image: Path, programs: Path) -> None:
    status, console, _ = run(spec_of(image, programs / "test_threads", "ring=0"), 1)
    assert status == 255
    assert "made a system call by SYSCALL; with ring=0 a program must call where AT_SYSINFO points" in console


def test_kvd_says_when_there_is_no_pool() -> None:
    personality = get_personality("linux_like")
    spec = personality.prepare("kvd", ["-t", "1", "--zero-copy", "on"])
    status, console, _ = run(spec, 1)
    assert status == 1
    assert "kvd: --zero-copy: this system has no packet buffers to share" in console


# ---- kvd


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("knobs", [*KNOBS, ALL])
def test_answers_as_recorded(knobs: str, cpus: int) -> None:
    recording = load_recording(CAPTURE)
    result = replay(recording, get_personality(f"linux_like+{knobs}"), Hardware(cpus=cpus), check=True)
    assert (result.different, result.lost, result.equal) == ((), 0, len(recording.exchanges))


@needs_qemu
@pytest.mark.crosscheck
@pytest.mark.parametrize("knobs", [*KNOBS, ALL])
def test_answers_as_recorded_under_qemu(knobs: str, tmp_path: Path) -> None:
    personality = get_personality(f"linux_like+{knobs}")
    spec = personality.prepare("kvd", personality.arguments_for("kvd", 2, DEFAULT_PORT))
    recording = load_recording(CAPTURE)
    with QemuServer(spec, 2, tmp_path, DEFAULT_PORT) as server, server.client() as sock:
        for exchange in recording.exchanges:
            payload = payload_of(exchange)
            sock.send(payload)
            assert answer_to(payload, sock.recv) == exchange.answer


# ---- what each takes away


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    chosen = [get_personality("+".join(["linux_like", *some])) for some in ([], *([knob] for knob in KNOBS))]
    _, outcomes = compare(chosen, Hardware(cpus=2), Load(requests=300, warmup=100, rate=200_000.0))
    return {outcome.run.personality.removeprefix("linux_like").removeprefix("+"): outcome.run for outcome in outcomes}


def part(run: Run, name: str) -> int:
    return int(run.parts_ps[:, run.part_names.index(name)].sum()) if name in run.part_names else 0


def cycles(run: Run, component: str, *causes: str) -> int:
    found = run.cycles.get(component, {})
    return sum(n for cause, n in found.items() if not causes or cause in causes)


def symbols(run: Run) -> set[str]:
    return {symbol for _, symbol, _, _ in run.symbols}


def test_no_ring_crossing_enters_by_a_call(runs: dict[str, Run]) -> None:
    assert "syscall_entry" in symbols(runs[""])
    assert "syscall_entry" not in symbols(runs["ring0"])
    assert "syscall_gate" in symbols(runs["ring0"])
    assert cycles(runs["ring0"], "syscall", "serialising") < cycles(runs[""], "syscall", "serialising") / 4
    assert cycles(runs["ring0"], "app") > 0, "the program's symbols are found at CPL 0 too"
    assert not runs["ring0"].unmapped


def test_no_copy_lends(runs: dict[str, Run]) -> None:
    assert "udp_copy_datagram" in symbols(runs[""])
    assert "udp_copy_datagram" not in symbols(runs["nocopy"])
    assert "udp_lend_datagram" in symbols(runs["nocopy"])
    assert part(runs["nocopy"], "run.copy") < part(runs[""], "run.copy")


def test_polling_takes_no_interrupt_and_wakes_nobody(runs: dict[str, Run]) -> None:
    assert part(runs[""], "wait.idle_exit") > 0
    assert part(runs["poll"], "wait.idle_exit") == 0
    assert part(runs["poll"], "run.irq_delivery") == 0
    assert "virtio_net_rx_interrupt" not in symbols(runs["poll"])
    assert cycles(runs["poll"], "idle") == 0
    assert cycles(runs["poll"], "polling") > 0


def test_pinned_threads_are_woken_where_their_packets_arrive(runs: dict[str, Run]) -> None:
    assert "smp_resched_handler" in symbols(runs[""]), "some are woken across vCPUs"
    assert "smp_resched_handler" not in symbols(runs["pin"])


def count(run: Run, row: str) -> int:
    return sum(event.count for event in run.events if event.row == row)


def test_a_program_runs_on_tables_of_its_own(runs: dict[str, Run]) -> None:
    """Each way into ring 3 and out of it writes CR3 once, where the processor has Meltdown and nobody asked for less."""
    crossings = count(runs[""], "swapgs")
    assert abs(count(runs[""], "cr3_write") - crossings) <= 4
    for knob in ("no_pti", "unmitigated", "ring0"):
        assert count(runs[knob], "cr3_write") == 0
    assert count(runs["no_pti"], "lfence") > 0
    assert count(runs["unmitigated"], "lfence") == 0


def mapped(ram: memoryview, table: int, level: int, base: int) -> Iterator[tuple[int, int]]:
    """(first address, bytes) of each page that the table at `table` leads to."""
    for i, (entry,) in enumerate(struct.iter_unpack("<Q", ram[table : table + 4096])):
        at = base + (i << 12 + 9 * (level - 1))
        if not entry & 1:
            continue
        if level == 1 or entry & 0x80:
            yield at, 1 << 12 + 9 * (level - 1)
        else:
            yield from mapped(ram, entry & 0xFFFFFFFFFF000, level - 1, at)


def test_a_programs_tables_hold_no_kernel_data() -> None:
    personality = LinuxLike()
    with personality.find("linux_like.elf").open("rb") as file:
        at = {s.name: s["st_value"] for s in ELFFile(file).get_section_by_name(".symtab").iter_symbols()}
    spec = personality.prepare("kvd", personality.arguments_for("kvd", 2, DEFAULT_PORT))
    with Testbed(Hardware(cpus=2), personality, spec) as bed:
        bed.boot(timed=False)
        ram = bed.world.core.ram(0, 256 << 20)
        (top,) = struct.unpack_from("<Q", ram, at["isolated_top"] - KERNEL_BASE)
        last = {i: struct.unpack_from("<Q", ram, i + 511 * 8)[0] for i in range(4096, len(ram), 8192)}
        pages = [i for i, entry in last.items() if entry & ~ACCESSED == top & ~ACCESSED]
        assert pages, "kvd's own"
        for page in pages:
            assert not any(ram[page + 256 * 8 : page + 511 * 8]), "nothing else of the upper half"
        kernel = list(mapped(ram, top & 0xFFFFFFFFFF000, 3, 0xFFFFFF8000000000))
        allowed = [(at["_text"], at["_rodata"]), (at["_entry_data"], at["_entry_data_end"])]
        assert kernel
        for first, size in kernel:
            assert any(low <= first and first + size <= high for low, high in allowed), hex(first)


def test_unknown_knobs_are_named() -> None:
    for name in ("linux_like+fast", "linux_like+poll+poll", "libos+pin"):
        with pytest.raises(ConfigError, match="has no knob"):
            get_personality(name)
