# SPDX-License-Identifier: GPL-2.0-or-later
"""kvd as a program on this host: the recorded answers of memcached 1.6.18, and what kvd promises besides."""

from __future__ import annotations

import collections
import hashlib
import os
import re
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.kvd_host import HEADER, Client, build_kvd, kvd_program, serving_kvd

ROOT = Path(__file__).resolve().parents[1]
CAPTURES = {
    300: ROOT / "tests" / "captures" / "memcached-udp-300.pcap",
    2000: Path(os.environ.get("CYCLESCOPE_CAPTURES", ROOT.parent / "shared" / "captures")) / "memcached-udp.pcap",
}


def recorded(path: Path) -> list[tuple[bytes, bytes]]:
    """Requests (UDP payloads) of a capture, each with its answer: the bytes behind its datagrams' frame headers."""
    data = path.read_bytes()
    assert data[:4] == b"\xd4\xc3\xb2\xa1", "a little-endian pcap with microseconds"
    requests: list[bytes] = []
    answers: dict[bytes, bytes] = collections.defaultdict(bytes)
    at = 24
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at + 8)
        packet = data[at + 16 + 14 : at + 16 + length]
        at += 16 + length
        udp = packet[(packet[0] & 15) * 4 :]
        payload = udp[8 : struct.unpack_from(">H", udp, 4)[0]]
        if struct.unpack_from(">H", udp, 2)[0] == 11211:
            requests.append(payload)
        else:
            answers[payload[:2]] += payload[HEADER.size :]
    return [(request, answers[request[:2]]) for request in requests]


@pytest.mark.parametrize(
    "options", [("-t", "1"), ("-t", "4"), ("-t", "4", "--locks", "global"), ("-t", "8", "-m", "1")]
)
@pytest.mark.parametrize("count", CAPTURES)
def test_the_recorded_requests_get_the_recorded_answers(count: int, options: tuple[str, ...]) -> None:
    if not CAPTURES[count].exists():
        pytest.skip(f"{CAPTURES[count].name} is not here (set CYCLESCOPE_CAPTURES to its folder): NOT replayed")
    exchanges = recorded(CAPTURES[count])
    assert len(exchanges) == count
    with serving_kvd(*options) as client:
        for request, answer in exchanges:
            assert client.ask_whole(request[HEADER.size :]) == answer, request[:80]


def test_version_is_the_one_whose_answers_are_given() -> None:
    with serving_kvd() as client:
        assert client.ask_whole(b"version\r\n") == b"VERSION 1.6.18\r\n"


def test_a_flush_to_come_takes_what_is_there_then() -> None:
    with serving_kvd("-t", "1") as client:
        client.ask(b"set early 0 0 1\r\nA\r\n")
        assert client.ask(b"flush_all 1\r\n").payload == b"OK\r\n"
        client.ask(b"set meanwhile 0 0 1\r\nB\r\n")
        assert client.ask(b"get early meanwhile\r\n").payload.count(b"VALUE") == 2
        time.sleep(2.1)
        assert client.ask(b"get early meanwhile\r\n").payload == b"END\r\n"
        client.ask(b"set late 0 0 1\r\nC\r\n")
        assert client.ask(b"get late\r\n").payload == b"VALUE late 0 1\r\nC\r\nEND\r\n"


def test_items_expire() -> None:
    with serving_kvd("-t", "1") as client:
        client.ask(b"set short 0 1 1\r\nA\r\n")
        client.ask(b"set long 0 100 1\r\nB\r\n")
        client.ask(b"set touched 0 1 1\r\nC\r\n")
        client.ask(b"set taken 0 1 1\r\nD\r\n")
        client.ask(b"set dated 0 %d 1\r\nE\r\n" % (int(time.time()) + 1))
        client.ask(b"set later 0 %d 1\r\nF\r\n" % (int(time.time()) + 1000))
        assert client.ask(b"touch touched 100\r\n").payload == b"TOUCHED\r\n"
        assert client.ask(b"gat 100 taken\r\n").payload == b"VALUE taken 0 1\r\nD\r\nEND\r\n"
        time.sleep(3.1)
        left = client.ask(b"get short long touched taken dated later\r\n").payload
        assert re.findall(rb"VALUE (\w+)", left) == [b"long", b"touched", b"taken", b"later"]


def test_the_least_recently_used_go_first_and_the_budget_holds() -> None:
    with serving_kvd("-t", "1", "-m", "1", "--locks", "global") as client:
        value = b"v" * 1000
        client.ask(b"set kept 0 0 1000\r\n%b\r\n" % value)
        for i in range(3000):
            client.ask(b"set fill%d 0 0 1000 noreply\r\n%b\r\n" % (i, value))
            if i % 100 == 0:
                assert client.ask(b"get kept\r\n").payload.startswith(b"VALUE")
        there = [i for i in range(3000) if client.ask(b"get fill%d\r\n" % i).payload.startswith(b"VALUE")]
        assert there == list(range(there[0], 3000)), "those stored last, all of them"
        stats = dict(re.findall(rb"STAT (\w+) (\d+)", client.ask(b"stats\r\n").payload))
        assert int(stats[b"bytes"]) <= int(stats[b"limit_maxbytes"]) == 1 << 20
        assert int(stats[b"bytes"]) > 0.95 * (1 << 20), "no large hole is left unused"
        assert int(stats[b"curr_items"]) == len(there) + 1
        assert int(stats[b"evictions"]) == 3001 - len(there) - 1


def test_sizes_mixed_at_random_fill_the_budget() -> None:
    sizes = [int(hashlib.sha256(b"%d" % i).hexdigest(), 16) % 3000 + (30000 if i % 50 == 0 else 0) for i in range(4000)]
    with serving_kvd("-t", "1", "-m", "2") as client:
        for i, size in enumerate(sizes):
            assert client.ask(b"set k%d 0 0 %d\r\n%b\r\n" % (i % 3500, size, b"v" * size)).payload == b"STORED\r\n"
        stats = dict(re.findall(rb"STAT (\w+) (\d+)", client.ask(b"stats\r\n").payload))
        assert 0.75 * (2 << 20) < int(stats[b"bytes"]) <= 2 << 20


@pytest.mark.parametrize("locks", ["striped", "global"])
def test_threads_do_not_lose_updates(locks: str) -> None:
    """Four clients on four server threads: every increment counts, and a value is always whole."""
    with serving_kvd("-t", "4", "-m", "4", "--locks", locks) as first:
        first.ask_whole(b"set n 0 0 1\r\n0\r\n")
        port = first._socket.getpeername()[1]
        failures: list[str] = []

        def hammer(me: int) -> None:
            client = Client(port)
            letter = b"abcd"[me : me + 1]
            for i in range(400):
                client.ask_whole(b"incr n 1\r\n")
                size = 1 + (i * 37 + me) % 3000
                client.ask_whole(b"set shared 0 0 %d\r\n%b\r\n" % (size, letter * size))
                shown = client.ask_whole(b"get shared\r\n")
                match = re.fullmatch(rb"VALUE shared 0 (\d+)\r\n(a+|b+|c+|d+)\r\nEND\r\n", shown)
                if shown != b"END\r\n" and not (match and len(match[2]) == int(match[1])):
                    failures.append(repr(shown[:60]))
                if i % 7 == 0:
                    client.ask_whole(b"delete shared\r\n")
            client.close()

        threads = [threading.Thread(target=hammer, args=(me,)) for me in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert first.ask_whole(b"get n\r\n") == b"VALUE n 0 4\r\n1600\r\nEND\r\n"


def test_an_answer_too_long_is_refused() -> None:
    """2,047 values fit an answer, and 8 MiB; beyond, the client is told."""
    with serving_kvd("-t", "1") as client:
        client.ask(b"set a 0 0 1\r\nA\r\n")
        many = client.ask_whole(b"get" + b" a" * 2040 + b"\r\n")
        assert many == b"VALUE a 0 1\r\nA\r\n" * 2040 + b"END\r\n"
        most = client.ask_whole(b"get" + b" a" * 3000 + b"\r\n")
        assert most.endswith(b"VALUE a 0 1\r\nA\r\nSERVER_ERROR out of memory writing get response\r\n")
        assert client.ask_whole(b"get a\r\n") == b"VALUE a 0 1\r\nA\r\nEND\r\n"


def test_a_value_cut_short_does_not_silence_the_server() -> None:
    with serving_kvd("-t", "1") as client:
        assert client.ask(b"set a 0 0 10\r\nabc\r\n").payload == b"CLIENT_ERROR bad data chunk\r\n"
        assert client.ask(b"set a 0 0 2000000\r\nabc\r\n").payload == b"SERVER_ERROR object too large for cache\r\n"
        assert client.ask(b"get a\r\n").payload == b"END\r\n"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([kvd_program(), *arguments], capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-t", "0"], "-t takes a number of threads from 1 to 64, not 0"),
        (["-t", "65"], "-t takes a number of threads from 1 to 64, not 65"),
        (["-t", "2x"], "-t takes a number of threads from 1 to 64, not 2x"),
        (["-t"], "a value must follow -t"),
        (["-p", "0"], "the port is a number from 1 to 65535, not 0"),
        (["-U", "65536"], "the port is a number from 1 to 65535, not 65536"),
        (["-m", ""], "-m takes megabytes from 1 to 65536, not "),
        (["-m", "99999999999999999999"], "-m takes megabytes from 1 to 65536, not 99999999999999999999"),
        (["--locks", "none"], "--locks takes global or striped, not none"),
        (["-l", "1.2.3"], "-l takes an IPv4 address like 127.0.0.1, not 1.2.3"),
        (["-l", "1.2.3.256"], "-l takes an IPv4 address like 127.0.0.1, not 1.2.3.256"),
        (["--speed"], "no such option (try --help): --speed"),
        (
            ["-m", "20000", "--locks", "global"],
            "one lock covers at most 16383 megabytes: take less with -m, or --locks striped",
        ),
    ],
)
def test_bad_options_get_one_sentence(arguments: list[str], sentence: str) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"kvd: {sentence}\n")


def test_help_names_every_option() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert all(option in result.stdout for option in ("-t ", "-p ", "-U ", "-l ", "-m ", "--locks "))


def test_a_port_in_use_gets_one_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        result = run("-l", "127.0.0.1", "-p", str(port))
    assert result.returncode == 1
    assert result.stderr == f"kvd: cannot listen on UDP port {port}: another program does; choose one with -p\n"


def test_ready_is_said_once_it_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([kvd_program(), "-l", "127.0.0.1", "-p", str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"kvd: ready\n"
    client = Client(port)
    assert client.ask_whole(b"get nothing\r\n") == b"END\r\n"
    client.close()
    process.terminate()
    assert process.wait(10) == -15
    process.stdout.close()


def test_the_program_is_a_plain_static_elf() -> None:
    """What our kernels and any Linux can run: static, at a fixed address, no page both writable and executable."""
    with kvd_program().open("rb") as file:
        elf = ELFFile(file)
        assert elf["e_type"] == "ET_EXEC"
        assert elf["e_machine"] == "EM_X86_64"
        segments = list(elf.iter_segments())
        assert not [s for s in segments if s["p_type"] in ("PT_INTERP", "PT_DYNAMIC", "PT_TLS")]
        pages: dict[int, int] = {}
        for segment in segments:
            if segment["p_type"] == "PT_LOAD":
                assert segment["p_flags"] & 3 != 3, "writable and executable"
                end = segment["p_vaddr"] + segment["p_memsz"]
                for page in range(segment["p_vaddr"] // 4096, (end + 4095) // 4096):
                    assert page not in pages, "a page shared by two segments"
                    pages[page] = segment["p_flags"]
        symbols = {s.name for s in elf.get_section_by_name(".symtab").iter_symbols()}
    for name in ("kvd_serve", "kvd_lock_acquire", "kvd_lock_release", "kvd_lock_wait", "kvd_store_get"):
        assert name in symbols


def test_the_same_bytes_are_built_anywhere(tmp_path: Path) -> None:
    one = build_kvd(tmp_path / "one")
    two = build_kvd(tmp_path / "a folder of another name")
    assert one.read_bytes() == two.read_bytes()
    assert str(ROOT).encode() not in one.read_bytes()
