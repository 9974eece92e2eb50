# SPDX-License-Identifier: GPL-2.0-or-later
"""kvd and memcached as processes on this host, and a client for memcached's UDP framing."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

APPS = Path(__file__).resolve().parents[1] / "apps"
HEADER = struct.Struct(">HHHH")  # request id, sequence number, datagrams in all, reserved
PATIENCE_S = 10.0


def build_kvd(folder: Path) -> Path:
    """Build the Linux program in `folder`, out of the tree, and return its path."""
    for step in (["cmake", "-S", str(APPS / "kvd"), "-B", str(folder)], ["cmake", "--build", str(folder)]):
        result = subprocess.run(step, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    return folder / "kvd"


@functools.cache
def _built() -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    folder = tempfile.TemporaryDirectory(prefix="kvd-", ignore_cleanup_errors=True)
    return build_kvd(Path(folder.name)), folder


def kvd_program() -> Path:
    """The program named by KVD_PROGRAM, or one built from the tree, once."""
    named = os.environ.get("KVD_PROGRAM")
    return Path(named) if named else _built()[0]


def memcached_program() -> str | None:
    return shutil.which("memcached")


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Answer:
    """What came back for one request: the bytes behind the frame headers, in order of arrival."""

    payload: bytes = b""
    frames: list[tuple[int, int, int, int]] = field(default_factory=list)  # sequence, total, reserved, length


class Client:
    """One socket. Each request is followed by a `version` under another id, whose answer says that all has arrived.

    That holds for servers of one thread; with more, use `ask_whole`, which goes by the frame headers.
    """

    def __init__(self, port: int, server: subprocess.Popen[bytes] | None = None) -> None:
        self._server = server
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(PATIENCE_S)
        self._id = 0

    def close(self) -> None:
        self._socket.close()

    def _gone(self) -> AssertionError:
        """Nobody listens any more: say how the server ended, if it did."""
        if self._server is None or self._server.poll() is None:
            return AssertionError("the server runs, but nobody listens on its port")
        assert self._server.stderr is not None
        return AssertionError(f"the server ended with {self._server.returncode}: {self._server.stderr.read()!r}")

    def send(self, datagram: bytes) -> None:
        try:
            self._socket.send(datagram)
        except ConnectionRefusedError:
            raise self._gone() from None

    def receive(self) -> tuple[int, tuple[int, int, int], bytes]:
        try:
            datagram = self._socket.recv(65536)
        except ConnectionRefusedError:
            raise self._gone() from None
        request, sequence, total, reserved = HEADER.unpack_from(datagram)
        return request, (sequence, total, reserved), datagram[HEADER.size :]

    def next_id(self) -> int:
        self._id = (self._id + 1) % 0x8000
        return self._id

    def ask(self, payload: bytes) -> Answer:
        number = self.next_id()
        return self.ask_raw(HEADER.pack(number, 0, 1, 0) + payload, number)

    def ask_raw(self, datagram: bytes, number: int) -> Answer:
        fence = 0x8000 | number
        self.send(datagram)
        self.send(HEADER.pack(fence, 0, 1, 0) + b"version\r\n")
        answer = Answer()
        while True:
            request, frame, part = self.receive()
            if request == fence:
                return answer
            assert request == number
            if part:
                answer.payload += part
                answer.frames.append((*frame, len(part) + HEADER.size))

    def ask_whole(self, payload: bytes) -> bytes:
        """Ask and wait for as many datagrams as the first one announces."""
        number = self.next_id()
        self.send(HEADER.pack(number, 0, 1, 0) + payload)
        parts: dict[int, bytes] = {}
        total = 1
        while len(parts) < total:
            request, (sequence, total, _), part = self.receive()
            assert request == number
            assert sequence not in parts
            parts[sequence] = part
        return b"".join(parts[i] for i in range(total))


def _start(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.1", port))
        probe.settimeout(0.05)
        limit = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit and process.poll() is None:
            with contextlib.suppress(OSError):
                probe.send(HEADER.pack(0, 0, 1, 0) + b"version\r\n")
                probe.recv(2048)
                return process
    process.kill()
    error = process.communicate()[1]
    raise AssertionError(f"{command[0]} does not answer: {error!r}")


@contextlib.contextmanager
def _serving(command: list[str], port: int) -> Iterator[Client]:
    process = _start(command, port)
    client = Client(port, process)
    try:
        yield client
        assert process.poll() is None, "the server died"
    finally:
        client.close()
        process.kill()
        process.communicate()


def serving_kvd(*options: str) -> contextlib.AbstractContextManager[Client]:
    port = _free_port()
    return _serving([str(kvd_program()), "-l", "127.0.0.1", "-p", str(port), *options], port)


def serving_memcached(*options: str) -> contextlib.AbstractContextManager[Client]:
    port = _free_port()
    program = memcached_program()
    assert program is not None
    as_root = ["-u", "root"] if os.geteuid() == 0 else []
    return _serving([program, "-l", "127.0.0.1", "-U", str(port), "-p", "0", *as_root, *options], port)
