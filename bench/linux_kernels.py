# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels of several packages, one after the other: each boots and serves recorded DNS queries, and says what it took.

    python -m bench.linux_kernels [--folder build/kernels] [--requests 200] [PACKAGE ...]

Packages come by apt, unpacked in FOLDER/PACKAGE and kept there. The server is Debian's NSD, queries and the answers to compare with
are those of tests/captures/dns; one vCPU, at the functional level up to the ready line, then at the detailed one. Exit status 1
when an answer differs or is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from cyclescope.config import Hardware
from cyclescope.experiments.recording import load_recording
from cyclescope.experiments.replay import replay
from cyclescope.experiments.testbed import Testbed
from emu.errors import CyclescopeError
from emu.loader.image import load_image, read_file
from personalities.linux.fetch import fetch
from personalities.linux.kernel import Kernel
from personalities.linux.payload import compression, payload_of
from personalities.linux.personality import Linux, Options

ROOT = Path(__file__).resolve().parents[1]
DNS = ROOT / "tests" / "captures" / "dns"
PACKAGES = ("linux-image-cloud-amd64", "linux-image-amd64", "linux-image-6.12-cloud-amd64")
FILES = {f"/{name}": DNS / name for name in ("nsd.conf", "example.org.zone", "2.0.192.in-addr.arpa.zone")}
COLUMNS = (
    "kernel",
    "payload",
    "entered by",
    "entry",
    "instructions to ready",
    "requests",
    "equal",
    "mean latency (us)",
    "busy cycles a request",
)


class Row(NamedTuple):
    """One kernel's figures, in the order of COLUMNS; instructions in millions."""

    version: str
    payload: str
    protocol: str
    entry_gpa: int
    instructions_millions: float
    requests: int
    equal: int
    latency_us: float
    busy_cycles: float

    def line(self) -> str:
        """As a line of a Markdown table."""
        cells = (
            self.version, self.payload, self.protocol, f"{self.entry_gpa:#x}", f"{self.instructions_millions:.0f} million",
            f"{self.requests}", f"{self.equal}", f"{self.latency_us:.3f}",
            f"{self.busy_cycles:,.0f}",
        )  # fmt: skip
        return f"| {' | '.join(cells)} |"


def kernel_of(package: str, folder: Path) -> Kernel:
    """The package's kernel, fetched unless it is there. Raises ConfigError."""
    place = folder / package
    images = sorted(place.glob("boot/vmlinuz-*"))
    if not images:
        return fetch(package, place)
    return Kernel.found(images[-1], place / "lib/modules" / images[-1].name.removeprefix("vmlinuz-"))


def measure(kernel: Kernel, requests: int) -> Row:
    """Boots it and replays. Raises GuestError when it does not come that far."""
    modules = kernel.modules.folder if kernel.modules is not None else None
    linux = Linux(Options(kernel=kernel.image, modules=modules, files=FILES, ready="udp 53"))
    spec = linux.prepare("nsd", ["-d", "-c", "/nsd.conf"])
    hardware = Hardware(cpus=1)
    with Testbed(hardware, linux, spec, timing="functional") as bed:
        bed.boot()
        instructions = bed.accounts(None, bed.snapshot()).instructions
    recording = load_recording(DNS / "nsd.pcap").first(requests)
    result = replay(recording, linux, hardware, spec=spec, check=True)
    return Row(
        version=kernel.image.name.removeprefix("vmlinuz-"),
        payload=compression(payload_of(kernel.image, read_file(kernel.image, "kernel"))),
        protocol="64-bit boot protocol" if spec.linux64 else "PVH",
        entry_gpa=load_image(spec.image, linux64=spec.linux64).entry_gpa,
        instructions_millions=instructions / 1e6,
        requests=result.requests,
        equal=result.equal,
        latency_us=float(result.run.latency_ps.mean()) / 1e6,
        busy_cycles=result.run.busy_cycles / max(1, result.run.latency_ps.size),
    )


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Kernels of several packages: do they boot, and serve?")
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"default: {' '.join(PACKAGES)}")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "kernels", help="where packages are unpacked")
    parser.add_argument("--requests", type=int, default=200, help="queries to replay (default 200)")
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    good = True
    for package in options.packages or PACKAGES:
        try:
            row = measure(kernel_of(package, options.folder), options.requests)
        except CyclescopeError as error:
            print(f"{package}: {error}", file=sys.stderr)
            good = False
            continue
        print(row.line(), flush=True)
        good &= row.equal == row.requests
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
