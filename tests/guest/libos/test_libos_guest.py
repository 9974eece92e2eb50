# SPDX-License-Identifier: GPL-2.0-or-later
"""libos under QEMU, an emulator that is not ours: the tests that run inside the guest, faults, and the network from raw frames."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from emu.ledger.manifest import load_manifest
from emu.ledger.symbols import plain_name, read_functions

LIBOS = Path(__file__).parents[3] / "personalities" / "libos"
MANIFEST = LIBOS / "manifest.toml"
QEMU = shutil.which("qemu-system-x86_64")
PANICKED = (125 << 1) | 1
OUR_MAC = "02:00:00:00:00:01"
GUEST_MAC = "52:54:00:12:34:56"
GUEST_IP = "10.0.2.15"
OUR_IP = "10.0.2.2"

needs_qemu = pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")


def build_images(source: Path, build: Path, *options: str) -> None:
    for command in (["cmake", "-S", str(source), "-B", str(build), *options], ["cmake", "--build", str(build), "--parallel", "2"]):
        subprocess.run(command, check=True, capture_output=True, timeout=900)


def qemu_command(
    image: Path, words: str, cpus: int, *more: str, machine: str = "q35", megabytes: int = 256
) -> list[str]:
    return [
        str(QEMU), "-M", machine, "-accel", "tcg", "-smp", str(cpus), "-m", str(megabytes), "-kernel", str(image),
        "-append", words, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *more,
    ]  # fmt: skip


def run(image: Path, words: str, cpus: int, *more: str, machine: str = "q35", megabytes: int = 256) -> tuple[int, str]:
    """Exit status and console of a guest that ends by itself."""
    command = qemu_command(image, words, cpus, *more, machine=machine, megabytes=megabytes)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=400)
    return done.returncode, done.stdout.decode(errors="replace")


@needs_qemu
@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("name", ["ebb", "events", "futures", "contexts", "timers", "memory", "iobufs", "locks", "strings"])
def test_inside(images: Path, name: str, cpus: int) -> None:
    status, console = run(images / f"libos-test_{name}.elf", f"key=value two -- {name} one two=2", cpus, "-nic", "none")
    assert console.rstrip().endswith("SUCCESS"), console
    assert status == 1


@needs_qemu
@pytest.mark.parametrize(
    ("name", "machine", "cpus", "megabytes"),
    [("memory", "pc", 2, 64), ("timers", "q35", 16, 256), ("memory", "q35", 2, 6144), ("memory", "q35", 1, 64)],
)
def test_machines(images: Path, name: str, machine: str, cpus: int, megabytes: int) -> None:
    nic = ("-device", "virtio-net-pci,disable-legacy=on,netdev=n0", "-netdev", "user,id=n0")
    image = images / f"libos-test_{name}.elf"
    status, console = run(image, f"-- {name}", cpus, *nic, machine=machine, megabytes=megabytes)
    assert "1 queue pairs" in console
    assert console.rstrip().endswith("SUCCESS"), console
    assert status == 1


@needs_qemu
@pytest.mark.parametrize(
    ("fault", "report"),
    [
        ("null", "exception 14, error 2"),
        ("code", "exception 14, error 3"),
        ("constant", "exception 14, error 3"),
        ("execute", "exception 14, error 11"),
        ("divide", "exception 0,"),
        ("undefined", "exception 6,"),
        ("stack", "exception 14, error 2"),
        ("ebb", "id 511, which names nothing"),
        ("free", "which is no allocation"),
    ],
)
def test_faults_end_the_run(images: Path, fault: str, report: str) -> None:
    status, console = run(images / "libos-test_faults.elf", f"-- faults {fault}", 2, "-nic", "none")
    assert report in console
    assert "went on" not in console
    assert status == PANICKED


@needs_qemu
def test_a_context_that_needs_too_much_stack(images: Path) -> None:
    status, console = run(images / "libos-test_contexts.elf", "-- contexts stack", 2, "-nic", "none")
    assert "context: the stack of 61440 bytes that ends at" in console
    assert status == PANICKED


# ---- frames ----


class Wire:
    """The other end of the guest's cable: QEMU's socket network device carries each frame in a datagram."""

    def __init__(self, sock: socket.socket, guest_port: int) -> None:
        self.sock, self.guest = sock, ("127.0.0.1", guest_port)

    def send(self, frame: Packet | bytes) -> None:
        self.sock.sendto(bytes(frame), self.guest)

    def receive(self, seconds: float = 5) -> Packet:
        self.sock.settimeout(seconds)
        return Ether(self.sock.recv(65536))

    def exchange(self, frame: Packet) -> Packet:
        self.send(frame)
        return self.receive()

    def udp(self, payload: bytes, port: int = 7, **more: object) -> Packet:
        header = UDP(sport=4000, dport=port, **more)
        return Ether(src=OUR_MAC, dst=GUEST_MAC) / IP(src=OUR_IP, dst=GUEST_IP) / header / Raw(payload)

    def assert_alive(self) -> None:
        """An echo comes back, and nothing before it."""
        answer = self.exchange(self.udp(b"still there?"))
        assert bytes(answer[UDP].payload)[:12] == b"still there?", answer


@contextmanager
def guest_on_wire(image: Path, words: str, cpus: int) -> Iterator[Wire]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free,
    ):
        ours.bind(("127.0.0.1", 0))
        free.bind(("127.0.0.1", 0))
        guest_port = free.getsockname()[1]
        free.close()
        net = f"socket,id=n0,udp=127.0.0.1:{ours.getsockname()[1]},localaddr=127.0.0.1:{guest_port}"
        nic = ("-device", f"virtio-net-pci,disable-legacy=on,netdev=n0,mac={GUEST_MAC}", "-netdev", net)
        command = qemu_command(image, words, cpus, *nic)
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            try:
                wait_for_ready(process)
                # what firmware and boot may have sent is not ours
                ours.setblocking(False)
                while True:
                    try:
                        ours.recv(65536)
                    except BlockingIOError:
                        break
                yield Wire(ours, guest_port)
                assert process.poll() is None, "the guest has ended"
            finally:
                process.kill()


def wait_for_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        assert line, "the guest ended before it was ready"
        if line.rstrip().endswith(b" ready"):
            return
    pytest.fail("the guest is not ready in time")


@pytest.fixture(scope="module", params=[1, 3])
def wire(images: Path, request: pytest.FixtureRequest) -> Iterator[Wire]:
    with guest_on_wire(
        images / "libos-udp_echo.elf", f"ip={GUEST_IP}/24 gw={OUR_IP} -- udp_echo 7", request.param
    ) as wire:
        yield wire


@needs_qemu
def test_arp_is_answered(wire: Wire) -> None:
    ask = ARP(op=1, hwsrc=OUR_MAC, psrc=OUR_IP, pdst=GUEST_IP)
    answer = wire.exchange(Ether(src=OUR_MAC, dst="ff:ff:ff:ff:ff:ff") / ask)
    assert (answer[ARP].op, answer[ARP].psrc, answer[ARP].hwsrc) == (2, GUEST_IP, GUEST_MAC)
    assert (answer[ARP].pdst, answer[ARP].hwdst, answer.dst) == (OUR_IP, OUR_MAC, OUR_MAC)


@needs_qemu
@pytest.mark.parametrize("size", [0, 1, 55, 56, 1472])
def test_ping(wire: Wire, size: int) -> None:
    payload = bytes(range(256)) * 6
    ask = Ether(src=OUR_MAC, dst=GUEST_MAC) / IP(src=OUR_IP, dst=GUEST_IP) / ICMP(id=9, seq=3) / Raw(payload[:size])
    answer = wire.exchange(ask)
    assert (answer[ICMP].type, answer[ICMP].id, answer[ICMP].seq) == (0, 9, 3)
    assert bytes(answer[ICMP].payload)[:size] == payload[:size]
    assert_checksums(answer)


@needs_qemu
@pytest.mark.parametrize("size", [0, 1, 2, 17, 18, 19, 1471, 1472])
def test_echo(wire: Wire, size: int) -> None:
    payload = bytes(i * 7 % 251 for i in range(size))
    answer = wire.exchange(wire.udp(payload))
    assert (answer[UDP].sport, answer[UDP].dport, answer[IP].src, answer[IP].dst) == (7, 4000, GUEST_IP, OUR_IP)
    assert answer[UDP].len == 8 + size
    assert bytes(answer[UDP].payload)[:size] == payload
    assert_checksums(answer)


def assert_checksums(frame: Packet) -> None:
    again = frame.copy()
    del again[IP].chksum
    layer = UDP if UDP in again else ICMP
    del again[layer].chksum
    again = Ether(bytes(again))
    assert (frame[IP].chksum, frame[layer].chksum) == (again[IP].chksum, again[layer].chksum)


@needs_qemu
def test_checksum_zero_means_none(wire: Wire) -> None:
    assert bytes(wire.exchange(wire.udp(b"unchecked", chksum=0))[UDP].payload)[:9] == b"unchecked"


@needs_qemu
def test_answers_go_where_the_request_came_from(wire: Wire) -> None:
    """Without an ARP exchange, even from beyond the gateway."""
    frame = wire.udp(b"far")
    frame[IP].src = "192.0.2.77"
    answer = wire.exchange(frame)
    assert (answer.dst, answer[IP].dst) == (OUR_MAC, "192.0.2.77")


def hostile(wire: Wire) -> Iterator[tuple[str, bytes]]:
    good = wire.udp(b"0123456789" * 5)
    raw = bytes(good)
    for length in range(len(raw)):
        yield f"cut to {length}", raw[:length]
    for where, what in {
        "version": (14, 0x65), "header length 0": (14, 0x40), "header length 15": (14, 0x4F), "total too long": (16, 0xFF),
        "total too short": (17, 3), "checksum": (24, raw[24] ^ 1), "fragment": (20, 0x20), "offset": (21, 1),
    }.items():  # fmt: skip
        bad = bytearray(raw)
        bad[what[0]] = what[1]
        yield where, bytes(bad)
    for change in ({"len": 7}, {"len": 0}, {"len": 65535}, {"len": 60}, {"chksum": 1}, {"dport": 9}, {"dport": 0}):
        bad_udp = wire.udp(b"x" * 50)
        for name, value in change.items():
            setattr(bad_udp[UDP], name, value)
        yield str(change), bytes(bad_udp)
    for wrong in ({"dst": "10.0.2.16"}, {"dst": "255.255.255.255"}, {"src": "224.0.0.1"}, {"ihl": 4}, {"proto": 200}):
        bad_ip = wire.udp(b"x" * 50)
        for field, setting in wrong.items():
            setattr(bad_ip[IP], field, setting)
        yield str(wrong), bytes(bad_ip)
    yield "not ours", bytes(Ether(src=OUR_MAC, dst="02:00:00:00:00:99") / good.payload)
    yield "type", bytes(Ether(src=OUR_MAC, dst=GUEST_MAC, type=0x86DD) / Raw(b"x" * 60))
    for part in fragment(good, fragsize=24):
        yield "fragments", bytes(part)
    ping = Ether(src=OUR_MAC, dst=GUEST_MAC) / IP(src=OUR_IP, dst=GUEST_IP)
    yield "ICMP cut", bytes(ping / Raw(b"\x08\x00"))[:16]
    yield "ICMP checksum", bytes(ping / ICMP(chksum=1))
    yield "ICMP type", bytes(ping / ICMP(type=13))
    ether = Ether(src=OUR_MAC, dst="ff:ff:ff:ff:ff:ff")
    yield "ARP for others", bytes(ether / ARP(op=1, psrc=OUR_IP, pdst="10.0.2.99"))
    yield "ARP cut", bytes(ether / ARP(op=1, psrc=OUR_IP, pdst=GUEST_IP))[:30]
    yield "ARP claims our address", bytes(ether / ARP(op=2, psrc=GUEST_IP, pdst=GUEST_IP, hwsrc=OUR_MAC))
    yield "ARP hardware type", bytes(ether / ARP(hwtype=6, op=1, psrc=OUR_IP, pdst=GUEST_IP))
    yield "longest", bytes(Ether(src=OUR_MAC, dst=GUEST_MAC, type=0x0800) / Raw(os.urandom(1500)))


@needs_qemu
def test_malformed_frames_are_dropped(wire: Wire) -> None:
    """None is answered, and none does harm; after each some a good one is served."""
    for number, (_, frame) in enumerate(hostile(wire)):
        if not frame:
            continue
        wire.send(frame)
        if number % 16 == 0:
            wire.assert_alive()
    wire.assert_alive()


@needs_qemu
def test_more_frames_than_the_ring_holds(wire: Wire) -> None:
    """A flood loses some, in order, and the guest serves on."""
    for number in range(2000):
        wire.send(wire.udp(b"%08d" % number))
    seen = []
    try:
        while True:
            seen.append(int(bytes(wire.receive(1)[UDP].payload)[:8]))
    except TimeoutError:
        pass
    assert seen == sorted(seen)
    assert len(seen) >= 100
    wire.assert_alive()


@needs_qemu
@pytest.mark.parametrize("cpus", [1, 3])
def test_answers_from_other_vcpus_to_addresses_found_by_arp(images: Path, cpus: int) -> None:
    """Each vCPU takes its turn to answer; the first answer waits for ARP, and no later one asks again."""
    with guest_on_wire(images / "libos-test_hop.elf", "-- hop", cpus) as wire:
        question = wire.exchange(wire.udp(b"?first"))
        assert (question[ARP].op, question[ARP].psrc, question[ARP].pdst) == (1, GUEST_IP, OUR_IP)
        again = wire.receive()  # nobody answered for half a second
        assert again[ARP].pdst == OUR_IP
        wire.send(wire.udp(b"?second"))  # its vCPU asks too, or waits for the same answer
        reply = ARP(op=2, hwsrc=OUR_MAC, psrc=OUR_IP, hwdst=GUEST_MAC, pdst=GUEST_IP)
        wire.send(Ether(src=OUR_MAC, dst=GUEST_MAC) / reply)
        answers: list[bytes] = []
        while len(answers) < 2:
            frame = wire.receive()
            if UDP in frame:
                assert_checksums(frame)
                answers.append(bytes(frame[UDP].payload)[: frame[UDP].len - 8])
        assert sorted(answers) == sorted([b"0first", b"%dsecond" % (1 % cpus)])
        for number in range(2, 50):
            answer = wire.exchange(wire.udp(b"?%d" % number))
            assert UDP in answer, answer
            assert bytes(answer[UDP].payload)[: answer[UDP].len - 8] == b"%d%d" % (number % cpus, number)


@needs_qemu
def test_arp_gives_up(images: Path) -> None:
    """Four questions, then the waiting packets are dropped; the next packet asks anew."""
    with guest_on_wire(images / "libos-test_hop.elf", "-- hop", 1) as wire:
        for _ in range(2):
            wire.send(wire.udp(b"?"))
            questions = 0
            try:
                while True:
                    assert wire.receive(2)[ARP].op == 1
                    questions += 1
            except TimeoutError:
                pass
            assert questions == 4


# ---- the image ----


def all_images(images: Path) -> list[Path]:
    found = sorted(images.glob("libos-*.elf"))
    assert found
    return found


def test_every_function_has_a_component(images: Path) -> None:
    manifest = load_manifest(MANIFEST)
    for image in all_images(images):
        functions = read_functions(image)
        unmapped = [f.name for f in functions if manifest.kernel.component(f.name) == "unknown"]
        assert not unmapped, f"{image.name}: {unmapped}"
        names = {plain_name(f.name) for f in functions}
        assert {probe.symbol for probe in manifest.probes if not probe.optional} <= names
        for before, after in pairwise(functions):
            assert after.start - before.end < 32, f"{image.name}: code without a symbol behind {before.name}"


def test_image_is_small_and_its_segments_are_apart(images: Path) -> None:
    for image in all_images(images):
        assert image.stat().st_size < 200_000
        with image.open("rb") as stream:
            segments = [s.header for s in ELFFile(stream).iter_segments() if s.header.p_type == "PT_LOAD"]
        pages = [(s.p_vaddr >> 21, (s.p_vaddr + s.p_memsz - 1) >> 21) for s in segments]
        assert all(s.p_flags != 7 and not (s.p_flags & 1 and s.p_flags & 2) for s in segments)
        assert all(before[1] < after[0] for before, after in pairwise(pages))


def test_two_builds_are_the_same_bytes(images: Path, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    shutil.copytree(LIBOS.parents[1] / "apps", source / "apps")
    shutil.copytree(LIBOS, source / "personalities" / "libos")
    build = tmp_path / "build"
    where = source / "personalities" / "libos"
    build_images(where, build, "-DLIBOS_TESTS=OFF", "-DCMAKE_C_FLAGS=-O1 -g")
    for image in sorted((build / "images").glob("*.elf")):
        assert image.read_bytes() == (images / image.name).read_bytes(), image.name
