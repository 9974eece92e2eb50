# SPDX-License-Identifier: GPL-2.0-or-later
"""Distributed shared memory by page faults and page tables: machines in one World, library OSes beside hosted ones, QEMU."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.spec import Cluster, NodeSpec
from tests.history_referee import Operation, Referee
from tests.relay import free_port

PORT = 5640
LIMIT_PS = 20 * 10**12


class Consoles:
    """All lines of all nodes; the run ends when each has said SUCCESS."""

    def __init__(self, bed: ClusterBed) -> None:
        self.bed, self.rest, self.lines = bed, [b""] * len(bed.nodes), [[] for _ in bed.nodes]  # type: ignore[var-annotated]
        for number, node in enumerate(bed.nodes):
            node.on_console = lambda data, time_ps, number=number: self.hear(number, data)  # type: ignore[misc]

    def hear(self, number: int, data: bytes) -> None:
        *lines, self.rest[number] = (self.rest[number] + data).split(b"\n")
        self.lines[number] += [line.decode().rstrip() for line in lines]
        if lines and all("SUCCESS" in said for said in self.lines):
            self.bed.world.stop()


def run(images: Path, what: str, operations: int, personalities: list[str], vcpus: int, timing: str) -> list[list[str]]:
    """What each node said."""
    nodes = []
    for own, personality in enumerate(personalities):
        addresses = [f"10.0.2.{15 + other}:{PORT}" for other in range(len(personalities))]
        words = ["dsm", str(own), "1", "1000", what, "1", str(operations), *addresses]
        hosted = personality != "libos"
        program = images / ("hosted_test_dsm" if hosted else "libos-test_dsm.elf")
        arguments = ("memory=32", "--", *words) if hosted else tuple(words[1:])
        nodes.append(
            NodeSpec(
                name=f"node{own}", personality=personality, program=str(program), arguments=arguments, vcpus=vcpus, memory_mib=64
            )
        )
    with ClusterBed(Cluster(nodes=tuple(nodes), timing=timing)) as bed:
        consoles = Consoles(bed)
        bed.boot()
        stop = bed.run(bed.world.now_ps + LIMIT_PS)
        assert all("SUCCESS" in said for said in consoles.lines), (stop, [node.last_lines() for node in bed.nodes])
        return consoles.lines


@pytest.mark.parametrize(
    ("personalities", "vcpus", "operations", "timing"),
    [
        (["libos"] * 3, 1, 150, "functional"),
        (["libos"] * 2, 2, 25, "detailed"),
        (["linux_like", "libos"], 1, 60, "functional"),
    ],
)
def test_histories(images: Path, personalities: list[str], vcpus: int, operations: int, timing: str) -> None:
    judge(run(images, "history", operations, personalities, vcpus, timing), operations, vcpus)


def judge(said: list[list[str]], operations: int, vcpus: int) -> None:
    """Nodes of one vCPU are sequentially consistent; half the operations waited for a page."""
    words = [line.split() for lines in said for line in lines]
    history = [Operation(int(w[0]), int(w[1]), w[2], int(w[3]), int(w[4]), int(w[5])) for w in words if len(w) == 6]
    assert len(history) == operations * len(said) * vcpus
    assert sum(int(w[4]) for w in words if w[:1] == ["faults"]) > operations * len(said) / 4  # granted
    Referee(history).check(tso=vcpus > 1)


@pytest.mark.parametrize(("what", "rounds", "vcpus", "nodes"), [("litmus", 12, 1, 4), ("locks", 6, 2, 2)])
def test_judges_of_their_own(images: Path, what: str, rounds: int, vcpus: int, nodes: int) -> None:
    run(images, what, rounds, ["libos"] * nodes, vcpus, "functional")


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="qemu-system-x86_64 is not installed")
def test_histories_under_qemu(images: Path) -> None:
    """Page faults, page tables and shootdowns on two machines that are not ours."""
    operations, vcpus, ports = 150, 2, (free_port(), free_port())
    said: list[list[str]] = [[], []]
    machines = []
    for own in range(2):
        words = f"ip=10.0.2.{15 + own}/24 -- dsm {own} 1 10000 history 1 {operations} 10.0.2.15:{PORT} 10.0.2.16:{PORT}"
        network = f"socket,id=n0,udp=127.0.0.1:{ports[1 - own]},localaddr=127.0.0.1:{ports[own]}"
        command = [
            "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-smp", str(vcpus), "-m", "128", "-display", "none",
            "-kernel", str(images / "libos-test_dsm.elf"), "-append", words, "-serial", "stdio", "-monitor", "none",
            "-device", f"virtio-net-pci,disable-legacy=on,netdev=n0,mac=52:54:00:12:34:5{own}", "-netdev", network,
        ]  # fmt: skip
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        machines.append(machine)

    def listen(own: int) -> None:
        with machines[own].stdout as lines:  # type: ignore[union-attr]
            for line in lines:
                said[own].append(line.rstrip())
                if said[own][-1] in ("SUCCESS",) or "panic" in line:
                    return

    listeners = [threading.Thread(target=listen, args=(own,)) for own in range(2)]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join(60)
    for machine in machines:
        machine.kill()
        machine.wait()
    judge(said, operations, vcpus)
