# SPDX-License-Identifier: GPL-2.0-or-later
"""A relay between two hosted nodes on this host, which loses, doubles, delays, swaps and forges their datagrams."""

import heapq
import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """Shares of the datagrams, each way."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0  # by up to 4 ms, so others overtake
    forged: float = 0.0  # a copy is cut, or a bit changed outside the sessions: UDP's checksum sees to those


class Relay:
    """Between two nodes, each of which knows one of its sockets as the other; `ports` of the nodes' own, or free ones."""

    def __init__(self, faults: Faults, seed: int, ports: tuple[int, int] | None = None) -> None:
        self.faults, self.random = faults, random.Random(seed)
        self.sides = [udp_socket(), udp_socket()]  # what the first node knows as the second, and the reverse
        self.ports = [side.getsockname()[1] for side in self.sides]
        self.nodes = [("127.0.0.1", port) for port in ports or (free_port(), free_port())]
        self.cut = threading.Event()
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        waiting: list[tuple[float, int, int, bytes]] = []
        count = 0
        with selectors.DefaultSelector() as selector:
            for index, side in enumerate(self.sides):
                selector.register(side, selectors.EVENT_READ, index)
            while not self.ends.is_set():
                for key, _ in selector.select(0.001):
                    for data in self.faulty(key.fileobj.recv(2048)):  # type: ignore[union-attr]
                        delay = self.random.random() * 0.004 if self.random.random() < self.faults.late else 0.0
                        count += 1
                        heapq.heappush(waiting, (time.monotonic() + delay, count, 1 - key.data, data))
                while waiting and waiting[0][0] <= time.monotonic():
                    _, _, to, data = heapq.heappop(waiting)
                    if not self.cut.is_set():
                        self.sides[to].sendto(data, self.nodes[to])

    def faulty(self, data: bytes) -> Iterator[bytes]:
        chance = self.random.random
        if chance() >= self.faults.lost:
            yield data
        if chance() < self.faults.doubled:
            yield data
        if chance() < self.faults.forged:
            forged = bytearray(data)
            forged[self.random.choice((0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15))] ^= 1 << self.random.randrange(8)
            yield bytes(forged[: self.random.randrange(len(forged) + 1)] if chance() < 0.5 else forged)


@contextmanager
def relay(faults: Faults, seed: int, ports: tuple[int, int] | None = None) -> Iterator[Relay]:
    """One at work."""
    between = Relay(faults, seed, ports)
    between.thread.start()
    try:
        yield between
    finally:
        between.ends.set()
        between.thread.join()
        for side in between.sides:
            side.close()


def udp_socket() -> socket.socket:
    """Bound to a free port of this host."""
    side = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    side.bind(("127.0.0.1", 0))
    return side


def free_port() -> int:
    """Free a moment ago."""
    with udp_socket() as probe:
        return int(probe.getsockname()[1])
