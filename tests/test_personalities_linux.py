# SPDX-License-Identifier: GPL-2.0-or-later
"""The linux personality without a kernel: what it reads, what it packs, and what people meet who give it nonsense."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import struct
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclescope.cli import run_cli
from emu.errors import ConfigError
from personalities.linux.btf import Btf
from personalities.linux.cache import KEPT, cache_folder, kept
from personalities.linux.cpio import Entry, archive
from personalities.linux.extras import extra_entries
from personalities.linux.guest import Mapped, parse_report, program_functions
from personalities.linux.initramfs import Root, initramfs, instructions
from personalities.linux.kallsyms import read_kallsyms
from personalities.linux.libraries import program_files
from personalities.linux.modules import ModuleFolder
from personalities.linux.payload import vmlinux

ELF = b"\x7fELF" + bytes(range(256)) * 5_000  # what a kernel would carry


def lz4_legacy(data: bytes) -> bytes:
    block = lz4.block.compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(block)) + block


COMPRESSORS = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "lz4": lz4_legacy,
    "zstd": zstandard.compress,
}


def bzimage(payload: bytes, size: int) -> bytes:
    """A setup header that names a payload, behind two sectors."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x208] = b"HdrS" + struct.pack("<H", 0x20F)
    struct.pack_into("<II", setup, 0x248, 16, len(payload) + 4)
    return bytes(setup) + bytes(16) + payload + struct.pack("<I", size)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_kernel_comes_out_of_every_compression(name: str) -> None:
    image = bzimage(COMPRESSORS[name](ELF), len(ELF))
    assert vmlinux(Path("vmlinuz"), image) == ELF
    assert vmlinux(Path("vmlinux"), ELF) is ELF


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "vmlinuz: is not a Linux kernel for x86"),
        (b"MZ" + bytes(4096), "vmlinuz: is not a Linux kernel for x86"),
        (bzimage(b"\x89LZO" + bytes(64), 10), "vmlinuz: has a compression that starts with 89 4c 5a 4f"),
        (bzimage(gzip.compress(ELF), len(ELF))[:-100], "vmlinuz: is cut short"),
        (bzimage(gzip.compress(ELF), 17), f"vmlinuz: its compressed kernel gives {len(ELF)} bytes where its header promises 17"),
        (bzimage(gzip.compress(b"no ELF file"), 11), "vmlinuz: its compressed kernel is not an ELF file"),
        (bzimage(b"\x1f\x8b" + bytes(64), 10), "vmlinuz: its gzip data is damaged"),
        (bzimage(b"\xfd7zXZ" + bytes(64), 10), "vmlinuz: its xz data is damaged"),
        (bzimage(b"\x28\xb5\x2f\xfd" + bytes(64), 10), "vmlinuz: its zstd data is damaged|vmlinuz: its compressed kernel gives"),
        (bzimage(b"\x02\x21\x4c\x18" + b"\xff" * 64, 10), "vmlinuz: its lz4 data is damaged"),
    ],
)  # fmt: skip
def test_what_is_no_kernel_is_named(data: bytes, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        vmlinux(Path("vmlinuz"), data)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(COMPRESSORS)), data=st.data())
def test_a_damaged_kernel_is_read_or_refused(name: str, data: st.DataObject) -> None:
    image = bytearray(bzimage(COMPRESSORS[name](ELF[:5000]), 5000))
    for _ in range(data.draw(st.integers(1, 8))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ConfigError):
        vmlinux(Path("vmlinuz"), bytes(image))


def test_an_archive_is_what_cpio_reads(tmp_path: Path) -> None:
    entries = {"/bin/tool": Entry.program(b"tool"), "etc/a": Entry(b"abc"), "link": Entry.link("bin/tool")}
    entries["dev/console"] = Entry.character_device(5, 1)
    packed = archive(entries)
    assert packed == archive(dict(reversed(entries.items())))
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox, whose cpio is the referee")
    listed = (
        subprocess.run([busybox, "cpio", "-tv"], input=packed, capture_output=True, check=True)
        .stdout.decode()
        .split("\n")
    )
    rows = [line.split() for line in listed if line]
    assert [(row[0], row[-1]) for row in rows if row[0].startswith("-") or row[0].startswith("d")] == [
        ("drwxr-xr-x", "bin"), ("-rwxr-xr-x", "bin/tool"), ("drwxr-xr-x", "dev"), ("drwxr-xr-x", "etc"), ("-rw-r--r--", "etc/a"),
    ]  # fmt: skip
    assert any(line.startswith("lrwxrwxrwx") and line.endswith("link -> bin/tool") for line in listed)
    (tmp_path / "x").mkdir()
    unpack = [busybox, "cpio", "-id", "bin/tool", "etc/a"]
    subprocess.run(unpack, input=packed, cwd=tmp_path / "x", check=True, capture_output=True)
    assert (tmp_path / "x/bin/tool").read_bytes() == b"tool"
    assert (tmp_path / "x/etc/a").read_bytes() == b"abc"


def compiled(folder: Path, name: str, source: str, *options: str) -> Path:
    """A file made by the C compiler that built us."""
    (folder / "source.c").write_text(source)
    command = ["cc", "-o", name, *options, "source.c"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / name


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A folder of modules: net needs ring and bus; bus needs ring."""
    folder = tmp_path / "modules"
    (folder / "kernel").mkdir(parents=True)
    for name, needs in (("ring", ""), ("bus", "ring"), ("net-card", "bus,ring"), ("lone", "absent")):
        source = f'__attribute__((section(".modinfo"), used)) static const char m[] = "license=GPL\\0depends={needs}";'
        data = compiled(tmp_path, "module.o", source, "-c").read_bytes()
        if name == "ring":
            (folder / "kernel/ring.ko.xz").write_bytes(lzma.compress(data, check=lzma.CHECK_CRC32))
        elif name == "bus":
            (folder / "kernel/bus.ko.zst").write_bytes(zstandard.compress(data))
        else:
            (folder / f"kernel/{name}.ko").write_bytes(data)
    (folder / "modules.builtin").write_text("kernel/fs/there.ko\n")
    return folder


def test_modules_come_behind_what_they_need(modules: Path) -> None:
    found = ModuleFolder(modules).closure(["net_card", "there", "ring"])
    assert [module.name for module in found] == ["ring", "bus", "net_card"]
    assert all(module.data.startswith(b"\x7fELF") for module in found)
    (modules / "modules.dep").write_text(
        "kernel/net-card.ko: kernel/bus.ko.zst\nkernel/bus.ko.zst:\nkernel/ring.ko.xz:\n"
    )
    assert [module.name for module in ModuleFolder(modules).closure(["net-card"])] == ["bus", "net_card"]


def test_modules_that_are_not_there_are_named(modules: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no module absent, which lone needs, nor is it built into the kernel"):
        ModuleFolder(modules).closure(["lone"])
    with pytest.raises(ConfigError, match="has no module nonesuch, nor"):
        ModuleFolder(modules).closure(["nonesuch"])
    with pytest.raises(ConfigError, match="is not a folder of kernel modules"):
        ModuleFolder(tmp_path / "nowhere")
    (modules / "kernel/ring.ko.xz").write_bytes(b"\xfd7zXZ damaged")
    with pytest.raises(ConfigError, match=r"ring\.ko\.xz: its xz data is damaged"):
        ModuleFolder(modules).closure(["bus"])


def test_libraries_are_those_that_ldd_finds() -> None:
    """ldd runs the dynamic linker; we only read files."""
    program = Path(sys.executable).resolve()
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    lines = (line.split() for line in listed.splitlines() if "linux-vdso" not in line)
    wanted = {Path(words[2] if "=>" in words else words[0]).resolve() for words in lines}
    found = program_files(program)
    assert {Path(path).resolve() for path in found.files} == wanted | {program}


def test_programs_that_cannot_run_are_named(tmp_path: Path) -> None:
    library = compiled(tmp_path, "libgone.so", "int gone(void) { return 1; }", "-shared", "-fPIC", "-nostdlib")
    (tmp_path / "source2.c").write_text("int gone(void); int main(void) { return gone(); }")
    command = ["cc", "-o", "needy", "source2.c", "-L.", "-l:libgone.so", "-Wl,-rpath,$ORIGIN"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert str(library) in program_files(tmp_path / "needy").files
    library.unlink()
    with pytest.raises(ConfigError, match=r"needy: needs the library libgone\.so, which is in none of"):
        program_files(tmp_path / "needy")
    arm = bytearray((tmp_path / "needy").read_bytes())
    arm[18:20] = struct.pack("<H", 183)
    (tmp_path / "arm").write_bytes(arm)
    with pytest.raises(ConfigError, match=r"arm: is a program for ARM64, not for x86-64\."):
        program_files(tmp_path / "arm")
    (tmp_path / "script").write_text("#!/bin/sh\n")
    with pytest.raises(ConfigError, match=r"script: is a script"):
        program_files(tmp_path / "script")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ConfigError, match=r"text: is not an ELF program"):
        program_files(tmp_path / "text")
    with pytest.raises(ConfigError, match=r"nothing: cannot read the program"):
        program_files(tmp_path / "nothing")
    (tmp_path / "short").write_bytes(bytes(arm[:40]))
    with pytest.raises(ConfigError, match=r"short: is a damaged ELF file"):
        program_files(tmp_path / "short")


def test_the_same_root_gives_the_same_bytes() -> None:
    root = Root(
        init=b"init",
        program="/bin/p",
        arguments=["-x", "two words"],
        files={"/bin/p": b"p"},
        ready="udp 7",
        seed=b"\x01" * 64,
    )
    assert initramfs(root) == initramfs(root)
    records = instructions(root).split(b"\0")
    assert records[-4:] == [b"argument /bin/p", b"argument -x", b"argument two words", b""]
    assert b"ready udp 7" in records
    assert b"seed " + b"01" * 64 in records
    with pytest.raises(ConfigError, match="holds a zero byte"):
        instructions(Root(init=b"", program="/p", arguments=["a\0b"], files={}))


def test_what_is_made_is_kept_once_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = kept("file", b"first")
    assert kept("file", b"first") == first
    assert first.read_bytes() == b"first"
    os.utime(first.parent, (1, 1))
    for number in range(KEPT):
        kept("file", b"%d" % number)
    assert not first.exists()
    assert kept("file", b"0").read_bytes() == b"0"
    assert len(list(cache_folder().iterdir())) == KEPT
    (tmp_path / "not a folder").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not a folder"))
    with pytest.raises(ConfigError, match="set XDG_CACHE_HOME to a folder that can"):
        kept("file", b"first")


REPORT = """init: section virtio_net .text 0xffffffffc0100000
init: section virtio_net nonsense
init: map 555555559000-55555555a000 r-xp 00005000 00:02 37                         /usr/bin/memcached
init: map 7ffff7fc8000-7ffff7fca000 r-xp 00000000 00:00 0                          [vdso]
init: map zzz
init: ready
"""


def test_the_guest_s_report_is_read() -> None:
    report = parse_report(REPORT.replace("\n", "\r\n"))
    assert report.sections == {"virtio_net": {".text": 0xFFFFFFFFC0100000}}
    assert [m.name for m in report.mappings] == ["/usr/bin/memcached", "[vdso]"]
    functions = program_functions(report.mappings, {})
    assert [(f.start, f.end, f.name) for f in functions] == [
        (0x555555559000, 0x55555555A000, "[memcached]"),
        (0x7FFFF7FC8000, 0x7FFFF7FCA000, "[vdso]"),
    ]


def test_what_processes_have_at_one_address_is_named_after_all_of_them() -> None:
    maps = [
        "4000-8000 r-xp 00001000 00:02 1    /bin/one", "4000-8000 r-xp 00001000 00:02 1    /bin/one",
        "6000-a000 r-xp 00001000 00:02 2    /bin/two", "9000-b000 r-xp 00004000 00:02 2    /bin/two",
    ]  # fmt: skip
    report = parse_report("".join(f"init: map {line}\n" for line in maps))
    assert len(report.mappings) == 3
    assert [(f.start, f.end, f.name) for f in program_functions(report.mappings, {})] == [
        (0x4000, 0x6000, "[one]"), (0x6000, 0x8000, "[one or two]"), (0x8000, 0x9000, "[two]"), (0x9000, 0xA000, "[two]"),
        (0xA000, 0xB000, "[two]"),
    ]  # fmt: skip


def test_functions_lie_where_their_file_is_mapped(tmp_path: Path) -> None:
    """The referee is the linker: nm's address of a function, moved by as much as the mapping says."""
    program = compiled(tmp_path, "moved", "int one(void) { return 1; } int main(void) { return one(); }", "-O0")
    listed = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    one = next(int(line.split()[0], 16) for line in listed.splitlines() if line.endswith(" T one"))
    page = one & ~0xFFF
    mapping = Mapped(
        0x7000_0000_0000 + page, 0x7000_0000_0000 + page + 0x1000, page, str(program)
    )  # linked at its file offset
    functions = program_functions([mapping], {"moved": program})
    assert 0x7000_0000_0000 + one in [f.start for f in functions if f.name == "one"]
    assert functions[0].start == mapping.start
    assert functions[-1].end == mapping.end
    assert all(a.end == b.start for a, b in pairwise(functions))


def test_an_image_without_symbols_or_types_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vmlinux: carries no symbols that can be read"):
        read_kallsyms(Path("vmlinux"), ELF + b"".join(bytes((c, 0)) for c in b"0123456789") + bytes(5000))
    program = compiled(tmp_path, "plain", "int main(void) { return 0; }")
    with pytest.raises(ConfigError, match=r"has no sk_buff\.data"):
        Btf(program).offset("sk_buff.data")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kernel", "nonesuch", "--", "kvd"], "nonesuch: cannot read the kernel: No such file or directory"),
        (["--kernel", "text", "--", "kvd"], "text: is not a Linux kernel for x86"),
        (["--kernel", "text", "--modules", "nowhere", "--", "kvd"], "nowhere: is not a folder of kernel modules"),
        (["--", "kvd"], "There is no Linux kernel yet; run `cyclescope linux fetch`"),
        (["--check", "--", "kvd"], "--check needs --replay"),
        (["--ready", "udp:7", "--", "kvd"], "--ready needs a load: --replay, --requests or --save"),
        (["--save", "x", "--console", "--", "kvd"], "--console is for a program without a load"),
        (["--record", "keys", "--", "kvd"], "--record needs a console: give --console, or run at a terminal"),
        (["--play", "nonesuch", "--", "kvd"], "nonesuch: cannot read the recorded session: No such file"),
        (["--play", "text", "--", "kvd"], "text: is no recorded session: its first line is not 'cyclescope keys 1'"),
        (["--play", "text", "--record", "keys", "--", "kvd"], "--play and --record or --console exclude each other"),
        (["--requests", "5", "--ready", "udp:0", "--", "kvd"], "--ready is 'udp:0': give udp:PORT, tcp:PORT or asleep"),
        (["fetch", "memcached"], "'memcached' is no package of a kernel: its name would start with linux-image-"),
        (["--boot", "grub", "--", "kvd"], "--boot is 'grub': give pvh or linux64"),
        (["--out", "x", "--save", "y", "--", "kvd"], "--out needs --requests"),
        (["--replay", "text", "--tcp", "--", "kvd"], "--tcp needs --requests"),
        (["--protocol", "dns", "--", "kvd"], "--protocol needs --replay"),
        (["--requests", "5", "--connections", "2", "--", "kvd"], "--connections needs --tcp"),
        (["--requests", "5", "--loss", "0.1", "--", "kvd"], "--loss needs --tcp"),
        (["--requests", "5", "--check", "--", "kvd"], "--requests and --replay or --check exclude each other"),
        (["--requests", "5", "--functions", "0", "--", "kvd"], "--functions is 0: give 1 to 100000"),
        (["--file", "nothing", "--", "kvd"], "--file is 'nothing': give two words"),
        (["--cpus", "99", "--", "kvd"], "--cpus is 99"),
        (["--seed", "-1", "--", "kvd"], "--seed is -1"),
    ],
)  # fmt: skip
def test_nonsense_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CYCLESCOPE_LINUX", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "text").write_text("hello")
    assert run_cli(["linux", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert sentence in printed.err


def test_fetch_without_apt_says_what_to_download(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert run_cli(["linux", "fetch"]) == 2
    assert "has no apt-get and no apt-cache and no dpkg-deb. Download Debian's package" in capsys.readouterr().err


def test_a_folder_of_the_user_s_is_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_text("text")
    (tmp_path / "link").symlink_to("sub/file")
    entries = extra_entries({"/opt/x": tmp_path})
    assert list(entries) == ["opt/x", "opt/x/link", "opt/x/sub", "opt/x/sub/file"]
    assert (entries["opt/x/link"], entries["opt/x/sub/file"]) == (Entry.link("sub/file"), Entry(b"text"))


@pytest.mark.parametrize(
    ("guest", "sentence"),
    [
        ("here", "is no place for a file in the guest"),
        ("/", "is no place"),
        ("/a/../b", "is no place"),
        ("/init", "is init's own"),
        ("/proc/x", "is init's own"),
    ],
)
def test_places_that_are_none_are_named(guest: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        extra_entries({guest: tmp_path})
    with pytest.raises(ConfigError, match="cannot be in the guest, where /a is no folder"):
        archive({"a": Entry(b""), "a/b": Entry(b"")})
