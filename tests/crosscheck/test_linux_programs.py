# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified servers on unmodified Linux answer what real clients asked, as they did when that was recorded.

Debian's NSD, gone to the background with three children, and net-snmp's agent: each boots once, into a snapshot, and all else
starts from there. CYCLESCOPE_LINUX_OTHER names a folder as CYCLESCOPE_LINUX does, for a kernel of another version.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from cyclescope.cli import run_cli
from cyclescope.config import Hardware
from cyclescope.experiments.meter import Meter
from cyclescope.experiments.recording import load_recording
from cyclescope.experiments.replay import replay
from cyclescope.experiments.saved import open_saved
from cyclescope.experiments.testbed import Testbed
from cyclescope.result import Run
from nic.frames import parse_ip
from nic.matching import EndpointConfig
from nic.sources.capture import rewrite
from personalities.linux.personality import Linux, Options
from tests.crosscheck.linux import needs_linux

CAPTURES = Path(__file__).parents[1] / "captures"
OTHER = os.environ.get("CYCLESCOPE_LINUX_OTHER", "")

pytestmark = needs_linux(Path("/usr/sbin/nsd").exists() and Path("/usr/sbin/snmpd").exists(), "and nsd and snmpd")


@dataclass(frozen=True)
class Program:
    """How a recorded server starts; `function` is one of its code's names."""

    capture: str
    port: int
    files: tuple[str, ...]
    words: tuple[str, ...]
    function: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def recorded(self) -> Path:
        return CAPTURES / self.capture

    def guest_files(self) -> dict[str, Path]:
        return {f"/{name}": self.recorded.parent / name for name in self.files}


NSD = Program(
    "dns/nsd.pcap", 53, ("nsd.conf", "example.org.zone", "2.0.192.in-addr.arpa.zone"), ("nsd", "-c", "/nsd.conf"), "[nsd]"
)
SNMPD = Program(
    "snmp/snmpd.pcap", 161, ("snmpd.conf",), ("snmpd", "-f", "-Lf", "/dev/null", "-C", "-c", "/snmpd.conf", "-r"),
    "netsnmp_call_handler", {"SNMP_PERSISTENT_DIR": "/tmp/snmp", "MIBS": ""},
)  # fmt: skip


@pytest.fixture(scope="module", params=[NSD, SNMPD], ids=lambda program: program.words[0])
def booted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Path]:
    program: Program = request.param
    saved = tmp_path_factory.mktemp("saved") / "snapshot"
    words = ["linux", "--cpus", "2", "--quiet", "--save", str(saved), "--ready", f"udp:{program.port}"]
    for to, at in program.guest_files().items():
        words += ["--file", f"{to}={at}"]
    for name, value in program.environment.items():
        words += ["--env", f"{name}={value}"]
    assert run_cli([*words, "--", *program.words]) == 0
    return program, saved


def test_its_answers_are_the_recorded_ones(booted: tuple[Program, Path], tmp_path: Path) -> None:
    program, saved = booted
    words = ["--from", str(saved), "--check", "--quiet", "--timing", "functional", "--json", str(tmp_path / "json")]
    assert run_cli(["replay", str(program.recorded), *words]) == 0
    said = msgspec.json.decode((tmp_path / "json").read_bytes())
    assert (said["different"], said["lost"], said["equal"]) == (0, 0, said["compared"])
    assert said["compared"] > 600


def test_requests_are_followed_through_it(booted: tuple[Program, Path]) -> None:
    """Six under way: NSD takes several before it answers the first, and every answer is charged to its own request."""
    program, saved = booted
    recording = load_recording(program.recorded).first(60)
    start, answers = open_saved(saved), {}
    addresses = EndpointConfig()
    frames = [
        rewrite(
            exchange.frame, src_mac=bytes(6), dst_mac=bytes(6), src_ip=parse_ip(addresses.ip), dst_ip=parse_ip(addresses.guest_ip)
        )
        for exchange in recording.exchanges
    ]
    with Testbed(
        start.hardware, start.personality, start.spec, timing="fast", matcher=recording.application.matcher(()),
        on_answer=lambda index, answer, _: answers.update({index: answer}),
    ) as bed:  # fmt: skip
        bed.begin(start.saved)
        meter = Meter(bed)
        phase = bed.closed_loop(6, frames, "serving")
        run, _ = meter.read(phase, rate_rps=0)
        assert not bed.client.counters["token_missing"] + bed.client.counters["token_other"], bed.client.counters
    assert [answers[phase.first + i] for i in range(60)] == [exchange.answer for exchange in recording.exchanges]
    check_accounts(run)
    assert any(name == program.function and component == "app" for component, name, _, _ in run.symbols)


def check_accounts(run: Run) -> None:
    """Requests were followed from the driver to the program and back, and hardly a cycle is nobody's."""
    mean = dict(zip(run.part_names, run.parts_ps.mean(axis=0), strict=True))
    for part in ("driver", "netdev", "ip", "udp", "socket", "skb", "copy", "sched", "vfs", "syscall", "irq", "app"):
        assert mean[f"run.{part}"] > 0, part
    assert mean.get("wait.unattributed", 0) < 0.01 * run.latency_ps.mean()
    assert sum(cycles for _, cycles in run.unmapped) < 0.01 * run.busy_cycles, run.unmapped[:20]


@pytest.mark.skipif(not OTHER, reason="needs CYCLESCOPE_LINUX_OTHER (an unpacked kernel package of another version)")
def test_a_kernel_of_another_version_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLESCOPE_LINUX", OTHER)
    recording = load_recording(NSD.recorded).first(50)
    linux, hardware = Linux(Options(files=NSD.guest_files(), ready="udp 53")), Hardware(cpus=2)
    spec = linux.prepare("nsd", ["-d", "-c", "/nsd.conf"])
    result = replay(recording, linux, hardware, spec=spec, check=True, timing="fast")
    assert (result.different, result.lost, result.equal) == ((), 0, 50)
    check_accounts(result.run)
