# SPDX-License-Identifier: GPL-2.0-or-later
"""libos as a Linux program passes what the native one passes: on this host's own Linux, and on linux_like."""

import socket
import subprocess
from pathlib import Path

import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.run import run_guest
from personalities.base import get_personality

PROGRAMS = ["ebb", "events", "futures", "contexts", "timers", "memory", "iobufs", "locks", "strings"]


def words(name: str) -> list[str]:
    """strings.c looks at them."""
    return ["key=value", "two", "--", name, "one", "two=2"]


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("name", PROGRAMS)
def test_on_this_host(images: Path, name: str, cpus: int) -> None:
    """Two vCPUs are refused, in a sentence, where the process may use one CPU only."""
    command = [images / f"hosted_test_{name}", f"cpus={cpus}", *words(name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if "takes a number from 1 to 1 here" in done.stdout:
        assert (cpus, done.returncode) == (2, 125)
    else:
        assert (done.stdout.rstrip()[-7:], done.returncode) == ("SUCCESS", 0)


@pytest.mark.parametrize("name", ["ebb", "events", "futures", "contexts", "timers", "strings"])
def test_on_linux_like(images: Path, name: str) -> None:
    """The others take the emulator ten seconds each."""
    console = bytearray()
    spec = get_personality("linux_like").prepare(images / f"hosted_test_{name}", words(name))
    result = run_guest(spec, Hardware(cpus=3), limit_s=60, console=lambda data, time_ps: console.extend(data))
    assert (result.exit_code, console.decode().rstrip()[-7:]) == (0, "SUCCESS"), console


def test_a_context_that_needs_too_much_stack(images: Path) -> None:
    command = [images / "hosted_test_contexts", "--", "contexts", "stack"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout[:48]) == (125, "panic: context: the stack of 61440 bytes that en")


def test_bad_words(images: Path) -> None:
    for wrong, status, sentence in [
        (("memory=0",), 2, "memory= takes MiB"),
        (("memory=much",), 2, "memory= takes MiB"),
        (("cpus=0",), 125, "cpus= takes a number"),
        (("x" * 2000,), 2, "too long"),
    ]:
        done = subprocess.run([images / "hosted_test_ebb", *wrong], capture_output=True, text=True, timeout=60)
        assert done.returncode == status
        assert sentence in done.stdout + done.stderr


def test_datagrams(images: Path) -> None:
    """Any vCPU answers from the port that was asked; what is longer than a frame is dropped, and an empty one does no harm."""
    with subprocess.Popen([images / "hosted_kvd", "--", "kvd", "-p", "0"], stdout=subprocess.PIPE) as refused:
        assert refused.wait(30) == 125
    port = free_port()
    with subprocess.Popen([images / "hosted_kvd", "--", "kvd", "-p", str(port)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"kvd: ready\n"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect(("127.0.0.1", port))
            for junk in (b"", b"x", bytes(2000), bytes(9000)):
                client.send(junk)
            for number in range(200):
                client.send(header(number) + b"set k%d 0 0 2\r\nok\r\n" % number)
                assert client.recv(2000) == header(number) + b"STORED\r\n"
        server.kill()


def header(number: int) -> bytes:
    return number.to_bytes(2, "big") + b"\0\0\0\1\0\0"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
