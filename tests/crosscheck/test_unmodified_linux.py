# SPDX-License-Identifier: GPL-2.0-or-later
"""A distribution's own kernel on our machine: it finds the processors, the interrupts, PCI and the NIC by its own code.

Needs an unpacked Debian kernel package (`linux-image-*-cloud-amd64`: boot/vmlinuz-* and lib/modules) in the folder that
CYCLESCOPE_LINUX names, and the tools busybox (static) and lz4.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from emu.loader.boot import BootModule, BootSpec
from emu.machine import MachineConfig
from emu.units import MIB
from nic.memcached_udp import Reassembler, datagram
from personalities.base import get_personality
from tests.vertical import GUEST_IP, Bench, requests_to

pytestmark = [pytest.mark.crosscheck, pytest.mark.slow]

MODULES = (
    "drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci", "net/core/failover", "drivers/net/net_failover",
    "drivers/net/virtio_net",
)  # fmt: skip
INIT = f"""#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
exec >/dev/console 2>&1
for module in {" ".join(Path(name).name for name in MODULES)}; do $b insmod /m/$module.ko || echo no $module; done
$b ip addr add {GUEST_IP}/24 dev eth0
$b ip link set eth0 up
echo processors: $($b grep -c ^processor /proc/cpuinfo)
exec /bin/kvd -t 2 -U 11211
"""


def cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """A newc archive of (mode, content) by name."""
    out = b""
    for number, (name, (mode, data)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return out


def vmlinux(bzimage: bytes) -> bytes:
    """The ELF inside a bzImage compressed with LZ4, by its setup header (Linux Documentation/arch/x86/boot.rst)."""
    (setup_sectors,) = struct.unpack_from("<B", bzimage, 0x1F1)
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = bzimage[start : start + length - 4]  # the last four bytes are the size
    return subprocess.run(["lz4", "-dc"], input=payload, capture_output=True, check=False).stdout


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> BootSpec:
    root = Path(os.environ.get("CYCLESCOPE_LINUX", "/nowhere"))
    kernels = sorted(root.glob("boot/vmlinuz-*"))
    busybox = Path("/bin/busybox")
    if not kernels or not busybox.exists() or shutil.which("lz4") is None:
        pytest.skip("needs CYCLESCOPE_LINUX (an unpacked kernel package), busybox and lz4")
    (modules,) = root.glob("lib/modules/*/kernel")
    folder = tmp_path_factory.mktemp("linux")
    (folder / "vmlinux").write_bytes(vmlinux(kernels[0].read_bytes()))
    kvd = get_personality("linux_like").find("kvd", "programs")
    files = dict.fromkeys(("bin", "m", "dev", "proc"), (16877, b""))
    files |= {"init": (0o100755, INIT.encode()), "bin/busybox": (0o100755, busybox.read_bytes())}
    files |= {"bin/kvd": (0o100755, kvd.read_bytes())}
    files |= {f"m/{Path(name).name}.ko": (0o100644, (modules / f"{name}.ko").read_bytes()) for name in MODULES}
    (folder / "initrd").write_bytes(cpio(files))
    return BootSpec(folder / "vmlinux", "console=ttyS0 quiet panic=-1 tsc=reliable", (BootModule(folder / "initrd"),))


@pytest.mark.parametrize("cpus", [1, 4])
def test_debian_s_kernel_serves_kvd_through_its_own_driver(linux: BootSpec, cpus: int) -> None:
    bench = Bench.build(MachineConfig(cpus=cpus, ram_bytes=512 * MIB), pairs=cpus, matcher=Reassembler())
    with bench.world:
        bench.boot(linux)
        assert f"processors: {cpus}\r\n" in bench.machine.console.tail
        sets = [datagram(i, b"set key%d 0 0 6\r\nval%03d\r\n" % (i, i)) for i in range(100)]
        gets = [datagram(100 + i, b"get key%d\r\n" % i) for i in range(100)]
        bench.serve(1, requests_to(11211, sets + gets))
    assert [bench.answers[i] for i in range(100)] == [b"STORED\r\n"] * 100
    assert [bench.answers[100 + i] for i in range(100)] == [
        b"VALUE key%d 0 6\r\nval%03d\r\nEND\r\n" % (i, i) for i in range(100)
    ]
    assert not [kind for kind in bench.nic.counters if "broken" in kind or "bad" in kind or "refused" in kind]
