# SPDX-License-Identifier: GPL-2.0-or-later
"""A distribution's own kernel with unmodified programs on our machine: it boots, serves, and is accounted for."""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from cyclescope.cli import run_cli
from cyclescope.config import Hardware
from cyclescope.experiments.recording import Recording, load_recording
from cyclescope.experiments.replay import replay
from cyclescope.experiments.run import run_guest
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from emu.errors import GuestError
from emu.snapshot import SavedWorld
from nic.memcached_udp import datagram
from personalities.linux.kallsyms import read_kallsyms
from personalities.linux.kernel import Kernel
from personalities.linux.personality import Linux, Options
from tests.crosscheck.linux import BUSYBOX, MEMCACHED, needs_linux
from tests.crosscheck.qemu import needs_qemu
from tests.snapshots import outcome, requests, same

CAPTURE = Path(__file__).parents[1] / "captures" / "memcached-udp-300.pcap"
pytestmark = needs_linux()


@pytest.fixture(scope="module")
def recording() -> Recording:
    return load_recording(CAPTURE)


@pytest.mark.parametrize(("cpus", "boot"), [(1, "linux64"), (4, "pvh")])
def test_debian_s_memcached_answers_as_recorded(recording: Recording, cpus: int, boot: str) -> None:
    linux, hardware = Linux(Options(boot=boot)), Hardware(cpus=cpus)
    spec = linux.prepare(MEMCACHED, ["-u", "root", "-U", "11211", "-t", "4"])
    result = replay(recording, linux, hardware, spec=spec, check=True, timing="functional")
    assert (result.different, result.lost, result.equal) == ((), 0, len(recording.exchanges))


def serve(linux: Linux, manifest: Path | None = None) -> tuple[dict[int, bytes], list[int], Testbed]:
    """200 requests for kvd on 2 vCPUs at the fast level; answers, each vCPU's clock, and the testbed (closed, for looking)."""
    hardware = Hardware(cpus=2)
    spec = linux.prepare("kvd", linux.arguments_for("kvd", 2, 11211))
    spec = replace(spec, manifest=manifest) if manifest else spec
    answers: dict[int, bytes] = {}
    bed = Testbed(
        hardware, linux, spec, timing="fast", on_answer=lambda index, answer, _: answers.update({index: answer})
    )
    with bed:
        bed.boot()
        sets = [datagram(i, b"set key%d 0 0 6\r\nval%03d\r\n" % (i, i)) for i in range(100)]
        gets = [datagram(100 + i, b"get key%d\r\n" % i) for i in range(100)]
        before = bed.snapshot()
        phases = [bed.closed_loop(4, list(frames(requests, 64)), "serving") for requests in (sets, gets)]
        assert [phase.lost for phase in phases] == [0, 0]
        bed.found = bed.accounts(before, bed.snapshot()), bed.calls.dropped(), bed.requests.table()  # type: ignore[attr-defined]
        assert not [kind for kind in bed.nic.counters if "broken" in kind or "bad" in kind or "refused" in kind]
        clocks = [bed.world.core.cycles(bed.machine.index, vcpu) for vcpu in range(2)]
    return answers, clocks, bed


@pytest.fixture(scope="module")
def served() -> tuple[dict[int, bytes], list[int], Testbed]:
    return serve(Linux())


def test_requests_are_followed_through_linux(served: tuple[dict[int, bytes], list[int], Testbed]) -> None:
    answers, _, bed = served
    assert [answers[i] for i in range(100)] == [b"STORED\r\n"] * 100
    assert [answers[100 + i] for i in range(100)] == [
        b"VALUE key%d 0 6\r\nval%03d\r\nEND\r\n" % (i, i) for i in range(100)
    ]
    accounts, dropped, table = bed.found  # type: ignore[attr-defined]
    assert not dropped
    assert not bed.client.counters["token_missing"] + bed.client.counters["token_other"]
    mean = dict(zip(table.part_names, table.parts_ps.mean(axis=0), strict=True))
    for part in ("driver", "netdev", "ip", "udp", "socket", "skb", "copy", "sched", "vfs", "syscall", "irq", "app"):
        assert mean[f"run.{part}"] > 0, part
    assert mean.get("wait.unattributed", 0) == 0
    busy = sum(sum(causes.values()) for name, causes in accounts.cycles().items() if name != "idle")
    assert sum(cycles for _, cycles in accounts.unmapped()) < 0.01 * busy, accounts.unmapped()[:20]


def test_symbols_and_probes_cost_the_guest_nothing(
    served: tuple[dict[int, bytes], list[int], Testbed], tmp_path: Path
) -> None:
    (tmp_path / "manifest.toml").write_text("[components]\n")
    answers, clocks, _ = serve(Linux(), tmp_path / "manifest.toml")
    assert (answers, clocks) == served[:2]


def test_a_load_is_measured_function_by_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = ["--requests", "100", "--warmup", "20", "--rate", "20000", "--keys", "20", "--seed", "3"]
    words = ["linux", "--cpus", "2", "--timing", "fast", *load, "--quiet", "--functions", "2000"]
    assert run_cli([*words, "--json", str(tmp_path / "json"), "--", "memcached", "-u", "root", "-U", "11211", "-t", "2"]) == 0
    (run,) = msgspec.json.decode((tmp_path / "json").read_bytes())["runs"]
    assert (run["sent"], run["lost"]) == (100, 0)
    busy = run["cycles_total"] - run["cycles"]["idle"]
    assert 0.5 * busy < sum(function["cycles"] for function in run["functions"]) <= busy
    printed = capsys.readouterr().out
    for function in ("receive_buf", "ip_local_deliver", "try_to_wake_up", "udp_recvmsg", "event_base_loop", "[memcached]"):
        assert f"\n{function} " in printed, function
    assert "Call stacks begin at: " in printed


def test_kallsyms_are_what_the_running_kernel_says() -> None:
    kernel = Kernel.found()
    lines = sorted(f"{s.address:016x} {s.kind} {s.name}\n" for s in read_kallsyms(kernel.elf, kernel.elf.read_bytes()))
    wanted = hashlib.md5("".join(lines).encode(), usedforsecurity=False).hexdigest()
    script = "/bin/busybox grep -v '\\[' /proc/kallsyms | /bin/busybox sort | /bin/busybox md5sum; exit 5"
    printed = bytearray()
    spec = Linux(Options(network=False)).prepare(BUSYBOX, ["sh", "-c", script])
    result = run_guest(spec, Hardware(cpus=1), console=lambda data, _: printed.extend(data), limit_s=60)
    assert (result.exit_code, result.message) == (5, "")
    assert wanted.encode() in printed, printed[-500:]


def warnings_in(dmesg: str) -> set[str]:
    """Lines of level warning or worse, without their times."""
    return set(re.findall(r"^<[0-4]>\[[ 0-9.]+\] (.*?)\r?$", dmesg, re.MULTILINE))


@needs_qemu
def test_the_kernel_warns_of_nothing_that_it_does_not_warn_of_under_qemu() -> None:
    spec = Linux(Options(network=False, ready="never")).prepare(BUSYBOX, ["dmesg", "-r"])
    ours = bytearray()
    assert run_guest(spec, Hardware(cpus=2), console=lambda data, _: ours.extend(data), limit_s=60).exit_code == 0
    words = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "Skylake-Server-v1", "-m", "256", "-smp", "2", "-nographic"]
    boot = ["-kernel", str(spec.image), "-initrd", str(spec.modules[0].path), "-append", spec.cmdline]
    end = ["-no-reboot", "-device", "isa-debug-exit"]
    theirs = subprocess.run([*words, *boot, *end], capture_output=True, timeout=300, stdin=subprocess.DEVNULL, check=False).stdout
    assert "Linux version" in theirs.decode(errors="replace")
    assert "Linux version" in ours.decode(errors="replace")
    assert warnings_in(ours.decode(errors="replace")) <= warnings_in(theirs.decode(errors="replace"))


@pytest.mark.parametrize(
    ("options", "words", "sentence"),
    [
        (Options(load=()), ["sleep", "9"], "init: found no network device"),
        (Options(cmdline="rdinit=/nonexistent"), ["sleep", "9"], "the guest reset its machine.*Kernel panic - not syncing"),
        (Options(), ["true"], "the guest ended its run with 0 before.*init: /bin/busybox ended with status 0"),
        (Options(ready="tcp 7"), ["sleep", "9"], "the guest ran for 2 s of its time before the program was ready"),
    ],
)  # fmt: skip
def test_a_boot_that_fails_says_why(options: Options, words: list[str], sentence: str) -> None:
    linux, hardware = Linux(options), Hardware(cpus=1)
    linux.boot_limit_ps = 2 * 10**12
    with (
        Testbed(hardware, linux, linux.prepare(BUSYBOX, words)) as bed,
        pytest.raises(GuestError, match=sentence) as failed,
    ):
        bed.boot()
    assert failed.value.exit_code == 3
    assert "\n" not in str(failed.value)


def test_a_saved_linux_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    hardware, linux, answers = Hardware(cpus=2), Linux(), []
    spec = linux.prepare("kvd", linux.arguments_for("kvd", 2, 11211))
    runs: list[dict[str, object]] = []
    for saved in (None, tmp_path / "saved"):
        answers.append([])
        keep = answers[-1]
        with Testbed(hardware, linux, spec, timing="fast", on_answer=lambda *answer: keep.append(answer)) as bed:  # noqa: B023
            if saved is None:
                bed.boot(timed=False)
                bed.save({}).write(tmp_path / "saved")
                bed.set_timing()
            else:
                bed.begin(SavedWorld.read(saved))
            bed.closed_loop(4, requests(150), "serving")
            runs.append(outcome(bed))
    assert len(answers[0]) == 150
    assert answers[0] == answers[1]
    same(*runs)
