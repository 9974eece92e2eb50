# SPDX-License-Identifier: GPL-2.0-or-later
"""A shell at linux_like's console: job control, keys that send signals, lines with erase; typed as a person would."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cyclescope.config import Hardware
from cyclescope.console.session import Guest
from cyclescope.experiments.run import run_guest
from personalities.linux_like.personality import LinuxLike

BUSYBOX = shutil.which("busybox")
pytestmark = pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed (Debian: busybox-static)")
IDLE_TICKS = 40


class Person:
    """Types one thing after another, each when the guest has been idle for a while."""

    def __init__(self, *said: bytes) -> None:
        self.left, self._idle = list(said), 0

    def typed(self, time_ps: int, guest: Guest) -> bytes:
        self._idle = self._idle + 1 if guest.listens and guest.idle else 0
        if not self.left or self._idle < IDLE_TICKS:
            return b""
        self._idle = 0
        return self.left.pop(0)


def at_the_console(*said: bytes, cpus: int = 1) -> tuple[list[str], int]:
    """What was printed, by prompts, and the exit status."""
    assert BUSYBOX
    console = bytearray()
    spec = LinuxLike().prepare(Path(BUSYBOX), ["sh"])
    result = run_guest(
        spec, Hardware(cpus=cpus), limit_s=30, keys=Person(*said), console=lambda data, time_ps: console.extend(data)
    )
    text = re.sub(r"\x1b\[6n", "", console.decode().replace("\r", ""))
    return [part.rstrip("\n") for part in text.split("/ # ")[1:]], result.exit_code


def test_job_control() -> None:
    printed, status = at_the_console(
        b"sleep 100\r", b"\x1a", b"cat &\r", b"\r", b"bg %1\r", b"fg %2\r", b"hello\r", b"\x03", b"echo $?\r",
        b"kill %1; sleep 0.1\r", b"jobs\r", b"exit 7\r",
    )  # fmt: skip
    assert status == 7
    assert printed[0].startswith("sleep 100\n^Z[1]+  Stopped")
    assert printed[1] == "cat &"
    assert re.fullmatch(r"\n\[2\]\+  Stopped \(tty input\) +cat", printed[2])
    assert printed[3] == "bg %1\n[1] sleep 100"
    assert printed[4] == "fg %2\ncat\nhello\nhello\n^C"
    assert printed[5] == "echo $?\n130"
    assert printed[6].startswith("kill %1; sleep 0.1")
    assert "Terminated" in printed[6] + printed[7]


def test_lines_can_be_corrected() -> None:
    printed, status = at_the_console(b"cat; tty\r", b"gone\x15lone\x7f\x7fine\r", b"\x04", b"exit\r", cpus=2)
    assert status == 0
    assert printed[0].splitlines()[-2:] == ["loine", "/dev/console"]


def test_run_types_lines() -> None:
    assert BUSYBOX
    command = [sys.executable, "-c", "from cyclescope.cli import main; main()", "run", "--console", BUSYBOX, "sh"]
    done = subprocess.run(command, input=b"echo $((6 * 7))\nexit 9\n", capture_output=True, timeout=120, check=False)
    assert done.returncode == 9, done.stderr
    assert b"\n42\r\n" in done.stdout
