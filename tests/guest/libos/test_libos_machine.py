# SPDX-License-Identifier: GPL-2.0-or-later
"""libos on our machine: the same images as under QEMU, and what only the ledger can see."""

import re
from pathlib import Path

import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine, level_of
from cyclescope.experiments.run import run_guest
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from emu.ledger.accounts import Accounts, snapshot
from emu.ledger.install import install, read_code, taxonomy_of
from emu.ledger.manifest import load_manifest
from emu.loader.boot import BootSpec
from emu.world import World
from personalities.libos.personality import LibOS

MANIFEST = LibOS.folder / "manifest.toml"


def run(image: Path, words: str, cpus: int, memory_mib: int = 128) -> tuple[int, str]:
    """Exit status and console of a guest that ends by itself."""
    console = bytearray()
    result = run_guest(
        BootSpec(image, words), Hardware(cpus=cpus, memory_mib=memory_mib), limit_s=60,
        console=lambda data, time_ps: console.extend(data),
    )  # fmt: skip
    return result.exit_code, console.decode(errors="replace")


@pytest.mark.parametrize("cpus", [1, 3])
@pytest.mark.parametrize("name", ["ebb", "events", "futures", "timers", "memory", "iobufs", "locks", "strings"])
def test_inside(images: Path, name: str, cpus: int) -> None:
    status, console = run(images / f"libos-test_{name}.elf", f"key=value two -- {name} one two=2", cpus)
    assert console.rstrip().endswith("SUCCESS"), console
    assert status == 0


@pytest.mark.parametrize(("cpus", "memory_mib"), [(16, 64), (1, 64), (2, 8192)])
def test_sizes_of_machine(images: Path, cpus: int, memory_mib: int) -> None:
    status, console = run(images / "libos-test_ebb.elf", "-- ebb", cpus, memory_mib)
    assert (status, console.rstrip()[-7:]) == (0, "SUCCESS"), console


@pytest.mark.parametrize(
    "fault", ["null", "code", "constant", "execute", "divide", "undefined", "stack", "ebb", "free"]
)
def test_faults_end_the_run(images: Path, fault: str) -> None:
    status, console = run(images / "libos-test_faults.elf", f"-- faults {fault}", 2)
    assert "panic: " in console
    assert "went on" not in console
    assert status == 125


def test_an_ebb_call_costs_little_more_than_a_call(images: Path) -> None:
    """At most 3 cycles; where the next call waits for the id that the last one returned, a load's latency and its use."""
    console = bytearray()
    spec = BootSpec(images / "libos-micro_ebb.elf", "-- micro")
    run_guest(spec, Hardware(cpus=1), timing="detailed", limit_s=60, console=lambda data, time_ps: console.extend(data))
    figures = dict(re.findall(r"(call_\w+ \d) ([\d.]+)", console.decode()))
    assert float(figures["call_ebb 0"]) <= float(figures["call_direct 0"]) + 3
    assert float(figures["call_direct 1"]) < float(figures["call_ebb 1"]) <= float(figures["call_direct 1"]) + 7


# ---- contention ----


def lockbench(image: Path, n: int, hold: int, iterations: int) -> tuple[dict[str, int], int, int]:
    """The guest's figures, and from the ledger: cycles and instructions of the waiting loop."""
    console = bytearray()
    hardware = Hardware(cpus=max(n, 2), memory_mib=64)
    manifest = load_manifest(MANIFEST)
    taxonomy = taxonomy_of([manifest])
    with World() as world:
        machine = add_machine(world, hardware)
        calls = world.core.ledger_calls()
        names = install(calls, machine.index, manifest, read_code(image, (), manifest), taxonomy)
        world.core.set_level(machine.index, level_of("fast"))
        machine.console.sink = lambda data, time_ps: console.extend(data)
        machine.boot(BootSpec(image, f"-- lockbench -n {n} -h {hold} -i {iterations}"))
        world.run(60 * 10**12)
        clocks = [world.core.cycles(machine.index, vcpu) for vcpu in range(hardware.cpus)]
        after = snapshot(calls, machine.index, clocks, len(names.names))
        accounts = Accounts.between(None, after, taxonomy, names)
    text = console.decode()
    assert "lockbench: done" in text, text
    figures = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", text)}
    spin = [(cycles, count) for _, symbol, cycles, count in accounts.by_symbol() if symbol == "spin_lock_wait"]
    return figures, sum(cycles for cycles, _ in spin), sum(count for _, count in spin)


def test_one_vcpu_never_waits(images: Path) -> None:
    figures, spin_cycles, spin_instructions = lockbench(images / "libos-lockbench.elf", 1, 1000, 1000)
    assert (figures["contended"], figures["wait_mean"], figures["wait_total"]) == (0, 0, 0)
    assert (spin_cycles, spin_instructions) == (0, 0)


@pytest.mark.parametrize(("n", "hold"), [(2, 1000), (2, 5000), (4, 1000), (8, 1000), (8, 200)])
def test_waits_for_all_that_are_ahead(images: Path, n: int, hold: int) -> None:
    """(N - 1)(H + transfer) within 15 %, by the guest's clock and by the ledger's cycles in the waiting loop."""
    iterations = 400
    figures, spin_cycles, _ = lockbench(images / "libos-lockbench.elf", n, hold, iterations)
    ahead = (n - 1) * (figures["hold_mean"] + figures["handoff_mean"])
    assert figures["contended"] > 0.99 * n * iterations
    assert figures["wait_mean"] == pytest.approx(ahead, rel=0.15)
    assert spin_cycles / (n * iterations) == pytest.approx(ahead, rel=0.15)


# ---- asymmetry ----


def test_no_page_fault_no_page_table_switch_no_lost_cycle(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After boot: every vCPU takes interrupts and serves, and none faults, switches page tables or enters a system call."""
    monkeypatch.setenv("CYCLESCOPE_IMAGES", str(images))
    personality, cpus = LibOS(), 4
    commands = [b"set k%d 0 0 3\r\nabc\r\n" % i for i in range(200)] + [b"get k%d\r\n" % i for i in range(200)]
    payloads = [i.to_bytes(2, "big") + b"\0\0\0\1\0\0" + command for i, command in enumerate(commands)]
    spec = personality.prepare("kvd", personality.arguments_for("kvd", cpus, 11211))
    with Testbed(Hardware(cpus=cpus), personality, spec) as bed:
        bed.boot()
        earlier = bed.counters()
        before = bed.snapshot()
        phase = bed.closed_loop(16, list(frames(iter(payloads), 64)), "")
        accounts = bed.accounts(before, bed.snapshot())
        later = bed.counters()
    assert phase.lost == 0
    for old, new in zip(earlier, later, strict=True):
        for none in ("page_fault", "cr3_write", "syscall", "exception"):
            assert new[none] == old[none], none
        assert new["ipi"] - old["ipi"] < cpus  # one vCPU tells the others about a neighbour, once
        assert new["interrupt"] > old["interrupt"]
    assert not accounts.unmapped()
    for components in accounts.vcpu_components():
        assert {"app", "driver", "ip", "udp", "skb"} <= set(components)


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_a_request_is_followed_to_another_vcpu(images: Path, cpus: int) -> None:
    """Answered elsewhere, after ARP: all of a request's time is still accounted for."""
    spec = BootSpec(images / "libos-test_hop.elf", "-- hop", manifest=MANIFEST)
    with Testbed(Hardware(cpus=cpus), LibOS(), spec) as bed:
        bed.boot()
        payloads = [i.to_bytes(2, "big") + b"\0\0\0\1\0\0" + b"x" * 20 for i in range(100)]
        phase = bed.closed_loop(4, list(frames(iter(payloads), 16, 7)), "")
        table = bed.requests.table()
    assert phase.lost == 0
    assert "wait.unattributed" not in table.part_names
    assert "wait.event" in table.part_names


def test_polling_instead_of_sleeping(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """poll_us: a vCPU that expects a frame soon does not sleep, so takes no interrupt, and answers sooner; then it sleeps."""
    monkeypatch.setenv("CYCLESCOPE_IMAGES", str(images))
    payloads = [i.to_bytes(2, "big") + b"\0\0\0\1\0\0" + b"get k\r\n" for i in range(200)]
    halts, latency = {}, {}
    for poll_us in ("0", "100"):
        spec = LibOS().prepare("kvd", keys={"poll_us": poll_us})
        with Testbed(Hardware(cpus=1), LibOS(), spec) as bed:
            bed.boot()
            before = bed.counters()[0]["hlt"]
            phase = bed.closed_loop(1, list(frames(iter(payloads), 16)), "")
            halts[poll_us] = bed.counters()[0]["hlt"] - before
            table = bed.requests.table()
            latency[poll_us] = float((table.end_ps - table.start_ps).mean())
        assert phase.lost == 0
    assert halts["0"] >= 200
    assert halts["100"] <= 5
    assert latency["100"] < latency["0"]
