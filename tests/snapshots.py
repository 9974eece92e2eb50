# SPDX-License-Identifier: GPL-2.0-or-later
"""A run that is interrupted by a snapshot, one that goes on from it, and what both must agree on."""

import hashlib
from typing import Any

import numpy as np

from cyclescope.config import Hardware
from cyclescope.experiments.compare import server_arguments
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from nic.sources.etc import EtcLoad
from personalities.base import get_personality


def kvd_testbed(name: str, cpus: int, timing: str, answers: list[tuple[int, bytes, int]], **shape: Any) -> Testbed:
    """kvd on a personality; what it answers goes to `answers`."""
    hardware = Hardware(cpus=cpus, memory_mib=64, **shape)
    personality = get_personality(name)
    spec = personality.prepare("kvd", server_arguments(personality, hardware))

    def keep(index: int, answer: bytes, time_ps: int) -> None:
        answers.append((index, answer, time_ps))

    return Testbed(hardware, personality, spec, timing=timing, on_answer=keep)


def requests(count: int, seed: int = 1) -> list[bytes]:
    """The first `count` requests of a load."""
    traffic = EtcLoad(seed, 50)
    return list(frames([*traffic.preload(), *traffic.requests(count)][:count], 16))


def outcome(bed: Testbed) -> dict[str, Any]:
    """Everything a run shows: clocks, registers, ledger, counters, requests, RAM, console, NIC."""
    core, machine = bed.world.core, bed.machine
    ledger, table = bed.snapshot(), bed.requests.table()
    ram = hashlib.sha256()
    for start, end in core.ram_used(0):
        page = np.frombuffer(core.ram(0, machine.config.ram_bytes), np.uint8)[start:end].reshape(-1, 4096)
        for number in np.flatnonzero(page.any(axis=1)):
            ram.update((start // 4096 + int(number)).to_bytes(4, "little") + page[number].tobytes())
    vcpus = range(machine.config.cpus)
    return {
        "now": bed.world.now_ps, "events": bed.world.events, "pending": bed.world.queue.pending(),
        "clocks": [core.cycles(0, vcpu) for vcpu in vcpus], "regs": [core.regs(0, vcpu) for vcpu in vcpus],
        "ledger": [part.tobytes() for part in vars(ledger).values() if isinstance(part, np.ndarray)],
        "counters": bed.counters(), "happened": bed.events(), "table": [np.asarray(column).tobytes() for column in table],
        "ram": ram.hexdigest(), "console": machine.console.tail, "nic": dict(bed.nic.counters),
        "starts": list(bed.client.starts_ps),
        "ends": list(bed.client.ends_ps), "saved": bed.save({}).data("world"),
    }  # fmt: skip


def same(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Item by item, for a message that says where."""
    for name, value in first.items():
        assert second[name] == value, name


