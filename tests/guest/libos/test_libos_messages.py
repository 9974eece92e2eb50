# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages between two hosted nodes on this host, whose datagrams a relay loses, doubles, delays, swaps and forges."""

import random
import re
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.relay import Faults, Relay, free_port, relay, udp_socket

SEGMENT = struct.Struct("<HBBHHIIII")


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
