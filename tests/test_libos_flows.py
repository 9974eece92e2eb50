# SPDX-License-Identifier: GPL-2.0-or-later
"""The meter of flows: both kinds of its Ebb give the same answers, as long as a flow stays at its vCPU."""

import pytest

from cyclescope.experiments.sources import kept_functions
from emu.machine import MachineConfig
from emu.units import MIB
from nic.memcached_udp import Reassembler, datagram
from personalities.base import get_personality
from personalities.libos.personality import LibOS
from tests.vertical import Bench, requests_to

FLOWS, ROUNDS, CPUS = 24, 4, 4


@pytest.mark.parametrize("kind", ["shared", "local"])
def test_each_flow_is_counted(kind: str) -> None:
    personality = get_personality(f"libos:flows_{kind}")
    bench = Bench.build(MachineConfig(cpus=CPUS, ram_bytes=128 * MIB), pairs=CPUS, matcher=Reassembler())
    asked = [
        frame
        for number in range(ROUNDS)
        for frame in requests_to(11211, [datagram(number * FLOWS + flow, b"x\r\n") for flow in range(FLOWS)])
    ]
    with bench.world:
        bench.boot(personality.prepare(f"flows_{kind}", personality.arguments_for(f"flows_{kind}", CPUS, 11211)))
        bench.serve(1, asked)
    assert [bench.answers[i] for i in range(len(asked))] == [b"%d\r\n" % (i // FLOWS + 1) for i in range(len(asked))]


def test_all_but_the_ebb_is_the_same_code() -> None:
    shared, local = (LibOS().find(f"libos-flows_{kind}.elf") for kind in ("shared", "local"))
    kept = kept_functions([shared], [local])
    assert kept.of - kept.functions == 2  # its count, and what makes it
    assert kept_functions([shared], [shared]).functions == kept.of
