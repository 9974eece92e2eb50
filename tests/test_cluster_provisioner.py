# SPDX-License-Identifier: GPL-2.0-or-later
"""The provisioner's protocol and the way an image takes: what is asked and refused, repeated, forged, lost, nonsense."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from cyclescope.cluster.provisioner import (
    ANSWERS_KEPT,
    LONGEST_ANSWER,
    PROVISIONER_PORT,
    Allocated,
    ControlPlane,
    Provisioner,
    Refused,
)  # fmt: skip
from nic.faults import Fates, LinkFaults
from nic.frames import parse_ip, parse_mac, parse_udp, udp_frame
from nic.link import Link, LinkConfig
from nic.mock_world import MockClock
from nic.netboot import BLOCK_BYTES, IMAGE_PORT, BootLoader, ImageSource, Station
from nic.ports import Frame, NullRequests

GUEST = Station(parse_mac("52:54:00:12:34:56"), parse_ip("10.0.2.15"))


class Shop:
    """Three machines of kind kvd."""

    def __init__(self) -> None:
        self.on: set[int] = set()
        self.given = 0

    def allocate(self, kind: str, time_ps: int) -> Allocated:
        if kind != "kvd":
            raise Refused(f"there is no kind {kind}; there are: kvd")
        if len(self.on) == 3:
            raise Refused("all 3 machines of kind kvd are on")
        self.given += 1
        self.on.add(self.given)
        return Allocated(self.given, f"10.0.2.{15 + self.given}", warm=self.given == 1)

    def free(self, number: int, time_ps: int) -> None:
        if number not in self.on:
            raise Refused(f"there is no machine {number} of a pool")
        self.on.remove(number)

    def status(self, number: int) -> tuple[str, str, str]:
        return "kvd", "on" if number in self.on else "ended", f"10.0.2.{15 + number}"


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, frame: Frame, time_ps: int, wait: str = "") -> int:
        self.sent.append(frame.data)
        return time_ps

    def attach(self, receiver: object) -> None:
        pass


def ask(plane: ControlPlane, text: bytes, port: int = 9) -> str:
    return plane.answer(GUEST.ip, port, text, 0)


def test_machines_are_had_and_given_back():
    plane = ControlPlane(Shop())
    assert ask(plane, b"allocate a1 kvd\n") == "machine a1 1 10.0.2.16 warm"
    assert ask(plane, b"allocate a2 kvd") == "machine a2 2 10.0.2.17 cold"
    assert ask(plane, b"status s 2") == "status s 2 kvd on 10.0.2.17"
    assert ask(plane, b"free f 2\r\n") == "freed f 2"
    assert ask(plane, b"status s 2") == "status s 2 kvd ended 10.0.2.17"


def test_a_question_that_comes_again_is_the_same_question():
    shop = Shop()
    plane = ControlPlane(shop)
    assert {ask(plane, b"allocate t kvd") for _ in range(50)} == {"machine t 1 10.0.2.16 warm"}
    assert shop.given == 1
    assert ask(plane, b"allocate t kvd", port=10) == "machine t 2 10.0.2.17 cold"
    assert ask(plane, b"free t 1") == "refused t this tag was used for another question; take a new one"
    assert shop.on == {1, 2}


def test_who_asks_for_thousands_gets_what_there_is():
    shop = Shop()
    plane = ControlPlane(shop)
    answers = [ask(plane, b"allocate n%d kvd" % number) for number in range(10_000)]
    assert sum(answer.startswith("machine") for answer in answers) == 3
    assert answers[3] == "refused n3 all 3 machines of kind kvd are on"
    assert len(plane._answers) == ANSWERS_KEPT


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"", "refused - give: "), (b"allocate", "refused - give: "), (b"allocate kvd", "refused kvd give: "),
        (b"allocate a b c", "refused a give: "), (b"allocate a dogs", "refused a there is no kind dogs; there are: kvd"),
        (b"free a 7", "refused a there is no machine 7 of a pool"), (b"free a -1", "refused a give: "),
        (b"free a 99999999999", "refused a give: "), (b"dance a 1", "refused a give: "), (b"free a! 1", "refused - give: "),
        (b"\xff\xfe a 1", "refused - give: "), (b"free\0 a 1", "refused - give: "), (b"free a " + b"1" * 200, "refused - give: "),
        (b"free " + b"a" * 17 + b" 1", "refused - give: "),
    ],
)  # fmt: skip
def test_what_is_not_had_is_refused_in_words(text: bytes, answer: str):
    assert ask(ControlPlane(Shop()), text).startswith(answer)


def test_100_000_datagrams_of_nonsense_change_nothing_and_are_answered_or_dropped():
    random, shop, wire = Random(1), Shop(), Wire()
    provisioner = Provisioner(ControlPlane(shop), wire)
    own = provisioner.station
    good = [b"allocate a kvd", b"free b 1", b"status c 1", b"allocate d dogs"]
    for number in range(100_000):
        payload = bytearray(random.choice(good) if number % 2 else random.randbytes(random.randrange(200)))
        for _ in range(random.randrange(1, 4)):
            if payload:
                payload[random.randrange(len(payload))] = random.randrange(256)
        port = random.choice([PROVISIONER_PORT, PROVISIONER_PORT, IMAGE_PORT, 53])
        frame = bytearray(udp_frame(own.mac, GUEST.mac, GUEST.ip, own.ip, random.randrange(1, 65536), port, bytes(payload)))
        if number % 5 == 0:
            frame[random.randrange(len(frame))] = random.randrange(256)
        if number % 7 == 0:
            del frame[random.randrange(len(frame)) :]
        provisioner.receive(Frame(bytes(frame)), number)
    assert len(shop.on) <= 3
    assert 30_000 < len(wire.sent) < 100_000
    answers = [parse_udp(frame) for frame in wire.sent]
    assert all(answer is None or len(answer.payload) <= LONGEST_ANSWER for answer in answers)
    refused = sum(answer is not None and answer.payload.startswith(b"refused ") for answer in answers)
    assert refused > 0.9 * len(answers)
    assert len(provisioner.plane._answers) <= ANSWERS_KEPT


# ---- images


def transfer(image: bytes, faults: LinkFaults | None = None, rate: int = 10_000_000_000, expected: bytes | None = None):
    """(arrived, when, source): an image over one link."""
    clock, ended = MockClock(), []
    link = Link(clock, NullRequests(), "link", LinkConfig(rate, 50_000))
    server = Station(parse_mac("52:54:00:12:35:03"), parse_ip("10.0.2.3"))
    source = ImageSource(
        "image", image, server, GUEST, clock=clock, sender=link.a, on_end=lambda at, arrived: ended.append((at, arrived))
    )

    class Server:
        def receive(self, frame: Frame, time_ps: int) -> None:
            udp = parse_udp(frame.data)
            assert udp is not None
            source.receive(udp, time_ps)

    link.a.attach(Server())
    link.b.attach(BootLoader(GUEST, server, link.b, hashlib.sha256(image if expected is None else expected).digest()))
    if faults is not None:
        link.a.fates, link.b.fates = Fates(faults, (1,)), Fates(faults, (2,))
    source.start(0)
    clock.run()
    assert len(ended) == 1
    return ended[0][1], ended[0][0], source


def test_an_image_takes_its_bytes_time_on_the_wire():
    image = Random(1).randbytes(72_000)
    arrived, when, source = transfer(image)
    assert arrived
    assert source.blocks == -(-len(image) // BLOCK_BYTES) == source.sent
    wire_ps = (len(image) + source.blocks * (12 + 42 + 24)) * 800  # 10 Gbit/s
    assert wire_ps < when < wire_ps * 1.03
    assert transfer(image, rate=100_000_000)[1] > 99 * when


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 64 * BLOCK_BYTES])
def test_images_of_any_size_arrive(size: int):
    assert transfer(bytes(size))[0]


def test_an_image_arrives_whole_over_a_link_that_loses_doubles_and_swaps():
    image = Random(2).randbytes(300_000)
    arrived, _, source = transfer(image, LinkFaults(loss=0.02, duplicate=0.05, reorder=0.05, reorder_ps=20_000_000))
    assert arrived
    assert source.repeated > 0


def test_an_image_for_nobody_is_given_up():
    assert not transfer(b"x" * 5000, LinkFaults(loss=1.0))[0]


def test_an_image_that_is_another_one_never_starts():
    assert not transfer(b"x" * 5000, expected=b"y" * 5000)[0]
