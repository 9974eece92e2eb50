# SPDX-License-Identifier: GPL-2.0-or-later
"""linux_like: the programs beside this file run in it, on our machine and under QEMU; frames reach it from outside."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from cyclescope.config import Hardware
from cyclescope.experiments.run import run_guest
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from emu.ledger.manifest import load_manifest
from emu.ledger.symbols import plain_name, read_functions
from emu.loader.boot import BootModule, BootSpec
from personalities.linux_like.personality import LinuxLike
from tests.crosscheck.qemu import needs_qemu, qemu_command, run_to_end

HERE = Path(__file__).parent
MANIFEST = LinuxLike.folder / "manifest.toml"
PROGRAMS = sorted(source.stem for source in HERE.glob("test_*.c"))
UNKNOWN_CALL = 9999  # test_syscall_arguments makes it
OUR_MAC, GUEST_MAC = "02:00:00:00:00:01", "52:54:00:12:34:56"
OUR_IP, GUEST_IP = "10.0.2.2", "10.0.2.15"


def build(source: Path, folder: Path) -> Path:
    for command in (["cmake", "-S", str(source), "-B", str(folder)], ["cmake", "--build", str(folder), "-j2"]):
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(LinuxLike.folder, tmp_path_factory.mktemp("linux_like")) / "linux_like.elf"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(HERE, tmp_path_factory.mktemp("programs"))


def spec_of(image: Path, program: Path, *words: str) -> BootSpec:
    cmdline = " ".join([f"ip={GUEST_IP}/24 gw={OUR_IP} -- {program.name}", *words])
    return BootSpec(image, cmdline, modules=(BootModule(program, program.name),), manifest=MANIFEST)


def run(spec: BootSpec, cpus: int, memory_mib: int = 256) -> tuple[int, str, dict[str, dict[int, int]]]:
    """Exit status, console, and what the manifest's notes counted, on our machine."""
    console = bytearray()
    result = run_guest(
        spec, Hardware(cpus=cpus, memory_mib=memory_mib), limit_s=60, manifest=MANIFEST,
        console=lambda data, time_ps: console.extend(data),
    )  # fmt: skip
    return result.exit_code, console.decode(errors="replace"), result.notes


# ---- inside ----


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("name", PROGRAMS)
def test_inside(image: Path, programs: Path, name: str, cpus: int) -> None:
    status, console, notes = run(spec_of(image, programs / name), cpus)
    assert console.rstrip().endswith("SUCCESS"), console
    assert status == 0
    assert (UNKNOWN_CALL in notes.get("unknown system calls", {})) == (name == "test_syscall_arguments")


@needs_qemu
@pytest.mark.parametrize("name", PROGRAMS)
def test_inside_under_qemu(image: Path, programs: Path, name: str, tmp_path: Path) -> None:
    status, console = run_to_end(spec_of(image, programs / name), 4, tmp_path)
    assert console.rstrip().endswith("SUCCESS"), console
    assert status == 1


@pytest.mark.parametrize(("cpus", "memory_mib"), [(16, 64), (1, 64), (2, 8192)])
def test_sizes_of_machine(image: Path, programs: Path, cpus: int, memory_mib: int) -> None:
    status, console, _ = run(spec_of(image, programs / "test_threads"), cpus, memory_mib)
    assert (status, console.rstrip()[-7:]) == (0, "SUCCESS"), console


def test_what_is_no_program_is_refused(image: Path) -> None:
    status, console, _ = run(spec_of(image, Path("/bin/sh")), 1)  # dynamically linked
    assert "is not a static x86-64 Linux program" in console
    assert status == 255


def test_a_shell_from_an_archive(image: Path, tmp_path: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed (Debian: busybox-static)")
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "cat", "wc"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "init.sh").write_text(
        "echo one; echo two | cat | wc -c; (exit 3); echo $?; cat < /init.sh > /tmp/x && cat /tmp/x\nexit 9\n"
    )
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    archive = subprocess.run(
        [busybox, "cpio", "-o", "-H", "newc"], input=names.encode(), cwd=root, capture_output=True, check=True
    ).stdout
    (tmp_path / "root.cpio").write_bytes(archive)
    spec = BootSpec(image, "init=/bin/busybox -- sh /init.sh", modules=(BootModule(tmp_path / "root.cpio", "root"),))
    status, console, _ = run(spec, 2)
    lines = [line.strip() for line in console.splitlines()]
    assert lines[1:4] == ["one", "4", "3"], console
    assert (lines[-1], status) == ("exit 9", 9)


# ---- symmetry ----


def test_every_vcpu_does_everything() -> None:
    """Under load each vCPU takes interrupts, serves system calls, and runs driver, stack, scheduler and application."""
    personality, cpus = LinuxLike(), 4
    commands = [b"set k%d 0 0 3\r\nabc\r\n" % i for i in range(200)] + [b"get k%d\r\n" % i for i in range(200)]
    payloads = [i.to_bytes(2, "big") + b"\0\0\0\1\0\0" + command for i, command in enumerate(commands)]
    spec = personality.prepare("kvd", personality.arguments_for("kvd", cpus, 11211))
    with Testbed(Hardware(cpus=cpus), personality, spec) as bed:
        bed.boot()
        earlier, before = bed.counters(), bed.snapshot()
        phase = bed.closed_loop(16, list(frames(iter(payloads), 64)), "")
        accounts = bed.accounts(before, bed.snapshot())
        later = bed.counters()
    assert phase.lost == 0
    for old, new in zip(earlier, later, strict=True):
        for some in ("interrupt", "syscall"):
            assert new[some] > old[some], some
    assert not accounts.unmapped()
    for components in accounts.vcpu_components():
        assert {"app", "syscall", "irq", "driver", "netdev", "ip", "udp", "socket", "sched", "copy"} <= set(components)


# ---- frames ----


class Wire:
    """The other end of the guest's cable: QEMU's socket network device carries each frame in a datagram."""

    def __init__(self, sock: socket.socket, guest_port: int) -> None:
        self.sock, self.guest = sock, ("127.0.0.1", guest_port)

    def send(self, frame: Packet | bytes) -> None:
        self.sock.sendto(bytes(frame), self.guest)

    def receive(self, seconds: float = 5) -> Packet:
        """The next frame; the guest's ARP requests are answered on the way."""
        self.sock.settimeout(seconds)
        while True:
            frame = Ether(self.sock.recv(65536))
            if ARP not in frame or frame[ARP].op != 1:
                return frame
            answer = ARP(op=2, hwsrc=OUR_MAC, psrc=frame[ARP].pdst, hwdst=GUEST_MAC, pdst=GUEST_IP)
            self.send(Ether(src=OUR_MAC, dst=GUEST_MAC) / answer)

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
def guest_on_wire(spec: BootSpec, cpus: int, folder: Path) -> Iterator[Wire]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free,
    ):
        ours.bind(("127.0.0.1", 0))
        free.bind(("127.0.0.1", 0))
        guest_port = free.getsockname()[1]
        free.close()
        net = f"socket,id=n0,udp=127.0.0.1:{ours.getsockname()[1]},localaddr=127.0.0.1:{guest_port}"
        command = qemu_command(
            spec, cpus, folder / "console", "-netdev", net,
            "-device", f"virtio-net-pci,disable-legacy=on,netdev=n0,mac={GUEST_MAC}",
        )  # fmt: skip
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            try:
                wire = Wire(ours, guest_port)
                for _ in range(60):
                    wire.send(wire.udp(b"ready?"))
                    try:
                        if UDP in wire.receive(1):
                            break
                    except TimeoutError:
                        assert process.poll() is None, (folder / "console").read_text()
                try:
                    while True:
                        wire.receive(0.5)
                except TimeoutError:
                    pass
                yield wire
                assert process.poll() is None, "the guest has ended"
            finally:
                process.kill()


@pytest.fixture(scope="module", params=[1, 3])
def wire(
    image: Path, programs: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    spec = spec_of(image, programs / "udp_echo", str(request.param))
    with guest_on_wire(spec, request.param, tmp_path_factory.mktemp("wire")) as wire:
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
    payload = (bytes(range(256)) * 6)[:size]
    ask = Ether(src=OUR_MAC, dst=GUEST_MAC) / IP(src=OUR_IP, dst=GUEST_IP) / ICMP(id=9, seq=3) / Raw(payload)
    answer = wire.exchange(ask)
    assert (answer[ICMP].type, answer[ICMP].id, answer[ICMP].seq) == (0, 9, 3)
    assert bytes(answer[ICMP].payload)[:size] == payload
    assert_ip_checksum(answer)


@needs_qemu
@pytest.mark.parametrize("size", [0, 1, 2, 17, 18, 19, 1471, 1472])
def test_echo(wire: Wire, size: int) -> None:
    payload = bytes(i * 7 % 251 for i in range(size))
    answer = wire.exchange(wire.udp(payload))
    assert (answer[UDP].sport, answer[UDP].dport, answer[IP].src, answer[IP].dst) == (7, 4000, GUEST_IP, OUR_IP)
    assert answer[UDP].len == 8 + size
    assert bytes(answer[UDP].payload)[:size] == payload
    assert_ip_checksum(answer)


def assert_ip_checksum(frame: Packet) -> None:
    again = frame.copy()
    del again[IP].chksum
    assert frame[IP].chksum == Ether(bytes(again))[IP].chksum


@needs_qemu
def test_checksum_zero_means_none(wire: Wire) -> None:
    assert bytes(wire.exchange(wire.udp(b"unchecked", chksum=0))[UDP].payload)[:9] == b"unchecked"


def hostile(wire: Wire) -> Iterator[bytes]:
    good = wire.udp(b"0123456789" * 5)
    raw = bytes(good)
    yield from (raw[:length] for length in range(1, len(raw)))
    for at, value in ((14, 0x65), (14, 0x40), (14, 0x4F), (16, 0xFF), (17, 3), (24, raw[24] ^ 1), (20, 0x20), (21, 1)):
        bad = bytearray(raw)
        bad[at] = value
        yield bytes(bad)
    for change in ({"len": 7}, {"len": 0}, {"len": 65535}, {"len": 60}, {"chksum": 1}, {"dport": 9}, {"dport": 0}):
        frame = wire.udp(b"x" * 50)
        for name, value in change.items():
            setattr(frame[UDP], name, value)
        yield bytes(frame)
    martians = ({"src": GUEST_IP}, {"src": "127.0.0.1"}, {"src": "255.255.255.255"}, {"dst": "127.0.0.1"})
    for wrong in ({"dst": "10.0.2.16"}, {"ihl": 4}, {"proto": 200}, *martians):
        frame = wire.udp(b"x" * 50)
        for name, setting in wrong.items():
            setattr(frame[IP], name, setting)
        yield bytes(frame)
    yield bytes(Ether(src=OUR_MAC, dst=GUEST_MAC, type=0x86DD) / Raw(b"x" * 60))
    for part in fragment(good, fragsize=24):
        yield bytes(part)
    ping = Ether(src=OUR_MAC, dst=GUEST_MAC) / IP(src=OUR_IP, dst=GUEST_IP)
    yield bytes(ping / ICMP(chksum=1))
    yield bytes(ping / ICMP(type=13))
    everybody = Ether(src=OUR_MAC, dst="ff:ff:ff:ff:ff:ff")
    yield bytes(everybody / ARP(op=1, psrc=OUR_IP, pdst="10.0.2.99"))
    yield bytes(everybody / ARP(op=1, psrc=OUR_IP, pdst=GUEST_IP))[:30]
    yield bytes(everybody / ARP(hwtype=6, op=1, psrc=OUR_IP, pdst=GUEST_IP))


@needs_qemu
def test_malformed_frames_are_dropped(wire: Wire) -> None:
    """None is answered, and none does harm; after each some a good one is served."""
    for number, frame in enumerate(hostile(wire)):
        wire.send(frame)
        if number % 16 == 0:
            wire.assert_alive()
    wire.assert_alive()


@needs_qemu
def test_more_frames_than_buffers(wire: Wire) -> None:
    """A flood loses some, and the guest serves on."""
    for number in range(2000):
        wire.send(wire.udp(b"%08d" % number))
    seen = set()
    try:
        while True:
            seen.add(int(bytes(wire.receive(1)[UDP].payload)[:8]))
    except TimeoutError:
        pass
    assert len(seen) >= 50
    assert seen <= set(range(2000))
    wire.assert_alive()


# ---- the image ----


def test_every_function_has_a_component(image: Path) -> None:
    manifest = load_manifest(MANIFEST)
    functions = read_functions(image)
    assert not [f.name for f in functions if manifest.kernel.component(f.name) == "unknown"]
    assert {probe.symbol for probe in manifest.probes} <= {plain_name(f.name) for f in functions}


def test_code_and_data_are_apart(image: Path) -> None:
    with image.open("rb") as stream:
        segments = [s.header for s in ELFFile(stream).iter_segments() if s.header.p_type == "PT_LOAD"]
    assert all(not (s.p_flags & 1 and s.p_flags & 2) for s in segments)
    pages = [(s.p_paddr >> 12, (s.p_paddr + s.p_memsz - 1) >> 12) for s in segments]
    assert all(before[1] < after[0] for before, after in pairwise(pages))


def test_two_builds_are_the_same_bytes(image: Path, tmp_path: Path) -> None:
    shutil.copytree(LinuxLike.folder / "kernel", tmp_path / "elsewhere" / "kernel")
    shutil.copy(LinuxLike.folder / "CMakeLists.txt", tmp_path / "elsewhere")
    assert (build(tmp_path / "elsewhere", tmp_path / "build") / "linux_like.elf").read_bytes() == image.read_bytes()
