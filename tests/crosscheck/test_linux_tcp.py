# SPDX-License-Identifier: GPL-2.0-or-later
"""Our TCP against Linux's own: an unmodified kernel on our machine, with busybox's nc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.machine import MachineConfig
from emu.units import MIB, PS_PER_MS, PS_PER_S
from emu.world import Reason, World
from nic.costs import NicConfig
from nic.fabric import Star
from nic.faults import Fates, LinkFaults
from nic.ports import Frame, NullRequests
from nic.tap import Tracer
from nic.tcp.config import TcpConfig
from nic.tcp.connection import State
from nic.tcp.host import TcpHost
from nic.tcp.segment import parse_tcp
from nic.virtio_net import VirtioNet
from personalities.linux.personality import Linux
from tests.crosscheck.linux import BUSYBOX, needs_linux
from tests.tcp_pair import A_IP, A_MAC, B_IP, User
from tests.test_nic_tcp_pair import pattern
from tests.test_nic_tcp_tshark import OF_LOSS, ORDINARY
from tests.tshark import HAVE_TSHARK, judge

pytestmark = needs_linux(HAVE_TSHARK, "and tshark")

ECHO_PORT = 7
#: What a peer that stops reading explains.
OF_WINDOWS = ("TCP window update", "TCP Zero Window segment", "TCP window specified by the receiver is now completely full",
              "TCP Zero Window Probe", "ACK to a TCP keep-alive segment", "ACK to a Zero Window Probe", "TCP keep-alive segment",
              "ACK to a TCP Zero Window Probe")  # fmt: skip


class Guest:
    """A Linux that echoes on ECHO_PORT, and our host on the other side of a switch; losses each way."""

    def __init__(self, loss: float, config: TcpConfig | None = None) -> None:
        self.world = World()
        try:
            self._boot(loss, config)
        except BaseException:
            self.world.close()
            raise

    def _boot(self, loss: float, config: TcpConfig | None) -> None:
        world, log = self.world, NullRequests()
        machine = world.add_machine(MachineConfig(cpus=1, ram_bytes=256 * MIB))
        star = Star(world, log)
        ends = [star.join("guest"), star.join("client")]
        if loss:
            for n, end in enumerate(ends):
                end.far.fates = Fates(LinkFaults(loss=loss), (n,))
        nic = VirtioNet(
            "nic", NicConfig(pairs=1), clock=world, dma=machine.dma, interrupts=machine, requests=log, sender=ends[0]
        )
        machine.add_pci(nic.function)
        self.user, self.frames = User(), list[tuple[int, str, Frame]]()
        tracer = Tracer(ends[1], lambda *what: self.frames.append(what))
        self.host = TcpHost(
            "host", A_MAC, A_IP, B_IP, None, service=self.user, clock=world, sender=tracer, config=config
        )
        self.user.host = self.host
        linux = Linux().with_options(ready=f"tcp {ECHO_PORT}")
        arguments = ["nc", "-ll", "-p", str(ECHO_PORT), "-e", str(BUSYBOX), "cat"]
        line = bytearray()

        def sink(data: bytes, time_ps: int) -> None:
            line.extend(data)
            if linux.ready_line.encode() in line:
                world.stop()

        machine.console.sink = sink
        machine.boot(linux.prepare(BUSYBOX, arguments))
        stop = world.run(linux.boot_limit_ps)
        machine.console.sink = None
        assert stop.reason is Reason.REQUESTED, (stop, machine.console.tail[-2000:])

    def run(self, for_ps: int) -> None:
        self.world.run(self.world.now_ps + for_ps)

    def until_got(self, size: int, count: int, limit_ps: int = 60 * PS_PER_S) -> None:
        """Run until each of `count` connections has got `size` bytes."""
        end = self.world.now_ps + limit_ps
        while self.world.now_ps < end and any(len(self.user.got.get(n, b"")) < size for n in range(count)):
            self.run(100 * PS_PER_MS)


@pytest.fixture
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    found = Guest(*request.param)
    with found.world:
        yield found


@pytest.mark.parametrize(
    ("guest", "explained"),
    [
        ((0.0,), ()),
        ((0.03,), OF_LOSS),
        ((0.05, TcpConfig(sack=False, timestamps=False, window_scale=False, mss=536)), OF_LOSS),
    ],
    indirect=["guest"],
)
def test_linux_echoes_every_byte_and_tshark_has_nothing_to_remark(
    guest: Guest, explained: tuple[str, ...], tmp_path: Path
) -> None:
    size, count = 150_000, 3  # as many as nc lets wait to be accepted
    for number in range(count):
        guest.host.connect(ECHO_PORT, guest.world.now_ps)
        guest.host.write(number, pattern(size, number), guest.world.now_ps)
    guest.until_got(size, count)
    for number in range(count):
        guest.host.close(number, guest.world.now_ps)
    guest.run(5 * PS_PER_S)
    assert [bytes(guest.user.got[number]) for number in range(count)] == [pattern(size, n) for n in range(count)]
    assert {guest.host.state(number) for number in range(count)} <= {State.TIME_WAIT}
    assert bool(guest.host.counters["retransmitted"]) == bool(explained)
    assert (
        not {"bad_checksum", "bad_ack", "no_ack_bit", "strange_sacks", "reset_elsewhere"} & guest.host.counters.keys()
    )
    said, wrong = judge(tmp_path, guest.frames)
    assert not wrong
    assert [message for message in said if not message.startswith(ORDINARY + OF_WINDOWS + explained)] == []


@pytest.mark.parametrize("guest", [(0.0, TcpConfig(receive_buffer=20_000))], indirect=True)
def test_windows_close_both_ways_and_open_again(guest: Guest, tmp_path: Path) -> None:
    size = 8 << 20  # more than the buffers of a socket pair of Linux take
    number = guest.host.connect(ECHO_PORT, guest.world.now_ps)
    guest.run(PS_PER_MS)
    guest.host.read_on(number, False, guest.world.now_ps)
    guest.host.write(number, pattern(size), guest.world.now_ps)
    guest.run(10 * PS_PER_S)
    assert guest.host.counters["window_probes"] >= 3  # Linux has closed its window to us, and we ours to it
    assert guest.user.got[number] == b""
    guest.host.read_on(number, True, guest.world.now_ps)
    guest.until_got(size, 1)
    assert bytes(guest.user.got[number]) == pattern(size)
    said, wrong = judge(tmp_path, guest.frames)
    assert not wrong
    assert said["TCP Zero Window segment"] > 0
    assert [message for message in said if not message.startswith(ORDINARY + OF_WINDOWS)] == []


@pytest.mark.parametrize("guest", [(0.0,)], indirect=True)
def test_linux_refuses_a_closed_port_and_takes_our_reset(guest: Guest) -> None:
    guest.host.connect(9, guest.world.now_ps)
    other = guest.host.connect(ECHO_PORT, guest.world.now_ps)
    guest.host.write(other, b"x", guest.world.now_ps)
    guest.run(100 * PS_PER_MS)
    assert guest.user.over == {0: "refused the connection"}
    assert guest.user.got[other] == b"x"
    guest.host.abort(other, "", guest.world.now_ps)
    before = len(guest.frames)
    guest.run(PS_PER_S)
    assert [frame for _, _, frame in guest.frames[before:] if parse_tcp(frame.data)] == []  # nothing is left to say
