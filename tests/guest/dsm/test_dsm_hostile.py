# SPDX-License-Identifier: GPL-2.0-or-later
"""A member that is mad: 50,000 messages of nonsense to a home, and as many from one. Nobody crashes, or is confused for good."""

import random
import re
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.messenger_peer import Message, Peer
from tests.relay import free_port, udp_socket

EBB, PAGE = 0x207, 4096
HEAD = struct.Struct("<IIBBHI")  # page, epoch, rights, content, error, life
HELLO, WELCOME, ASK_READ, ASK_WRITE, GRANT, REFUSE, INVALIDATE, INVALIDATED, RECALL, RETURN = range(1, 11)
MESSAGES = 50_000
LEASE_MS = 1500


class Lines:
    """What a process says, as it comes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.lines: list[str] = []
        assert process.stdout is not None
        self.stdout = process.stdout
        self.thread = threading.Thread(target=lambda: self.lines.extend(self.stdout), daemon=True)
        self.thread.start()

    def since(self, place: int, pattern: str) -> bool:
        return any(re.match(pattern, line) for line in self.lines[place:])


Guest = tuple["subprocess.Popen[str]", int, Lines]


@contextmanager
def guest(images: Path, own: int, what: str, operations: int, peer_port: int) -> Iterator[Guest]:
    """Node `own` of two, the other of which we are."""
    port = free_port()
    ports = [port, peer_port] if own == 0 else [peer_port, port]
    words = ["dsm", str(own), "1", str(LEASE_MS), what, "1", str(operations), *(f"127.0.0.1:{each}" for each in ports)]
    command = [str(images / "hosted_test_dsm"), "cpus=1", "memory=64", "--", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "dsm: ready\n"
        lines = Lines(process)
        yield process, port, lines
        process.kill()
        lines.thread.join()


def head(page: int, epoch: int, rights: int = 0, content: int = 0, error: int = 0, life: int = 0) -> bytes:
    return HEAD.pack(page, epoch, rights, content, error, life)


def nonsense(chance: random.Random, epoch: int, types: list[int]) -> tuple[int, bytes]:
    """A message with likely values in its fields, then cut or filled."""
    few = lambda *values: chance.choice(values)  # noqa: E731
    type_ = few(*types, *types, *types, few(0, 11, 0xFFFF))
    body = head(
        few(0, 1, 2, 3, 3, 30, 63, 64, 511, 512, 524_287, 524_288, (1 << 32) - 1),
        few(epoch, epoch, epoch, epoch, 0, 1, epoch + 1, (1 << 32) - 1),
        few(0, 1, 2, 2, 3, 255), few(0, 1, 2, 2, 3, 255), few(0, 1, 4, 5, 65535), few(0, 1, 2),
    )  # fmt: skip
    if chance.random() < 0.1 and (type_ == RETURN or body[9] == 2):
        body += bytes(PAGE)
    if chance.random() < 0.1:
        body = body[: chance.randrange(len(body))] + bytes(few(0, 1, 5000))
    return type_, body


def test_a_mad_guest(images: Path) -> None:
    """It keeps pages for ever, returns what it does not have, asks twice. When its lease has run out, the home goes on."""
    chance = random.Random(1)
    epochs: list[int] = []

    def heard(message: Message) -> None:
        if message.type == WELCOME:
            epochs.append(HEAD.unpack(message.body)[1])

    with udp_socket() as sock, guest(images, 0, "read", 1_000_000, sock.getsockname()[1]) as (process, port, lines):
        peer = Peer(sock, 1, 0, port, heard)
        types = [ASK_READ, ASK_WRITE, GRANT, REFUSE, INVALIDATE, INVALIDATED, RECALL, RETURN, HELLO]
        for number in range(MESSAGES):
            if number % 5000 == 0:  # a new stay; what the last one had is lost, or free
                peer.send(EBB, HELLO, head(0, 0), call=number + 1)
                assert peer.run(20, lambda: peer.quiet and len(epochs) > 0)
            type_, body = nonsense(chance, epochs[-1], types)
            peer.send(EBB, type_, body, call=chance.choice((0, 0, 0, 7)))
            if number % 500 == 0:
                assert peer.run(20, lambda: peer.quiet)
        assert peer.run(20, lambda: peer.quiet)
        assert process.poll() is None
        peer.send(EBB, HELLO, head(0, 0), call=MESSAGES + 1)
        stays = len(epochs)
        assert peer.run(20, lambda: peer.quiet and len(epochs) > stays)
        place = len(lines.lines)
        for page in (1, 2, 3):  # each answers: it is there, or it was lost with the mad one
            pattern = f"page {page} (is|failed: it was being written on a node that died)"
            assert peer.run(20, lambda: lines.since(place, pattern)), pattern  # noqa: B023


def test_a_mad_home(images: Path) -> None:
    """It grants what was not asked, takes what it did not give. When it is sane again, its guest gets its pages."""
    chance = random.Random(2)
    epoch, sane = 7, False

    def heard(message: Message) -> None:
        page = HEAD.unpack(message.body)[0]
        if message.type == HELLO:
            peer.answer(message, WELCOME, head(0, epoch, life=1))
        elif sane and message.type in (ASK_READ, ASK_WRITE):
            peer.send(EBB, GRANT, head(page, epoch, message.type - ASK_READ + 1, 2) + struct.pack("<512Q", *[12345] * 512))

    with udp_socket() as sock, guest(images, 1, "read", 1_000_000, sock.getsockname()[1]) as (process, port, lines):
        peer = Peer(sock, 0, 1, port, heard)
        types = [GRANT, REFUSE, INVALIDATE, RECALL, GRANT, ASK_WRITE, RETURN, WELCOME]
        for number in range(MESSAGES):
            type_, body = nonsense(chance, epoch, types)
            peer.send(EBB, type_, body)
            if number % 500 == 0:
                assert peer.run(20, lambda: peer.quiet)
        assert peer.run(20, lambda: peer.quiet)
        assert process.poll() is None
        sane = True
        for page in range(4):  # those that wait, whatever they asked for; then all of them anew
            for rights in (1, 2):
                peer.send(EBB, GRANT, head(page, epoch, rights, 2) + struct.pack("<512Q", *[12345] * 512))
            peer.send(EBB, INVALIDATE, head(page, epoch))
            peer.send(EBB, RECALL, head(page, epoch))
        for page in (1, 2, 3):
            assert peer.run(20, lambda: lines.since(0, f"page {page} is 12345")), page  # noqa: B023
