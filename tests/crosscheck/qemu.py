# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU as referee: the same BootSpec that Cyclescope boots, on an emulator that shares no code with ours.

Only the image, the command line and the modules are taken from the BootSpec; the machine is QEMU's own (`-M q35`, its
default processor, its virtio-net-pci, its firmware tables).
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

import pytest

from emu.loader.boot import BootSpec

QEMU = shutil.which("qemu-system-x86_64")
BOOT_S = 60.0
ANSWER_S = 10.0  # generous: a request is sent once only, since cas and incr change what a second one answers
POLL_S = 0.02
PORT_ATTEMPTS = 5

needs_qemu = pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed (Debian: qemu-system-x86)")


def qemu_command(spec: BootSpec, cpus: int, console: Path, *more: str) -> list[str]:
    """The command line that boots `spec`, its serial console in a file."""
    assert QEMU is not None
    command = [
        QEMU, "-nodefaults", "-no-user-config", "-M", "q35", "-accel", "tcg", "-smp", str(cpus), "-m", "256",
        "-display", "none", "-monitor", "none", "-no-reboot", "-serial", f"file:{console}",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", str(spec.image), "-append", spec.cmdline,
    ]  # fmt: skip
    assert len(spec.modules) <= 1, "QEMU hands one module to a PVH kernel"
    for module in spec.modules:
        command += ["-initrd", str(module.path)]
    return [*command, *more]


def run_to_end(spec: BootSpec, cpus: int, folder: Path, timeout_s: float = 120.0) -> tuple[int, str]:
    """Boot, wait until the guest ends the run itself. QEMU's exit status, (value << 1) | 1, and the console."""
    console = folder / "console"
    command = qemu_command(spec, cpus, console, "-nic", "none")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    assert not done.stderr, done.stderr.decode(errors="replace")
    return done.returncode, console.read_text(errors="replace")


class QemuServer:
    """A guest that serves UDP behind QEMU's user network. Use `with`: inside it the guest is ready, after it QEMU is gone."""

    def __init__(self, spec: BootSpec, cpus: int, folder: Path, guest_port: int) -> None:
        self._spec, self._cpus, self._folder, self._guest_port = spec, cpus, folder, guest_port
        self._console = folder / "console"
        self._errors = folder / "stderr"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def console(self) -> str:
        """What the guest has printed."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def __enter__(self) -> QemuServer:
        try:
            for _ in range(PORT_ATTEMPTS):
                self._start()
                if self._wait_until_ready():
                    return self
        except BaseException:
            self._kill()
            raise
        raise AssertionError(f"no port could be forwarded: {self._errors.read_text()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def _start(self) -> None:
        self.port = free_udp_port()
        forward = f"hostfwd=udp:127.0.0.1:{self.port}-10.0.2.15:{self._guest_port}"
        command = qemu_command(
            self._spec, self._cpus, self._console, "-netdev", f"user,id=n0,{forward}",
            "-device", "virtio-net-pci,disable-legacy=on,netdev=n0,mac=52:54:00:12:34:56",
        )  # fmt: skip
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )

    def _wait_until_ready(self) -> bool:
        """False when somebody else took the port meanwhile."""
        assert self._process is not None
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline:
            if any(line.rstrip().endswith(" ready") for line in self.console.split("\n")[:-1]):
                return True
            status = self._process.poll()
            if status is not None:
                errors = self._errors.read_text()
                if "host forwarding" in errors:
                    return False
                raise AssertionError(f"QEMU ended with {status} before the guest was ready: {errors}\n{self.console}")
            time.sleep(POLL_S)
        raise AssertionError(f"the guest was not ready within {BOOT_S} s: {self.console}")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> socket.socket:
        """A socket connected to the guest's port, from a loopback port of its own."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(ANSWER_S)
        sock.connect(("127.0.0.1", self.port))
        return sock


def free_udp_port() -> int:
    """A UDP port that nobody on the loopback interface has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
