# SPDX-License-Identifier: GPL-2.0-or-later
"""Symmetric and asymmetric, read off the ledger and the raw trace of the same load on 4 vCPUs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from nic.memcached_udp import DEFAULT_PORT, datagram
from personalities.base import get_personality
from tests.referee import PROBE, TAG, TAKE

CPUS, REQUESTS = 4, 400


@dataclass
class Served:
    """What a load left behind: per vCPU counters and component cycles, and for each request the vCPUs that handled its buffers."""

    counters: list[dict[str, int]]
    components: tuple[dict[str, int], ...]
    vcpus: dict[int, set[int]]


def payloads() -> Iterator[bytes]:
    for i in range(REQUESTS):
        yield datagram(i, b"set k%d 0 0 3\r\nabc\r\n" % i if i % 2 == 0 else b"get k%d\r\n" % (i - 1))


def serve(name: str) -> Served:
    personality = get_personality(name)
    spec = personality.prepare("kvd", personality.arguments_for("kvd", CPUS, DEFAULT_PORT))
    with Testbed(Hardware(cpus=CPUS), personality, spec) as bed:
        bed.boot()
        earlier, before = bed.counters(), bed.snapshot()
        bed.calls.trace(4_000_000)
        phase = bed.closed_loop(16, list(frames(payloads(), 64)), "")
        assert phase.lost == 0
        components = bed.accounts(before, bed.snapshot()).vcpu_components()
        counters = [{n: b[n] - a[n] for n in b} for a, b in zip(earlier, bed.counters(), strict=True)]
        trace = bed.calls.trace_read(4_000_000)
    assert trace.dropped == 0
    on_buffer: dict[int, int] = {}  # the token that the NIC laid on a buffer
    handled_by: dict[int, int] = {}  # the vCPU whose driver last showed a buffer to a probe
    vcpus: dict[int, set[int]] = defaultdict(set)
    for event in trace.events:
        kind, gpa = int(event["kind"]), int(event["a"])
        if kind == TAG:
            on_buffer[gpa] = int(event["b"])
        elif kind == PROBE and event["end_ps"]:
            handled_by[gpa] = int(event["vcpu"])
            if gpa in on_buffer:
                vcpus[on_buffer[gpa]].add(int(event["vcpu"]))
        elif kind == TAKE and event["b"]:
            vcpus[int(event["b"])].add(handled_by[gpa])
    assert len(vcpus) >= REQUESTS
    return Served(counters, components, vcpus)


@pytest.fixture(scope="module")
def linux_like() -> Served:
    return serve("linux_like")


@pytest.fixture(scope="module")
def libos() -> Served:
    return serve("libos")


def test_every_vcpu_of_linux_like_takes_interrupts_and_system_calls(linux_like: Served) -> None:
    for counters, components in zip(linux_like.counters, linux_like.components, strict=True):
        assert counters["interrupt"] > 0
        assert counters["syscall"] > 0
        assert all(components.get(name, 0) > 0 for name in ("irq", "syscall", "netdev", "udp", "sched", "app"))


def test_a_request_in_linux_like_may_be_received_and_answered_by_different_vcpus(linux_like: Served) -> None:
    assert any(len(vcpus) > 1 for vcpus in linux_like.vcpus.values())


def test_a_request_in_libos_is_touched_by_one_vcpu_from_ring_to_ring(libos: Served) -> None:
    assert all(len(vcpus) == 1 for vcpus in libos.vcpus.values())
    assert len(set().union(*libos.vcpus.values())) == CPUS  # and every vCPU has requests of its own


def test_libos_takes_no_page_fault_and_switches_no_page_table_after_boot(libos: Served) -> None:
    for counters in libos.counters:
        assert counters["page_fault"] == counters["cr3_write"] == counters["syscall"] == counters["exception"] == 0
