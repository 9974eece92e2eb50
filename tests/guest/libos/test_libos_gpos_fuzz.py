# SPDX-License-Identifier: GPL-2.0-or-later
"""100,000 messages and questions of nonsense for a hosted gpos: it does not crash, hang or leak, and serves others as before."""

import random
import socket
import struct
from pathlib import Path

from tests.guest.libos.test_libos_node import Application, application, free_port

MESSAGES, QUESTIONS = 70_000, 30_000
SEGMENT, DATA = struct.Struct("<HBBHHIIII"), struct.Struct("<IIIHH")
MAGIC, NODE, WINDOW = 0x4D4C, 9, 16
HELLO, CONTROL, MAP, LOG, CONFIG = range(0x200, 0x205)
LEAK_KIB = 4096  # what its memory may have grown by once everything was seen


class Peer:
    """The messenger's own protocol, so that nonsense comes to services and does not end before them."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", free_port()))
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(0.1)
        self.session, self.theirs = 1 << 16, 0
        self.sequence = self.expected = self.answers = self.silences = 0
        self.under_way: dict[int, bytes] = {}
        while not self.theirs:
            self._put(0, b"")
            self._take()

    def _put(self, flags: int, data: bytes, sequence: int | None = None) -> None:
        number = self.sequence if sequence is None else sequence
        head = SEGMENT.pack(MAGIC, 1, flags, NODE, 0, self.session, self.theirs, number, self.expected)
        self.socket.send(head + data)

    def _take(self) -> None:
        try:
            data = self.socket.recv(2048)
        except TimeoutError:
            self.silences += 1
            assert self.silences < 100, "gpos says nothing"
            for sequence, sent in self.under_way.items():
                self._put(3, sent, sequence)
            return
        self.silences = 0
        _, _, flags, _, _, theirs, mine, sequence, expected = SEGMENT.unpack_from(data)
        if mine != self.session:
            return
        if theirs > self.theirs:  # or it has given us up
            self.theirs, self.sequence, self.expected = theirs, 0, 0
            self.under_way.clear()
        for number in [number for number in self.under_way if number < expected]:
            del self.under_way[number]
        if flags & 1:
            if sequence == self.expected:
                self.expected += 1
                self.answers += 1
            self._put(0, b"")

    def send(self, ebb: int, call: int, kind: int, body: bytes) -> None:
        """One message in one segment; waits for room in the window."""
        data = DATA.pack(ebb, call, len(body), kind, len(body)) + body
        self.under_way[self.sequence] = data
        self._put(3, data)
        self.sequence += 1
        while len(self.under_way) > WINDOW:
            self._take()


def hello(chance: random.Random, valid: bool) -> bytes:
    services = [(ebb, 1, 2 if ebb == LOG else 1, 0, 0) for ebb in range(HELLO, CONFIG + 1)]
    offers = b"".join(struct.pack("<IHHHH", *offer) for offer in services)
    if valid:
        return struct.pack("<HHHHI24s24s", 1, 5, 1, 0, 1, b"mad", b"fuzz") + offers
    name = chance.choice((b"", b"mad", b"a/b", b"\xff" * 24, chance.randbytes(24)))
    count = chance.choice((0, 1, 5, 6, 65535))
    vcpus = chance.randrange(65536)
    return struct.pack("<HHHHI24s24s", chance.randrange(4), count, vcpus, 0, 1, name, chance.randbytes(24)) + offers


def lines(chance: random.Random) -> bytes:
    few = chance.choice
    body = struct.pack("<II", few((0, 1, 1, 2)), few((0, 1, 2, 3, 1 << 31)))
    for _ in range(chance.randrange(4)):
        text = chance.randbytes(few((0, 1, 40, 600)))
        length = few((len(text), len(text), len(text), 65535, 0))
        body += struct.pack("<IHHQ", few((0, 1, 2, 1000, (1 << 32) - 1)), length, 0, chance.randrange(1 << 64)) + text
    return body


def nonsense(chance: random.Random) -> tuple[int, int, int, bytes]:
    """Service, call, type and body: often nearly right."""
    few = chance.choice
    ebb = few((HELLO, MAP, LOG, LOG, CONFIG, CONFIG, CONTROL, 0x205, chance.randrange(1 << 32)))
    root = struct.pack("<IHH", few((0, 1, 5)), few((0, 9, 65535)), few((0, 8, 512, 513, 65535)))
    root += chance.randbytes(few((0, 8, 512, 600)))
    line = few((b"colour=red\n", b"=\n", b"a" * 80 + b"=1\n", b"a=" + b"b" * 300 + b"\n", b"a=\0\n", b"none", chance.randbytes(30)))
    bodies = {HELLO: hello(chance, chance.random() < 0.002), MAP: root, LOG: lines(chance), CONFIG: line}
    body = few((bodies.get(ebb, b""), bodies.get(ebb, b""), chance.randbytes(chance.randrange(80)), b""))
    return ebb, few((0, 1, 77, 0x7FFFFFFF)), few((1, 1, 2, 2, 3, 4, 5, 6, 0xFF00)), body[: few((1400, 1400, len(body) // 2))]


def memory_kib(app: Application) -> int:
    status = Path(f"/proc/{app.gpos.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def ask_nonsense(app: Application, chance: random.Random, count: int) -> None:
    words = ("ps", "logs", "mad", "stat", "config", "get", "set", "colour", "a=b", "../config", "%s%n", "", "x" * 150)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.connect(("127.0.0.1", app.operator_port))
        own.setblocking(False)
        for number in range(count):
            text = " ".join(chance.choice(words) for _ in range(chance.randrange(5))).encode()
            magic = chance.choice((0x504F5343, 0x504F5343, 0x504F5343, 7))
            datagram = struct.pack("<II", magic, chance.choice((number, 1))) + chance.choice((text, text, chance.randbytes(20)))
            own.send(datagram[: chance.choice((1400, 1400, 9, 4, 0))])
            if number % 64 == 0:  # as fast as it answers
                app.ask("config get none")


def test_nonsense_does_no_harm(images: Path) -> None:
    chance = random.Random(1)
    with application(images, "beat_us=1000000") as app:
        app.gpos.say("gpos: ready")
        peer = Peer(app.port)
        peer.send(HELLO, 5, 1, hello(chance, True))
        app.gpos.say("mad has joined as node 9")
        for number in range(MESSAGES):
            peer.send(*nonsense(chance))
            if number % 100 == 0:
                app.gpos.look()  # or it waits for its lines to be read
            if number == MESSAGES // 2:
                before = memory_kib(app)
        assert app.gpos.process.poll() is None, app.gpos.look()
        ask_nonsense(app, chance, QUESTIONS)
        assert app.gpos.process.poll() is None, app.gpos.look()
        assert peer.answers > 1000
        assert memory_kib(app) - before < LEAK_KIB
        app.node(1, arguments=("say", 3)).say("joined as node1")
        assert " node 1: test" in app.ask("ps").answer
        peer.socket.close()
