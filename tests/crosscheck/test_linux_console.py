# SPDX-License-Identifier: GPL-2.0-or-later
"""Busybox's shell on unmodified Linux, at a terminal, and programs that end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from pathlib import Path

import msgspec
import pytest

from cyclescope.cli import run_cli
from tests.crosscheck.linux import BUSYBOX, needs_linux

SHELL = str(BUSYBOX)
PATIENCE_S = 600  # until a test is given up; nothing is measured
COMMAND = [sys.executable, "-c", "from cyclescope.cli import main; main()", "linux", "--cpus", "2"]

pytestmark = needs_linux()


class Terminal:
    """A program on a terminal of 30 by 100."""

    def __init__(self, words: list[str]) -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))
            os.execvp(words[0], words)
        self.seen = self._new = b""
        self.before = termios.tcgetattr(self.fd)

    def wait_for(self, pattern: bytes) -> None:
        """Until what was printed since the last time holds it."""
        deadline = time.monotonic() + PATIENCE_S
        while not (match := re.search(pattern, self._new)):
            assert self._read(deadline - time.monotonic()), f"no {pattern!r} in {self.seen[-2000:]!r}"
        self._new = self._new[match.end() :]

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def do(self, line: bytes, pattern: bytes) -> None:
        """A command at the shell's prompt, and what must come back."""
        self.wait_for(rb"# \x1b\[6n")  # it asks where the cursor is, and does without an answer
        self.type(line)
        self.wait_for(pattern)

    def end(self) -> int:
        """The exit status, once nothing more is printed."""
        while self._read(PATIENCE_S):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self, seconds: float) -> bool:
        if seconds <= 0 or not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:  # its other end is closed
            return False
        self.seen += data
        self._new += data
        return bool(data)


def test_the_shell_is_usable_and_a_session_can_be_played_again(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    keys = tmp_path / "keys"
    at = Terminal([*COMMAND, "--record", str(keys), "--", SHELL, "sh"])
    at.wait_for(b"Ctrl-A x ends the run")
    at.do(b"stty size; tty; echo $((6 * 7))\r", rb"30 100\r\n/dev/console\r\n42\r\n")
    assert not termios.tcgetattr(at.fd)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    at.do(b"(echo sta''rted; exec sleep 1000)\r", rb"\nstarted\r\n")
    at.type(b"\x03")
    at.do(b"echo $?\r", rb"\n130\r\n")  # Ctrl-C is the guest's
    at.do(b"(echo sta''rted; exec cat)\r", rb"\nstarted\r\n")
    at.type(b"abc\r")
    at.wait_for(rb"abc\r\nabc\r\n")
    at.type(b"\x1a")
    at.wait_for(rb"Stopped")
    at.do(b"kill -9 %1; echo ech\x7fo | cat\r", rb"\r\neco\r\n")  # job control; a key taken back
    at.do(b"ls /proc/self/stat /sys/class/net /dev/pts/ptmx; mount | grep -c ' /dev/'\r", rb"(?s:ptmx.*)\n2\r\n")
    at.do(b"ip addr show eth0; ping -c 1 10.0.2.15 | grep -c ttl\r", rb"10\.0\.2\.15/24(?s:.*)\n1\r\n")
    at.do(b"vi /tmp/text\r", rb"\x1b\[30;1H(?s:.*)/tmp/text")  # its status line is the screen's last
    at.type(b"ihello from vi\x1b")
    at.wait_for(rb"- /tmp/text \[Modified\]")
    at.type(b":wq\r")
    at.do(b"cat /tmp/text\r", rb"\nhello from vi\r\n")
    at.do(b"echo 0 > /sys/devices/system/cpu/cpu1/online; grep -c ^processor /proc/cpuinfo\r", rb"\n1\r\n")
    at.do(b"echo 1 > /sys/devices/system/cpu/cpu1/online; grep -c ^processor /proc/cpuinfo\r", rb"\n2\r\n")
    at.do(b"exit 9\r", rb"exit 9\r\n")
    assert at.end() == 9
    assert run_cli(["linux", "--cpus", "2", "--play", str(keys), "--", SHELL, "sh"]) == 9
    printed = capfdbinary.readouterr().out
    assert b"hello from vi" in printed
    assert at.seen.endswith(printed)


def test_a_program_that_ends_is_measured_from_its_first_instruction_on(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = ["--timing", "fast", "--functions", "400", "--out", str(tmp_path / "run"), "--json", str(tmp_path / "json")]
    script = "echo on the console; ping -c 1 -W 1 10.0.2.2; exit 5"
    assert run_cli(["linux", "--cpus", "2", *words, "--", SHELL, "sh", "-c", script]) == 5
    printed = capfdbinary.readouterr().out.decode()
    assert "on the console\r\n" in printed
    assert "init: section" not in printed
    assert "\n[busybox] " in printed
    document = msgspec.json.decode((tmp_path / "json").read_bytes())
    assert document["program"] == {"words": [SHELL, "sh", "-c", script], "exit_code": 5, "message": ""}
    (run,) = document["runs"]
    assert run["requests"] == 0
    assert run["cycles"]["app"] > 0
    busy = run["cycles_total"] - run["cycles"]["idle"]
    assert sum(row["cycles"] for row in run["unmapped"]) < 0.03 * busy, run["unmapped"][:20]
    assert bytes([10, 0, 2, 15, 10, 0, 2, 2]) in (tmp_path / "run/linux/wire.pcapng").read_bytes()


@pytest.mark.parametrize(
    ("lines", "code", "sentence"),
    [
        (b"poweroff\n", 0, b""),
        (b"reboot -f\n", 3, b"the guest reset its machine"),
        (b"echo c > /proc/sysrq-trigger\n", 3, b"Kernel panic - not syncing"),
    ],
)
def test_a_guest_ends_as_it_likes(
    lines: bytes, code: int, sentence: bytes, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    (tmp_path / "lines").write_bytes(lines)
    with (tmp_path / "lines").open() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", file)
        assert run_cli(["linux", "--cpus", "1", "--console", "--", SHELL, "sh"]) == code
    assert sentence in capfdbinary.readouterr().err
