# SPDX-License-Identifier: GPL-2.0-or-later
"""The 9P2000 server on this host, against a client written from the manual: files as they are on disk, and hostile frames."""

import os
import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

NO_TAG, NO_FID = 0xFFFF, 0xFFFFFFFF
VERSION, ATTACH, ERROR, FLUSH, WALK, OPEN, CREATE, READ, WRITE, CLUNK, REMOVE, STAT, WSTAT = (
    100, 104, 107, 108, 110, 112, 114, 116, 118, 120, 122, 124, 126,
)  # fmt: skip


def text(words: str) -> bytes:
    return struct.pack("<H", len(words.encode())) + words.encode()


class Refused(Exception):
    """Rerror."""


class Client:
    """One request at a time on a server's standard input and output."""

    def __init__(self, program: Path, root: Path) -> None:
        self.process = subprocess.Popen(
            [program, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def request(self, kind: int, body: bytes, tag: int = 1) -> bytes:
        answer_kind, answer_tag, answer = self.exchange(struct.pack("<IBH", 7 + len(body), kind, tag) + body)
        assert answer_tag == tag
        if answer_kind == ERROR:
            assert len(answer) == 2 + int.from_bytes(answer[:2], "little")
            raise Refused(answer[2:].decode())
        assert answer_kind == kind + 1
        return answer

    def exchange(self, frame: bytes) -> tuple[int, int, bytes]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(frame)
        self.process.stdin.flush()
        head = self.process.stdout.read(7)
        assert len(head) == 7, self.end()
        size, kind, tag = struct.unpack("<IBH", head)
        return kind, tag, self.process.stdout.read(size - 7)

    def start(self, msize: int = 8192) -> None:
        answer = self.request(VERSION, struct.pack("<I", msize) + text("9P2000"), NO_TAG)
        assert answer[4:] == text("9P2000")
        self.msize = int.from_bytes(answer[:4], "little")
        assert self.msize <= msize
        self.request(ATTACH, struct.pack("<II", 0, NO_FID) + text("me") + text(""))

    def walk(self, fid: int, new: int, *names: str) -> list[bytes]:
        answer = self.request(WALK, struct.pack("<IIH", fid, new, len(names)) + b"".join(map(text, names)))
        count = int.from_bytes(answer[:2], "little")
        assert len(answer) == 2 + 13 * count
        return [answer[2 + 13 * i : 15 + 13 * i] for i in range(count)]

    def open(self, fid: int, mode: int = 0) -> None:
        assert len(self.request(OPEN, struct.pack("<IB", fid, mode))) == 17

    def create(self, fid: int, name: str, perm: int, mode: int) -> None:
        assert len(self.request(CREATE, struct.pack("<I", fid) + text(name) + struct.pack("<IB", perm, mode))) == 17

    def read(self, fid: int, offset: int, count: int = 4096) -> bytes:
        answer = self.request(READ, struct.pack("<IQI", fid, offset, count))
        assert int.from_bytes(answer[:4], "little") == len(answer) - 4 <= count
        return answer[4:]

    def write(self, fid: int, offset: int, data: bytes) -> int:
        return int.from_bytes(self.request(WRITE, struct.pack("<IQI", fid, offset, len(data)) + data), "little")

    def change(
        self, fid: int, name: str = "", mode: int = NO_FID, modified: int = NO_FID, length: int = (1 << 64) - 1
    ) -> None:
        stat = struct.pack("<HI13sIII", 0xFFFF, 0xFFFFFFFF, b"\xff" * 13, mode, 0xFFFFFFFF, modified)
        stat += struct.pack("<Q", length) + text(name) + text("") * 3
        self.request(WSTAT, struct.pack("<IHH", fid, len(stat) + 2, len(stat)) + stat)

    def clunk(self, fid: int) -> None:
        assert self.request(CLUNK, struct.pack("<I", fid)) == b""

    def everything(self, fid: int, count: int = 4096) -> bytes:
        data = b""
        while more := self.read(fid, len(data), count):
            data += more
        return data

    def end(self) -> str:
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        said = self.process.stderr.read().decode()
        self.process.wait(30)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return said


def entries(data: bytes) -> dict[str, tuple[int, int]]:
    """Of a directory's bytes: name -> mode, length."""
    found = {}
    while data:
        size = int.from_bytes(data[:2], "little")
        entry, data = data[2 : 2 + size], data[2 + size :]
        assert len(entry) == size
        mode, length, name = int.from_bytes(entry[19:23], "little"), int.from_bytes(entry[31:39], "little"), entry[41:]
        found[name[: int.from_bytes(entry[39:41], "little")].decode()] = (mode, length)
    return found


@pytest.fixture
def client(program: Path, root: Path) -> Iterator[Client]:
    one = Client(program, root)
    yield one
    if one.process.poll() is None:
        one.end()
        assert one.process.returncode == 0


def test_reads_what_is_there(client: Client) -> None:
    client.start()
    assert len(client.walk(0, 1, "hello")) == 1
    client.open(1)
    assert client.everything(1, 5) == b"hello, world\n"
    assert client.read(1, 1 << 63) == b""
    client.clunk(1)
    assert len(client.walk(0, 1, "deep", "er", "..", "er", "large")) == 5
    client.open(1)
    assert client.everything(1) == bytes(range(256)) * 400


def test_writes_reach_the_disk(client: Client, root: Path) -> None:
    client.start()
    client.walk(0, 1, "deep")
    client.create(1, "new", 0o644, 1)
    assert client.write(1, 0, b"a" * 3000) == 3000
    assert client.write(1, 5000, b"end") == 3
    client.clunk(1)
    assert (root / "deep" / "new").read_bytes() == b"a" * 3000 + bytes(2000) + b"end"
    client.walk(0, 1, "deep", "new")
    client.change(1, length=4)
    assert (root / "deep" / "new").read_bytes() == b"aaaa"
    client.open(1, 0x11)
    client.clunk(1)
    assert (root / "deep" / "new").read_bytes() == b""
    client.walk(0, 1, "deep", "new")
    client.request(REMOVE, struct.pack("<I", 1))
    assert not (root / "deep" / "new").exists()
    client.walk(0, 1, "deep")
    client.create(1, "folder", 0x80000000 | 0o755, 0)
    assert (root / "deep" / "folder").is_dir()
    client.request(REMOVE, struct.pack("<I", 1))
    assert not (root / "deep" / "folder").exists()


def test_a_name_and_permissions_change(client: Client, root: Path) -> None:
    """What lies below a directory goes with it, fids included."""
    client.start()
    client.walk(0, 1, "deep", "er")
    client.walk(0, 2, "deep", "er", "large")
    client.walk(0, 3, "hello")
    client.change(1, name="other")
    assert (root / "deep" / "other" / "large").exists()
    client.open(2)
    assert client.everything(2) == bytes(range(256)) * 400
    for fid, name, why in [
        (1, "../x", "no name"), (1, "..", "no name"), (1, ".", "no name"), (0, "new", "root stays"),
        (3, "deep", "File exists"), (3, "out", "Too many levels"), (3, "n" * 256, "no name"),
    ]:  # fmt: skip
        with pytest.raises(Refused, match=why):
            client.change(fid, name=name)
    with pytest.raises(Refused, match="only a name, or"):
        client.change(3, name="a", length=0)
    client.change(3, mode=0o600, modified=1_000_000_000, length=3)
    assert ((root / "hello").read_bytes(), (root / "hello").stat().st_mtime) == (b"hel", 1e9)
    client.change(3, mode=0o400)
    assert (root / "hello").stat().st_mode & 0o7777 == 0o400
    client.change(3)
    assert sorted(os.listdir(root)) == ["deep", "hello", "out", "up"]


@pytest.mark.parametrize("count", [100, 300, 8000])
def test_a_directory_comes_in_whole_entries(client: Client, root: Path, count: int) -> None:
    """`out` and `up` are symbolic links: they are not there."""
    for number in range(40):
        (root / f"file{number}").write_bytes(bytes(number))
    client.start()
    client.walk(0, 1)
    client.open(1)
    found = entries(client.everything(1, count))
    assert found.pop("deep")[0] & 0x80000000
    assert found.pop("hello")[1] == 13
    assert {name: length for name, (_, length) in found.items()} == {f"file{number}": number for number in range(40)}
    with pytest.raises(Refused, match="from its start"):
        client.read(1, 7)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("out",), "Too many levels"),
        (("up", "root", "hello"), "Too many levels"),
        (("absent",), "No such file"),
        (("../hello",), "No such file"),
        ((".",), "No such file"),
        (("",), "No such file"),
        (("x" * 256,), "No such file"),
        (("hello\0",), "No such file"),
    ],
)
def test_walks_that_lead_nowhere(client: Client, names: tuple[str, ...], why: str) -> None:
    client.start()
    with pytest.raises(Refused, match=why):
        client.walk(0, 1, *names)
    with pytest.raises(Refused, match="unknown fid"):
        client.open(1)


def test_a_walk_may_stop_on_its_way_and_never_leaves_the_root(client: Client) -> None:
    client.start()
    assert len(client.walk(0, 1, "deep", "absent", "er")) == 1  # and fid 1 is not made
    with pytest.raises(Refused, match="unknown fid"):
        client.clunk(1)
    assert client.walk(0, 1, *[".."] * 16)[15] == client.walk(0, 2, "..")[0]
    with pytest.raises(Refused, match="already in use"):
        client.walk(0, 2)


def test_refusals(client: Client) -> None:
    with pytest.raises(Refused, match="no version"):
        client.clunk(0)
    with pytest.raises(Refused, match="msize too small"):
        client.request(VERSION, struct.pack("<I", 100) + text("9P2000"), NO_TAG)
    assert client.request(VERSION, struct.pack("<I", 8192) + text("9P1"), NO_TAG)[4:] == text("unknown")
    assert client.request(VERSION, struct.pack("<I", 300) + text("9P2000.u"), NO_TAG) == struct.pack("<I", 300) + text(
        "9P2000"
    )
    client.start(8192)
    assert client.msize == 8192  # a smaller one once is not the end of larger ones
    client.walk(0, 1, "hello")
    for kind, body, why in [
        (OPEN, struct.pack("<I", 1), "too short"),
        (READ, struct.pack("<IQI", 1, 0, 9), "not open for reading"),
        (WRITE, struct.pack("<IQI", 1, 0, 9) + b"123", "too short"),
        (CREATE, struct.pack("<I", 1) + text("x") + struct.pack("<IB", 0, 0), "Not a directory"),
        (OPEN, struct.pack("<IB", 0, 1), "Is a directory"),
        (CREATE, struct.pack("<I", 0) + text("..") + struct.pack("<IB", 0, 0), "no name"),
        (CREATE, struct.pack("<I", 0) + text("hello") + struct.pack("<IB", 0o644, 0), "File exists"),
        (REMOVE, struct.pack("<I", 0), "the root stays"),
        (99, b"", "unknown request"),
    ]:
        with pytest.raises(Refused, match=why):
            client.request(kind, body)
    assert client.request(FLUSH, struct.pack("<H", 5)) == b""


def test_no_more_fids_than_there_are(client: Client) -> None:
    client.start()
    for fid in range(1, 128):  # the root is one of 128
        client.walk(0, fid)
    with pytest.raises(Refused, match="too many fids"):
        client.walk(0, 128)
    client.start()  # a new session has them all again
    client.walk(0, 1)


@pytest.mark.parametrize("frame", [b"\0\0\0\0", b"\6\0\0\0\0\0", b"\xff\xff\xff\xff", b"\x13\0\0\0\x64"])
def test_what_is_no_frame_ends_the_server(program: Path, root: Path, frame: bytes) -> None:
    done = subprocess.run([program, root], input=frame, capture_output=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith(b"ninep: ")


def test_100000_frames_of_anything(program: Path, root: Path) -> None:
    """It answers every one, touches nothing outside, and then still serves."""
    chance, client = random.Random(9), Client(program, root)
    client.start(1024)
    batch: list[bytes] = []
    for _ in range(100_000):
        kind = chance.choice((*range(98, 130), WALK, OPEN, CREATE, READ, WRITE))
        if kind == VERSION:
            continue
        body = request_like(chance, kind)
        batch.append(struct.pack("<IBH", 7 + len(body), kind, chance.randrange(1 << 16)) + body)
    assert client.process.stdin is not None
    assert client.process.stdout is not None
    for start in range(0, len(batch), 20):  # what a pipe holds
        client.process.stdin.write(b"".join(batch[start : start + 20]))
        client.process.stdin.flush()
        for frame in batch[start : start + 20]:
            head = client.process.stdout.read(7)
            size, kind, tag = struct.unpack("<IBH", head)
            assert kind in (ERROR, frame[4] + 1)
            assert tag == int.from_bytes(frame[5:7], "little")
            assert 7 <= size <= 1024
            client.process.stdout.read(size - 7)
    client.start(1024)
    client.walk(0, 1, "deep", "er", "large")
    client.end()
    assert client.process.returncode == 0
    assert sorted(os.listdir(root.parent)) == ["root"]


def request_like(chance: random.Random, kind: int) -> bytes:
    few = chance.choice
    fid = lambda: struct.pack("<I", few((0, 0, 1, 2, 3, NO_FID, chance.randrange(1 << 32))))  # noqa: E731
    name = lambda: text(few(("hello", "deep", "er", "..", "..", ".", "", "out", "up", "a/b", "n" * few((1, 255, 256)))))  # noqa: E731
    if kind == WALK:
        body = (
            fid()
            + fid()
            + struct.pack("<H", few((0, 1, 2, 3, 17, 65535)))
            + b"".join(name() for _ in range(few((0, 1, 2, 3))))
        )
    elif kind == CREATE:
        body = (
            fid() + name() + struct.pack("<IB", few((0o600, 0x80000000 | 0o700, 0xFFFFFFFF)), few((0, 1, 2, 0x10, 255)))
        )
    elif kind in (READ, WRITE):
        data = bytes(few((0, 1, 100)))
        offset, count = few((0, 1, 10, 500, 1 << 40, (1 << 64) - 1)), few((len(data), len(data), 0, 1000, NO_FID))
        body = fid() + struct.pack("<QI", offset, count) + data
    else:
        body = fid() + few((b"", bytes(1), b"\x11", fid(), chance.randbytes(chance.randrange(60))))
    return body[: few((len(body), len(body), len(body), chance.randrange(len(body) + 1)))]
