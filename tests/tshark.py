# SPDX-License-Identifier: GPL-2.0-or-later
"""tshark's opinion of a run's TCP: an outside referee."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from nic.ports import Frame
from nic.sinks.pcapng import PcapngWriter

HAVE_TSHARK = shutil.which("tshark") is not None


def judge(folder: Path, frames: Iterable[tuple[int, str, Frame]], first_ps: int = 0) -> tuple[Counter[str], int]:
    """What tshark's TCP analysis says, by kind, and how many packets have a wrong or malformed part."""
    path = folder / "tcp.pcapng"
    with path.open("wb") as file, PcapngWriter(file) as writer:
        for time_ps, way, frame in frames:
            if time_ps >= first_ps:
                writer.write(time_ps, frame.data, direction=way)
    fields = ("_ws.malformed", "ip.checksum.status", "tcp.checksum.status", "tcp.analysis", "_ws.expert.message")
    command = ["tshark", "-n", "-r", str(path), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    command += ["-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-E", "aggregator=;"]
    for field in fields:
        command += ["-e", field]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    said: Counter[str] = Counter()
    wrong = 0
    for line in run.stdout.splitlines():
        malformed, ip, tcp, _, messages = line.split("|")
        other_zero = "(see RFC 1624)" in messages  # 0xffff, as Linux and our NIC write a sum of zero: as right as 0
        wrong += bool(malformed) or ip not in ("", "1") or (tcp not in ("", "1") and not other_zero)
        said.update(message for message in messages.split(";") if message and "(see RFC 1624)" not in message)
    return said, wrong
