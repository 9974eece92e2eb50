# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: what each command gives, its exit codes, and what people meet who ask for nonsense."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cyclescope.asm.assembler import assemble
from cyclescope.asm.flat import flat_image
from cyclescope.cli import run_cli
from emu.loader.image import load_image
from personalities.base import get_personality
from tests.images import assemble32

CAPTURE = Path(__file__).parent / "captures" / "memcached-udp-300.pcap"
NONSENSE, BAD_GUEST, INTERRUPTED = 2, 3, 130
CONSOLE_SCRIPT = "from cyclescope.cli import main; print('imported', flush=True); main()"

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command in tmp_path that must fail: the exit code, one sentence on standard error, and no file made or changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def run(*arguments: object, code: int = NONSENSE, output: str | None = "") -> str:
        before = files(tmp_path)
        assert run_cli([str(argument) for argument in arguments]) == code
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1, printed.err
        assert printed.err.startswith("cyclescope: ")
        assert "Traceback" not in printed.err
        assert "Error" not in printed.err, "a class name is no sentence"
        if output is not None:
            assert printed.out == output
        assert files(tmp_path) == before
        return printed.err

    return run


def files(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# ---- files


def elf(machine: int = 62, kind: int = 2, segment: int = 1) -> bytes:
    """An ELF64 header and one empty program header."""
    header = struct.pack(
        "<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, kind, machine, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", segment, 5, 0, 0x400000, 0x400000, 120, 120, 4096)


BAD_IMAGES = {
    "is not an ELF file": b"hello\n",
    "is empty": b"",
    "is cut short": elf()[:80],
    "is for ELF machine 183, not for x86-64": elf(machine=183),
    "is a dynamically linked program": elf(segment=3),
    "position-independent": elf(kind=3),
    "has no PVH note": elf().replace(struct.pack("<Q", 0x400000), struct.pack("<Q", 0x100000)),
}


@pytest.mark.parametrize("reason", BAD_IMAGES)
def test_bad_image(refused: Refused, tmp_path: Path, reason: str) -> None:
    (tmp_path / "image").write_bytes(BAD_IMAGES[reason])
    told = refused("run", "--image", "image")
    assert "image: " in told
    assert reason in told


BAD_PROGRAMS = {
    "neither an ELF program nor a newc cpio archive": b"hello\n",
    "is a script": b"#!/bin/sh\n",
    "is empty": b"",
    "is for ELF machine 40": elf(machine=40),
    "is dynamically linked": elf(segment=3),
}


@pytest.mark.parametrize("reason", BAD_PROGRAMS)
def test_bad_program(refused: Refused, tmp_path: Path, reason: str) -> None:
    (tmp_path / "program").write_bytes(BAD_PROGRAMS[reason])
    assert reason in refused("run", "./program")


@pytest.mark.parametrize(
    "command", [["run", "--image", "F"], ["run", "./F"], ["replay", "F"], ["asm", "--file", "F"]], ids=lambda c: c[0]
)
def test_missing_and_unreadable_files(refused: Refused, tmp_path: Path, command: list[str]) -> None:
    assert "F: " in refused(*command)
    (tmp_path / "F").mkdir()
    assert "F: " in refused(*command)


def pcap(link: int, *packets: bytes) -> bytes:
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, link)
    return header + b"".join(struct.pack("<IIII", 0, 0, len(data), len(data)) + data for data in packets)


BAD_CAPTURES = {
    "the file is empty": b"",
    "holds no packets": pcap(1),
    "not a pcap or pcapng file": b"hello, I am a text\n",
    "cut short in packet 5": CAPTURE.read_bytes()[:700],
    "802.11, not Ethernet": pcap(105, bytes(60)),
    "less than an Ethernet header": pcap(1, bytes(10)),
    "holds no request to UDP port 11211": pcap(1, bytes(60)),
    "compressed": b"\x1f\x8b\x08\x00" + bytes(20),
}


@pytest.mark.parametrize("reason", BAD_CAPTURES)
def test_bad_capture(refused: Refused, tmp_path: Path, reason: str) -> None:
    (tmp_path / "c.pcap").write_bytes(BAD_CAPTURES[reason])
    told = refused("replay", "c.pcap", "--personality", "libos")
    assert "c.pcap: " in told
    assert reason in told


# ---- options


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--personality", "windows"], "There is no personality 'windows'; there are: linux_like, libos"),
        (["--personality", "libos,libos"], "name each personality once"),
        (["--personality", ""], "There is no personality ''"),
        (["--cpus", "0"], "--cpus is 0: give 1 to 16"),
        (["--cpus", "17"], "--cpus is 17: give 1 to 16"),
        (["--cpus", "-1"], "--cpus is -1"),
        (["--cpus", "four"], "'--cpus'"),
        (["--mem", "63M"], "give 64 to 8192 MiB"),
        (["--mem", "9G"], "give 64 to 8192 MiB"),
        (["--mem", "much"], "--mem is 'much'"),
        (["--net", "fast"], "--net is 'fast'"),
        (["--uarch", "8086"], "There is no processor table '8086'"),
        (["--timing", "slow"], "--timing is 'slow'"),
        (["--requests", "0"], "--requests is 0"),
        (["--warmup", "-1"], "--warmup is -1"),
        (["--seed", "-1"], "--seed is -1"),
        (["--load", "0"], "--load is 0"),
        (["--load", "nan"], "--load is nan"),
        (["--rate", "inf"], "--rate is inf"),
        (["--rate", "1000", "--closed", "4"], "--rate and --closed exclude each other"),
        (["--closed", "0"], "--closed is 0"),
        (["--tcp"], "--tcp: linux_like has no TCP"),
        (["--connections", "5"], "--connections needs --tcp"),
        (["--tcp", "--connections", "0"], "--connections is 0"),
        (["--loss", "0.1"], "--loss needs --tcp"),
        (["--tcp", "--loss", "0.9"], "--loss is 0.9"),
        (["--keys", "0"], "--keys is 0"),
        (["--flows", "0"], "--flows is 0"),
        (["--locks", "none"], "--locks is 'none'"),
        (["--quantum", "1"], "--quantum is 1"),
        (["--moderation", "-1"], "--moderation is -1"),
        (["--cross-traffic", "1"], "--cross-traffic is 1"),
        (["--bogus"], "No such option: --bogus"),
        (["--seed"], "--seed"),
        (["word"], "unexpected extra argument"),
        (["--json", "nowhere/f.json"], "nowhere/f.json: cannot be written"),
        (["--out", "nowhere/run"], "nowhere: is not a directory"),
        (["--out", "/proc/run"], "/proc: is not writable"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_nonsense_for_compare(refused: Refused, options: list[str], reason: str) -> None:
    assert reason in refused("compare", *options)


def test_output_directory_in_use(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert "run: exists already" in refused("compare", "--personality", "libos", "--out", "run")
    (tmp_path / "file").touch()
    assert "file: is not a directory" in refused("compare", "--personality", "libos", "--out", "file/run")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nosuch"], "No such command"),
        (["run"], "give either --image FILE or a program"),
        (["run", "--image", "x", "program"], "give either --image FILE or a program"),
        (["run", "--limit", "-1", "--image", "x"], "--limit is -1"),
        (["run", "--limit", "nan", "--image", "x"], "--limit is nan"),
        (["run", "nosuch"], "nosuch is not there"),
        (["replay"], "Missing argument"),
        (["replay", str(CAPTURE), "--multiplier", "0"], "--multiplier is 0"),
        (["replay", str(CAPTURE), "--multiplier", "nan"], "--multiplier is nan"),
        (["replay", str(CAPTURE), "--cpus", "17"], "--cpus is 17"),
        (["asm"], "give the code, --file or --hex"),
        (["asm", "nop", "--hex", "90"], "only one of them"),
        (["asm", "frobnicate rax"], "cannot assemble 'frobnicate rax'"),
        (["asm", ";"], "holds no instruction"),
        (["asm", "--hex", "9"], "--hex '9'"),
        (["asm", "--hex", "06"], "are no instruction"),
        (["asm", "nop", "--uarch", "8086"], "There is no processor table"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_nonsense_for_others(refused: Refused, arguments: list[str], reason: str) -> None:
    assert reason in refused(*arguments)


# ---- guests that end badly

TRIPLE_FAULT, HANG = "ud2", "cli; hlt"
FLOOD = "mov dx, 0x3f8; mov al, 0x78; again: out dx, al; jmp again"


@pytest.mark.parametrize(
    ("source", "reason"),
    [(TRIPLE_FAULT, "triple-faulted on vCPU 0 at RIP 0x200000"), (HANG, "hangs"), (FLOOD, "flooded its console")],
    ids=["triple fault", "hang", "flood"],
)
def test_run_of_a_bad_guest(refused: Refused, tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "bad.elf").write_bytes(flat_image(assemble(source)))
    told = refused("run", "--image", "bad.elf", code=BAD_GUEST, output=None if source == FLOOD else "")
    assert reason in told
    assert len(told) < 500


def test_run_is_ended_by_its_limit(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "busy.elf").write_bytes(flat_image(assemble("again: inc rax; jmp again")))
    told = refused("run", "--image", "busy.elf", "--limit", "0.01", code=BAD_GUEST)
    assert "did not end within 0.01 s of guest time" in told


@pytest.mark.parametrize(
    ("source", "reason"),
    [(TRIPLE_FAULT, "triple-faulted"), (HANG, "halted"), (FLOOD, "flooded its console")],
    ids=["triple fault", "hang", "flood"],
)
@pytest.mark.parametrize("verb", ["compare", "replay"])
def test_server_that_never_gets_ready(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, source: str, reason: str
) -> None:
    """libos' own image, with other code at its entry."""
    image = load_image(get_personality("libos").prepare("kvd").image)
    segment = next(s for s in image.segments if s.gpa <= image.entry_gpa < s.gpa + s.file_bytes)
    at = segment.offset + image.entry_gpa - segment.gpa
    code = assemble32(source, image.entry_gpa)
    (tmp_path / "libos-kvd.elf").write_bytes(image.data[:at] + code + image.data[at + len(code) :])
    monkeypatch.setenv("CYCLESCOPE_IMAGES", str(tmp_path))
    arguments = ["compare", "--out", "run"] if verb == "compare" else ["replay", str(CAPTURE), "--check"]
    told = refused(*arguments, "--personality", "libos", "--json", "result.json", code=BAD_GUEST)
    assert reason in told


# ---- Ctrl-C


@pytest.mark.parametrize("after_s", [0.3, 2.0])
def test_ctrl_c_leaves_nothing(tmp_path: Path, after_s: float) -> None:
    arguments = ["compare", "--personality", "libos", "--requests", "1000000", "--out", "run", "--json", "result.json"]
    ended, told = interrupted(arguments, tmp_path, b"imported", after_s)
    assert ended == INTERRUPTED
    assert told == "cyclescope: interrupted; nothing was written\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_guest_computes(tmp_path: Path) -> None:
    """A guest that touches no device: the core must be told, Python's handler would never run."""
    (tmp_path / "busy.elf").write_bytes(
        flat_image(assemble(f"{putc('!')}; {putc(chr(10))}; again: inc rax; jmp again"))
    )
    ended, told = interrupted(["run", "--image", "busy.elf"], tmp_path, b"!", 0.2)
    assert ended == INTERRUPTED
    assert told == "cyclescope: interrupted; nothing was written\n"


def interrupted(arguments: list[str], folder: Path, until: bytes, after_s: float) -> tuple[int, str]:
    """Exit code and standard error of a command that gets SIGINT `after_s` seconds after a line `until`."""
    command = [sys.executable, "-c", CONSOLE_SCRIPT, *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            while (line := process.stdout.readline().strip()) != until:
                assert line, "it ended"
            time.sleep(after_s)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    return process.returncode, errors.decode()


# ---- what the commands give


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([]) == run_cli(["--help"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for command in ("compare", "replay", "run", "linux", "asm", "personalities", "doctor"):
        assert command in printed.out
        assert run_cli([command, "--help"]) == 0


def test_personalities_and_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["personalities"]) == 0
    printed = capsys.readouterr().out
    assert "linux_like" in printed
    assert "asymmetric" in printed
    assert run_cli(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "MISSING" not in printed
    assert "personality libos: libos-kvd.elf" in printed


def test_doctor_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    libos = type(get_personality("libos"))
    monkeypatch.setattr(libos, "folder", tmp_path / "personalities" / "libos")
    assert run_cli(["doctor"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "MISSING" in line]
    assert len(lines) == 1
    assert "libos-kvd.elf is not there; build the guest images with `make build`" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "registers", "instructions"),
    [
        (["mov eax, 5; add rax, 2; imul rax, rax"], {"rax": 49}, 3),
        (["mov ecx, 10; x: dec ecx; jnz x"], {"rcx": 0}, 21),
        (["movq $7, %rbx", "--att"], {"rbx": 7}, 1),
        (["--hex", "48c7c1ffffffff"], {"rcx": 2**64 - 1}, 1),
        (["mov [rdi], rdi; push 3; pop r15; mov r14, [rdi]"], {"r15": 3, "r14": 0x400000, "rsp": 0x600000}, 4),
    ],
    ids=["arithmetic", "loop", "AT&T", "hex", "memory"],
)
def test_asm(
    capsys: pytest.CaptureFixture[str], arguments: list[str], registers: dict[str, int], instructions: int
) -> None:
    assert run_cli(["asm", *arguments, "--run", "--json", "-"]) == 0
    document = msgspec.json.decode(capsys.readouterr().out)
    ran = document["run"]
    assert (ran["exit_code"], ran["message"]) == (0, "")
    assert {name: ran["registers"][name] for name in registers} == registers
    assert ran["instructions"] == instructions
    assert 0 < ran["cycles"] < 1_000
    assert run_cli(["asm", *arguments, "--run"]) == 0
    printed = capsys.readouterr().out
    assert all(row["text"] in printed for row in document["instructions"])
    assert f"Ran {instructions} instructions in {ran['cycles']:,} cycles" in printed


def test_asm_from_a_file_does_not_run_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "code.s").write_text("xor eax, eax\nud2\n")
    assert run_cli(["asm", "--file", str(tmp_path / "code.s"), "--json", "-"]) == 0
    document = msgspec.json.decode(capsys.readouterr().out)
    assert [row["text"] for row in document["instructions"]] == ["xor eax, eax", "ud2"]
    assert document["run"] is None


def test_asm_that_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["asm", "nop; ud2", "--run"]) == BAD_GUEST
    assert "triple-faulted on vCPU 0 at RIP 0x200001" in capsys.readouterr().out


def putc(character: str) -> str:
    return f"mov dx, 0x3f8; mov al, {ord(character)}; out dx, al"


def test_run_gives_the_guests_console_and_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "image.elf"
    image.write_bytes(flat_image(assemble("; ".join(putc(c) for c in "hi\n") + "; mov al, 42; out 0xf4, al")))
    assert run_cli(["run", "--image", str(image)]) == 42
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("hi\n", "")


def linux_program(source: str) -> bytes:
    """A static Linux ELF64 of one segment."""
    base = 0x400000
    code = assemble(source, address=base + 120)
    header = struct.pack(
        "<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, 62, 1, base + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    size = 120 + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096) + code


def test_run_of_a_linux_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its exit status is the command's; system calls that the kernel lacks are listed."""
    program = tmp_path / "program"
    program.write_bytes(linux_program("mov eax, 511; syscall; mov edi, 7; mov eax, 231; syscall"))
    assert run_cli(["run", "--cpus", "2", str(program)]) == 7
    assert "511" in capsys.readouterr().err


def test_compare_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "--cpus", "2", "--requests", "100", "--warmup", "20", "--seed", "3", "--json", "-"]
    assert run_cli(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    document = msgspec.json.decode(printed.out)
    assert document["schema"] == 1
    assert len(document["config_hash"]) == 16
    assert [run["personality"] for run in document["runs"]] == ["linux_like", "libos"]
    for run in document["runs"]:
        assert (run["requests"], run["lost"]) == (100, 0)
        latency = run["latency_ns"]
        assert latency["p50"] <= latency["p99"] <= latency["p999"]
        assert sum(part["mean"] for part in run["parts_ns"].values()) == pytest.approx(latency["mean"])
        assert all(set(part) == {"mean", "p99"} for part in run["parts_ns"].values())
        assert sum(run["cycles"].values()) == run["cycles_total"]
        assert run["instructions"] > 0
        assert run["mips"] > 0
        events = {event["row"]: event for event in run["events"]}
        assert all(event["cycles"] == event["count"] * event["each_cycles"] > 0 for event in run["events"])
        counted = sum(vcpu["counters"]["interrupt"] for vcpu in run["vcpus"])
        assert events["interrupt_entry"]["count"] == counted > 0
        charged = sum(causes.get("event", 0) for causes in run["causes"].values())
        exceptions = events.get("exception_entry", {"cycles": 0})
        assert charged == pytest.approx(events["interrupt_entry"]["cycles"] + exceptions["cycles"], rel=0.02)  # some wait


def test_compare_prints_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    load = ["--requests", "50", "--warmup", "0", "--closed", "1"]
    assert run_cli(["compare", "--cpus", "1", *load, "--events", "--functions", "9999"]) == 0
    printed = capsys.readouterr().out
    assert "udp_rcv" in printed
    assert printed.count("Call stacks begin at: ") == 2
    assert all(text in printed for text in ("Events of libos, a request", "interrupt_entry", "published"))
    for text in ("Propagation delay", "Lock contention", "Application", "true end-to-end p99", "linux_like", "libos"):
        assert text in printed


@pytest.mark.parametrize("name", ["libos", "linux_like"])
def test_replay_checks_answers(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["replay", str(CAPTURE), "--personality", name, "--check", "--json", "-"]) == 0
    document = msgspec.json.decode(capsys.readouterr().out)
    assert [document[key] for key in ("requests", "equal", "different", "lost")] == [300, 300, 0, 0]


def test_replay_lists_differences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = CAPTURE.read_bytes()
    (tmp_path / "c.pcap").write_bytes(recorded.replace(b"STORED\r\n", b"STOLEN\r\n", 1))
    assert run_cli(["replay", str(tmp_path / "c.pcap"), "--personality", "libos", "--check"]) == 1
    printed = capsys.readouterr().out
    assert "299 answers equal the recorded ones, 1 differ, 0 lost" in printed
    assert "recorded STOLEN\\r\\n, answered STORED\\r\\n" in printed


def test_a_reader_that_leaves_early(tmp_path: Path) -> None:
    """`cyclescope ... | head -0`: no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from cyclescope.cli import main; main()", "asm", "nop"]
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, cwd=tmp_path)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
