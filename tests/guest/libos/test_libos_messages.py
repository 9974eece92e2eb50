# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages between two hosted nodes on this host, whose datagrams a relay loses, doubles, delays, swaps and forges."""

import heapq
import random
import re
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SEGMENT = struct.Struct("<HBBHHIIII")


@dataclass(frozen=True)
class Faults:
    """Shares of the datagrams, each way."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0  # by up to 4 ms, so others overtake
    forged: float = 0.0  # a copy is cut, or a bit changed outside the sessions: UDP's checksum sees to those


class Relay:
    """Between node 1 and node 2, each of which knows one of its sockets as the other node."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults, self.random = faults, random.Random(seed)
        self.sides = [udp_socket(), udp_socket()]  # what node 1 knows as node 2, and the reverse
        self.ports = [side.getsockname()[1] for side in self.sides]
        self.nodes = [("127.0.0.1", free_port()) for _ in self.sides]
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
def relay(faults: Faults, seed: int) -> Iterator[Relay]:
    between = Relay(faults, seed)
    between.thread.start()
    try:
        yield between
    finally:
        between.ends.set()
        between.thread.join()
        for side in between.sides:
            side.close()


def udp_socket() -> socket.socket:
    side = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    side.bind(("127.0.0.1", 0))
    return side


def free_port() -> int:
    with udp_socket() as probe:
        return int(probe.getsockname()[1])


def node(images: Path, between: Relay, number: int, count: int, session: int = 1) -> "subprocess.Popen[str]":
    words = [number, between.nodes[number - 1][1], session, 3 - number, "127.0.0.1", between.ports[number - 1], count]
    command = [str(images / "hosted_test_messages"), "cpus=1", "--", "messages", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def told(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text)
    assert found, text
    return tuple(map(int, found.groups()))


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(lost=0.1),
        Faults(doubled=0.3, late=0.3),
        Faults(lost=0.05, doubled=0.05, late=0.1, forged=0.2),
    ],
)
def test_each_message_comes_once_in_order_and_whole(images: Path, faults: Faults) -> None:
    """The receiver checks contents and order itself; a forged copy is a datagram that anybody may send."""
    with relay(faults, 1) as between:
        taker = node(images, between, 2, 0)
        sender = node(images, between, 1, 600)
        said, _ = sender.communicate(timeout=120)
        assert sender.returncode == 0, said
        assert told(said, r"sent 600 delivered (\d+) failed (\d+)") == (600, 0)
        taken, _ = taker.communicate(timeout=120)
        assert taker.returncode == 0, taken
        assert told(taken, r"received (\d+) last (\d+)") == (600, 600)


def test_a_node_that_starts_anew(images: Path) -> None:
    """What the old life had not acknowledged fails, and is said to; the new one gets all that is sent to it, once and in order."""
    with relay(Faults(lost=0.02), 2) as between:
        first = node(images, between, 2, 0)
        sender = node(images, between, 1, 4000)
        assert first.stdout is not None
        for line in first.stdout:
            if line.startswith("taken 1000"):
                break
        first.kill()
        first.communicate()
        second = node(images, between, 2, 0, session=2)
        said, _ = sender.communicate(timeout=120)
        assert sender.returncode == 0, said
        delivered, failed = told(said, r"sent 4000 delivered (\d+) failed (\d+)")
        taken, _ = second.communicate(timeout=120)
        assert second.returncode == 0, taken
        received, last = told(taken, r"received (\d+) last (\d+)")
        assert delivered + failed == 4000
        assert last == 4000
        assert 0 < failed <= 80
        assert received <= 3000


def test_a_node_that_is_not_there(images: Path) -> None:
    with relay(Faults(), 3) as between:
        sender = node(images, between, 1, 100)
        said, _ = sender.communicate(timeout=120)
        assert (sender.returncode, told(said, r"sent 100 delivered (\d+) failed (\d+)")) == (0, (0, 100))


def test_a_link_that_comes_back(images: Path) -> None:
    """Longer than the sender's patience: what was under way fails, and both ends agree on what comes behind."""
    with relay(Faults(), 4) as between:
        taker = node(images, between, 2, 0)
        sender = node(images, between, 1, 4000)
        assert taker.stdout is not None
        for line in taker.stdout:
            if line.startswith("taken 500"):
                break
        between.cut.set()
        time.sleep(2.5)
        between.cut.clear()
        said, _ = sender.communicate(timeout=120)
        assert sender.returncode == 0, said
        delivered, failed = told(said, r"sent 4000 delivered (\d+) failed (\d+)")
        assert delivered + failed == 4000
        taken, _ = taker.communicate(timeout=120)
        assert taker.returncode == 0, taken
        received, last = told(taken, r"received (\d+) last (\d+)")
        assert last == 4000
        assert received >= delivered


def test_strangers_and_nonsense(images: Path) -> None:
    """100,000 datagrams of anything, many of them nearly right, from the peer's own address: the node goes on."""
    chance = random.Random(5)
    with udp_socket() as peer:
        port = free_port()
        words = [1, port, 1, 2, "127.0.0.1", peer.getsockname()[1], 0]
        command = [str(images / "hosted_test_messages"), "cpus=1", "--", "messages", *map(str, words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as target:
            assert target.stdout is not None
            assert target.stdout.readline() == "messages: ready\n"
            for number in range(100_000):
                peer.sendto(nonsense(chance), ("127.0.0.1", port))
                if number % 64 == 0:  # its socket's queue has room for so many
                    time.sleep(0.0005)
            assert target.poll() is None, target.stdout.read()
            peer.setblocking(False)
            while True:
                try:
                    peer.recv(2048)
                except BlockingIOError:
                    break
            peer.settimeout(10)
            session = 0xFFFF0000  # the last life there can be
            peer.sendto(SEGMENT.pack(0x4D4C, 1, 0, 2, 1, session, 0, 0, 0), ("127.0.0.1", port))
            answer = SEGMENT.unpack(peer.recv(2048))
            assert (answer[0], answer[3:5], answer[6]) == (0x4D4C, (1, 2), session)
            target.kill()


def nonsense(chance: random.Random) -> bytes:
    """A segment with likely values in its fields, then cut, filled or changed."""
    few = lambda *values: chance.choice(values)  # noqa: E731
    length = few(0, 1, 100, 1400, 1401, chance.randrange(1 << 16))
    head = SEGMENT.pack(
        few(0x4D4C, 0x4D4C, 0x4D4C, chance.randrange(1 << 16)),
        few(1, 1, 1, 2), few(0, 1, 2, 3, 3, 255), few(2, 2, 2, 3, 999), few(1, 1, 1, 2),
        few(1, 65536, 65536, 65537, 0), few(0, 65536, 65536, 65537),
        few(0, 0, 1, 2, 31, 32, 1 << 31), few(0, 0, 1, 5, (1 << 32) - 1),
    )  # fmt: skip
    total = few(0, length, length, 3000, 65536, 65537, (1 << 32) - 1)
    data = struct.pack("<IIIHH", few(601, 7), few(0, 1, 0x80000001), total, few(1, 2, 0xFF00), length)
    whole = head + few(b"", data, data, data) + bytes(min(length, 1420))
    return whole[: few(len(whole), len(whole), chance.randrange(len(whole) + 1))]
