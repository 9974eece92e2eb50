# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames go all the way: client, switch, link, NIC, guest kernel, application, and back; nothing is mocked."""

import pytest

from emu.machine import MachineConfig
from emu.units import MIB
from nic.matching import PortMatcher
from nic.memcached_udp import Reassembler, datagram
from personalities.base import get_personality
from tests.vertical import Bench, requests_to

CPUS = [1, 4]


@pytest.mark.parametrize("cpus", CPUS)
def test_libos_echoes_udp(cpus: int) -> None:
    bench = Bench.build(MachineConfig(cpus=cpus, ram_bytes=128 * MIB), pairs=cpus, matcher=PortMatcher())
    with bench.world:
        bench.boot(get_personality("libos").prepare("udp_echo"))
        bench.serve(4, requests_to(7, [b"payload %d" % i for i in range(64)]))
    assert bench.answers == {i: b"payload %d" % i for i in range(64)}


@pytest.mark.parametrize("cpus", CPUS)
@pytest.mark.parametrize("name", ["libos", "linux_like"])
def test_kvd_stores_and_gives_back(name: str, cpus: int) -> None:
    personality = get_personality(name)
    bench = Bench.build(MachineConfig(cpus=cpus, ram_bytes=256 * MIB), pairs=cpus, matcher=Reassembler())
    with bench.world:
        bench.boot(personality.prepare("kvd", personality.arguments_for("kvd", cpus, 11211)))
        count = 40
        sets = [datagram(i, b"set key%d 0 0 6\r\nval%03d\r\n" % (i, i)) for i in range(count)]
        gets = [datagram(count + i, b"get key%d\r\n" % i) for i in range(count)]
        bench.serve(1, requests_to(11211, sets + gets))
    assert [bench.answers[i] for i in range(count)] == [b"STORED\r\n"] * count
    assert [bench.answers[count + i] for i in range(count)] == [
        b"VALUE key%d 0 6\r\nval%03d\r\nEND\r\n" % (i, i) for i in range(count)
    ]
