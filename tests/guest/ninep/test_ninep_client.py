# SPDX-License-Identifier: GPL-2.0-or-later
"""Our 9P client, hosted, over a stream: with our server, a foreign one (pyroute2's), and servers that break off or lie."""

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def client(images: Path, stream: socket.socket, *words: str) -> tuple[int, list[str]]:
    """Its status and what it says."""
    command = [images / "hosted_test_ninep_client", "cpus=1", "memory=64", "--", "client", *words]
    done = subprocess.run(command, stdin=stream, stdout=subprocess.PIPE, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


@contextmanager
def served(*command: str | Path) -> Iterator[socket.socket]:
    """The client's end of a stream to that server."""
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen(command, stdin=theirs, stdout=theirs) as process:
        theirs.close()
        try:
            yield ours
        finally:
            process.kill()


def test_with_our_server(images: Path, program: Path, root: Path) -> None:
    with served(program, root) as stream:
        words = "stat hello stat absent create new write new 1048576 check new 1048576 remove hello create new open a/b"
        words += " stat deep/er"
        assert client(images, stream, *words.split()) == (0, [
            "begin: msize 65536",
            "stat hello: done, 13 bytes, mode 1a4",
            "walk absent: refused: No such file or directory",
            "create new: done",
            "write new: done, 1048576 bytes",
            "check new: done, 1048576 bytes",
            "remove hello: done",
            "create new: refused: File exists",
            "walk a/b: refused: No such file or directory",
            "stat deep/er: done, 0 bytes, mode 800001ed",
            "SUCCESS",
        ])  # fmt: skip
    assert (root / "new").read_bytes() == bytes((at * 7 + (at >> 8)) & 0xFF for at in range(1 << 20))


def test_with_a_foreign_server(images: Path) -> None:
    """It has neither Tcreate nor Tremove, and takes 8,192 bytes at a time."""
    with served(sys.executable, HERE / "pyroute2_server.py") as stream:
        words = "stat hello write deep/file 1048576 check deep/file 1048576 stat deep/file create new remove hello"
        assert client(images, stream, *words.split()) == (0, [
            "begin: msize 65536",
            "stat hello: done, 5 bytes, mode 1a0",
            "write deep/file: done, 1048576 bytes",
            "check deep/file: done, 1048576 bytes",
            "stat deep/file: done, 1048576 bytes, mode 1a0",
            "create new: refused: permission denied",
            "remove hello: refused: permission denied",
            "SUCCESS",
        ])  # fmt: skip


VERSION = struct.pack("<IBHIH", 19, 101, 0xFFFF, 8192, 6) + b"9P2000"


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        (b"", "the server does not answer"),
        (VERSION[:10], "the server does not answer"),
        (VERSION, "the server does not answer"),
        (b"\xff\xff\xff\xff", "the server answers nonsense"),
        (b"\0\0\0\0", "the server answers nonsense"),
        (VERSION.replace(b"9P2000", b"9P2001"), "the server refuses no 9P2000"),
        (VERSION.replace(b"\0\x20", b"\0\0", 1), "the server answers nonsense"),  # msize 0
        (VERSION + VERSION, "the server answers nonsense"),
        (VERSION + struct.pack("<IBH", 7, 105, 0), "the server answers nonsense"),  # Rattach without its qid
        (VERSION + struct.pack("<IBHH", 19, 107, 0, 10) + b"go away \xff\n", "the server refuses go away ??"),
    ],
)
def test_servers_that_break_off_or_lie(images: Path, replies: bytes, why: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(replies)
        theirs.shutdown(socket.SHUT_WR)
        status, said = client(images, ours, "stat", "x")
        assert (status, said[-1].rstrip()) == (1, f"begin: {why}")
