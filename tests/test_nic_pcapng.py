# SPDX-License-Identifier: GPL-2.0-or-later
"""pcapng as tshark, an outside referee, reads it."""

from __future__ import annotations

import io
import shutil
import subprocess

import pytest

from nic.frames import udp_frame
from nic.sinks.pcapng import PcapngWriter

FRAMES = [
    udp_frame(b"\2" * 6, b"\4" * 6, bytes((10, 0, 2, 2)), bytes((10, 0, 2, 15)), 1000 + i, 7, b"y" * i)
    for i in range(5)
]
TIMES = [0, 1_999, 1_234_567_890_123_000, (1 << 40) * 1000 + 5_000, 1_800_000_000 * 10**12]
COMMENTS = ["", "run.app 2.0 us, wait.link 1.0 us", "grün 5 µs", "line\nbreak", "x" * 70_000]


def written() -> bytes:
    file = io.BytesIO()
    with PcapngWriter(file, "client") as writer:
        for time_ps, frame, comment, way in zip(TIMES, FRAMES, COMMENTS, ("tx", "rx", "", "tx", "rx"), strict=True):
            writer.write(time_ps, frame, comment, way)
        assert writer.frames == 5
    return file.getvalue()


def test_same_frames_give_the_same_bytes():
    assert written() == written()


@pytest.mark.crosscheck
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_times_frames_comments_and_interface(tmp_path):
    path = tmp_path / "wire.pcapng"
    path.write_bytes(written())
    fields = ["frame.time_epoch", "udp.srcport", "frame.len", "frame.interface_name", "frame.comment"]
    command = ["tshark", "-r", str(path), "-T", "fields", "-E", "separator=|", "-n"]
    for field in fields:
        command += ["-e", field]
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TZ": "UTC"},
    )
    assert "expert" not in run.stderr.lower()
    assert "error" not in run.stderr.lower()
    rows = [line.split("|") for line in run.stdout.replace("line\nbreak", "line break").splitlines()]
    assert len(rows) == 5
    for row, time_ps, frame, comment, number in zip(rows, TIMES, FRAMES, COMMENTS, range(5), strict=True):
        seconds, _, fraction = row[0].partition(".")
        assert int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9]) == time_ps // 1000
        assert row[1:4] == [str(1000 + number), str(len(frame)), "client"]
        assert row[4][:30] == comment.replace("\n", " ")[:30] or row[4].startswith("line")
