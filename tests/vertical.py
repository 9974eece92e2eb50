# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest and one client on a switch, for tests: the whole way from a frame to its answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from emu.loader.boot import BootSpec
from emu.machine import Machine, MachineConfig
from emu.units import PS_PER_S
from emu.world import Reason, StopInfo, World
from nic.costs import NicConfig
from nic.endpoint import Endpoint
from nic.frames import parse_ip, parse_mac, udp_frame
from nic.link import Link
from nic.matching import EndpointConfig, Matcher
from nic.ports import NullRequests
from nic.switch import Switch
from nic.virtio_net import VirtioNet

CLIENT_MAC, GUEST_MAC = "52:54:00:00:00:02", "52:54:00:12:34:56"
CLIENT_IP, GUEST_IP = "10.0.2.2", "10.0.2.15"


@dataclass
class Bench:
    """A World with a guest that has booted up to its ready line."""

    world: World
    machine: Machine
    nic: VirtioNet
    endpoint: Endpoint
    answers: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def build(
        cls, config: MachineConfig, *, pairs: int = 1, matcher: Matcher | None = None, requests: Any = None
    ) -> "Bench":
        world = World()
        machine = world.add_machine(config)
        log = requests or NullRequests()
        guest_link, client_link = Link(world, log, "guest-link"), Link(world, log, "client-link")
        switch = Switch(log)
        switch.connect(guest_link.b)
        switch.connect(client_link.b)
        nic = VirtioNet(
            "nic", NicConfig(mac=GUEST_MAC, pairs=pairs),
            clock=world, dma=machine.dma, interrupts=machine, requests=log, sender=guest_link.a,
        )  # fmt: skip
        machine.add_pci(nic.function)
        answers: dict[int, bytes] = {}

        def answered(index: int, answer: bytes, time_ps: int) -> None:
            answers[index] = answer

        endpoint = Endpoint(
            "client", EndpointConfig(mac=CLIENT_MAC, ip=CLIENT_IP, guest_ip=GUEST_IP),
            clock=world, requests=log, sender=client_link.a, matcher=matcher,
            on_answer=answered, on_done=lambda time_ps: world.stop(),
        )  # fmt: skip
        return cls(world, machine, nic, endpoint, answers)

    def boot(self, spec: BootSpec, limit_ps: int = 20 * PS_PER_S) -> StopInfo:
        """Run until a console line ends in ` ready`."""
        line = bytearray()

        def sink(data: bytes, time_ps: int) -> None:
            line.extend(data.replace(b"\r", b""))
            if b" ready\n" in line:
                self.world.stop()
            del line[: line.rfind(b"\n") + 1]

        self.machine.console.sink = sink
        self.machine.boot(spec)
        stop = self.world.run(limit_ps)
        self.machine.console.sink = None
        assert stop.reason == Reason.REQUESTED, (stop, self.machine.console.tail[-2000:])
        return stop

    def serve(self, outstanding: int, frames: Iterable[bytes], limit_ps: int = 10 * PS_PER_S) -> StopInfo:
        """A closed loop of requests, to its end."""
        now = self.world.now_ps
        self.endpoint.closed_loop(outstanding, frames, now + 1_000_000)
        stop = self.world.run(now + limit_ps)
        assert stop.reason == Reason.REQUESTED, (stop, self.machine.console.tail[-2000:], self.nic.counters)
        return stop


def requests_to(port: int, payloads: Sequence[bytes], first_port: int = 20_000) -> list[bytes]:
    """UDP frames to the guest, each from a client port of its own."""
    return [
        udp_frame(
            src_mac=parse_mac(CLIENT_MAC), dst_mac=parse_mac(GUEST_MAC),
            src_ip=parse_ip(CLIENT_IP), dst_ip=parse_ip(GUEST_IP),
            src_port=first_port + number, dst_port=port, payload=payload,
        )
        for number, payload in enumerate(payloads)
    ]  # fmt: skip
