# SPDX-License-Identifier: GPL-2.0-or-later
"""Two TCP hosts on one link, for tests; what each of their users heard."""

from __future__ import annotations

from nic.faults import Fates, LinkFaults
from nic.link import Link, LinkConfig
from nic.mock_world import MockClock
from nic.ports import Frame, NullRequests
from nic.tap import Tracer
from nic.tcp.config import TcpConfig
from nic.tcp.host import TcpHost

A_MAC, B_MAC = "52:54:00:00:00:02", "52:54:00:12:34:56"
A_IP, B_IP = "10.0.2.2", "10.0.2.15"
PORT = 7


class User:
    """Keeps what it hears. `echo`: sends everything back; `shut`: closes when the peer has; `brief`: as soon as it is open."""

    def __init__(self, echo: bool = False, shut: bool = True, brief: bool = False) -> None:
        self.echo, self.shut, self.brief = echo, shut, brief
        self.host: TcpHost
        self.got: dict[int, bytearray] = {}
        self.opened: list[int] = []
        self.over: dict[int, str] = {}
        self.last_ps = 0

    def ready(self, number: int, time_ps: int) -> None:
        self.opened.append(number)
        self.got.setdefault(number, bytearray())
        if self.brief:
            self.host.close(number, time_ps)

    def arrived(self, number: int, data: bytes, time_ps: int) -> None:
        assert data
        self.got[number] += data
        self.last_ps = time_ps
        if self.echo:
            assert self.host.write(number, data, time_ps)

    def half_closed(self, number: int, time_ps: int) -> None:
        if self.shut:
            self.host.close(number, time_ps)

    def ended(self, number: int, error: str, time_ps: int) -> None:
        assert number not in self.over
        self.over[number] = error


class Pair:
    """`a` opens connections to `b`, which listens on PORT. Faults are on what arrives at each."""

    def __init__(
        self,
        a: TcpConfig | None = None,
        b: TcpConfig | None = None,
        faults: tuple[LinkFaults, LinkFaults] | None = None,
        seed: int = 1,
        link: LinkConfig | None = None,
        user: User | None = None,
        server: User | None = None,
    ) -> None:
        self.clock = MockClock()
        self.link = Link(self.clock, NullRequests(), "link", link or LinkConfig())
        self.frames: list[tuple[int, str, Frame]] = []
        self.user, self.server = user or User(), server or User(echo=True)
        ends = [self.link.a, self.link.b]
        for number, fault in enumerate(faults or ()):
            ends[number].far.fates = Fates(fault, (seed, number))
        ends[0] = Tracer(ends[0], lambda *what: self.frames.append(what))
        common = {"clock": self.clock}
        self.a = TcpHost("a", A_MAC, A_IP, B_IP, None, service=self.user, sender=ends[0], config=a, **common)
        self.b = TcpHost("b", B_MAC, B_IP, A_IP, None, service=self.server, sender=ends[1], config=b, **common)
        self.user.host, self.server.host = self.a, self.b
        self.b.listen(PORT)

    def run(self, most: int = 400_000) -> None:
        """To the end of all events; fails when that takes more than `most` of them."""
        self.clock.run(None, most)
