# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that test a kernel from inside end in the same way under QEMU and under Cyclescope, each from the same image file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.run import run_guest
from emu.loader.boot import BootSpec
from personalities.base import get_personality
from tests.crosscheck.qemu import needs_qemu, run_to_end

LIBOS_TESTS = ["ebb", "events", "futures", "timers", "memory", "iobufs", "locks", "strings"]
LIBOS_FAULTS = ["null", "execute", "divide", "stack"]

pytestmark = [pytest.mark.crosscheck, needs_qemu]


@pytest.mark.parametrize("test", LIBOS_TESTS)
def test_libos(test: str, tmp_path: Path) -> None:
    # What the image's own words are checked against: tests/guest/libos/strings.c.
    ours, referee = both(libos_image(f"test_{test}", f"key=value two -- {test} one two=2"), 2, tmp_path)
    assert ours[0] == 0
    assert "SUCCESS" in last_line(ours[1])
    assert "SUCCESS" in last_line(referee[1])


@pytest.mark.parametrize("fault", LIBOS_FAULTS)
def test_libos_faults(fault: str, tmp_path: Path) -> None:
    ours, referee = both(libos_image("test_faults", f"-- faults {fault}"), 2, tmp_path)
    assert ours[0] == 125
    assert panics(ours[1]) == panics(referee[1]) != []


def libos_image(name: str, cmdline: str) -> BootSpec:
    return BootSpec(get_personality("libos").prepare(name).image, cmdline)


def both(spec: BootSpec, cpus: int, folder: Path) -> tuple[tuple[int, str], tuple[int, str]]:
    """(what the guest wrote to the debug-exit port, console) of ours and of QEMU's; the former must agree."""
    console = bytearray()
    result = run_guest(spec, Hardware(cpus=cpus), limit_s=60.0, console=lambda data, time_ps: console.extend(data))
    status, printed = run_to_end(spec, cpus, folder)
    assert not result.message, (result, console)
    assert status & 1, (status, printed)
    ours = console.decode(errors="replace")
    assert (result.exit_code << 1 | 1) & 0xFF == status, (ours, printed)
    return (result.exit_code, ours), (status, printed)


def last_line(console: str) -> str:
    return ([line for line in console.splitlines() if line.strip()] or [""])[-1]


def panics(console: str) -> list[str]:
    """What the kernel says it died of, without addresses."""
    return [line.split(" at ")[0].strip() for line in console.splitlines() if "panic: " in line]
