# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest images: ELF64 with a PVH note, or Linux's for its 64-bit boot protocol, or ELF32 with a Multiboot 1 header.

They are read, checked, and described; nothing is placed here.

The file is hostile: every offset, count and size is checked before use, and whatever is wrong is one ConfigError that names the
file and the place. Sources: ELF-64 object file format 1.5; Xen's PVH boot ABI (note owner "Xen", type 18); Multiboot
specification 0.6.96, section 3.1.
"""

import hashlib
import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emu.errors import ConfigError

MAX_IMAGE_BYTES = 1 << 30
LOWEST_GPA = 0x10_0000  # images load at 1 MiB or above

EM_386, EM_X86_64 = 3, 62
ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
PT_LOAD, PT_INTERP, PT_NOTE = 1, 3, 4
XEN_ELFNOTE_PHYS32_ENTRY = 18
MULTIBOOT_MAGIC = 0x1BAD_B002
MULTIBOOT_SEARCH_BYTES = 8192
MULTIBOOT_ADDRESS_FIELDS, MULTIBOOT_UNKNOWN_REQUIRED = 1 << 16, 0xFFF8
MAX_SEGMENTS = 256


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes [offset, offset + file_bytes) of the file go to `gpa`; the rest up to `memory_bytes` is zero."""

    gpa: int
    memory_bytes: int
    offset: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class GuestImage:
    """A checked image."""

    path: Path
    data: bytes
    protocol: str  # "pvh", "linux64" or "multiboot"
    entry_gpa: int
    segments: tuple[Segment, ...]
    sha256: str

    @property
    def end_gpa(self) -> int:
        """First address behind the image."""
        return max(segment.gpa + segment.memory_bytes for segment in self.segments)


def read_file(path: Path, what: str) -> bytes:
    """A whole file, or a ConfigError: `what` says what the file was wanted for ("guest image")."""
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a directory, not a {what}.")
        if not path.is_file() and path.exists():
            raise ConfigError(f"{path}: is not a regular file, so it cannot be a {what}.")
        size = path.stat().st_size
        if size > MAX_IMAGE_BYTES:
            raise ConfigError(f"{path}: has {size} bytes; a {what} may have at most {MAX_IMAGE_BYTES}.")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the {what}: {error.strerror or error}.") from error
    except ValueError as error:  # a zero byte in the name
        raise ConfigError(f"{str(path)!r}: is not a file name: {error}.") from error


def load_image(path: Path | str, *, linux64: bool = False) -> GuestImage:
    """Read and check a guest image; `linux64`: a Linux kernel to be entered by its 64-bit boot protocol, PVH note or not.

    Raises ConfigError with one sentence for whatever is wrong with it.
    """
    path = Path(path)
    return parse_image(path, read_file(path, "guest image"), linux64=linux64)


def is_bootable(path: Path) -> bool:
    """Whether a file is a guest image; one that cannot be read, or is no proper one, is not."""
    try:
        load_image(path)
    except ConfigError:
        return False
    return True


def parse_image(path: Path, data: bytes, *, linux64: bool = False) -> GuestImage:
    """Check an image held in memory; `path` is for messages."""

    def refuse(reason: str) -> ConfigError:
        return ConfigError(f"{path}: {reason}.")

    if not data:
        raise refuse("is empty, not a guest image")
    if data[:4] != b"\x7fELF":
        if data[0x202:0x206] == b"HdrS":
            raise refuse("is a compressed Linux kernel (bzImage); give the uncompressed ELF (vmlinux)")
        raise refuse("is not an ELF file (it does not begin with 0x7f 'ELF')")
    if len(data) < 52:
        raise refuse(f"is cut short: {len(data)} bytes are less than an ELF header")
    elf_class, byte_order, version = data[4], data[5], data[6]
    if elf_class not in (1, 2):
        raise refuse(f"has ELF class {elf_class}, neither 32-bit (1) nor 64-bit (2)")
    if byte_order != 1:
        raise refuse("is not little-endian, so it is not for an x86 machine")
    if version != 1:
        raise refuse(f"has ELF version {version}, not 1")
    if elf_class == 2:
        if len(data) < 64:
            raise refuse(f"is cut short: {len(data)} bytes are less than an ELF64 header")
        kind, machine, _, entry, table, _, _, _, entry_bytes, count = struct.unpack_from("<HHIQQQIHHH", data, 16)
        wanted_machine, wanted_bytes, machine_name = EM_X86_64, 56, "x86-64"
    else:
        kind, machine, _, entry, table, _, _, _, entry_bytes, count = struct.unpack_from("<HHIIIIIHHH", data, 16)
        wanted_machine, wanted_bytes, machine_name = EM_386, 32, "i386"
    if machine != wanted_machine:
        raise refuse(f"is for ELF machine {machine}, not for {machine_name} ({wanted_machine})")
    if kind != ET_EXEC:
        names = {ET_REL: "an object file (link it first)", ET_DYN: "position-independent (link it with -no-pie)"}
        raise refuse(f"is {names.get(kind, f'of ELF type {kind}')}, not a fixed-address executable")
    if count == 0:
        raise refuse("has no program headers, so nothing to load")
    if count > MAX_SEGMENTS:
        raise refuse(f"has {count} program headers, more than the {MAX_SEGMENTS} allowed")
    if entry_bytes != wanted_bytes:
        raise refuse(f"has program headers of {entry_bytes} bytes, not {wanted_bytes}")
    if table + count * entry_bytes > len(data):
        raise refuse("is cut short: its program header table ends behind the end of the file")

    segments: list[Segment] = []
    pvh_entry: int | None = None
    header_entry = entry
    for index in range(count):
        at = table + index * entry_bytes
        if elf_class == 2:
            kind, _, offset, _, gpa, file_bytes, memory_bytes, align = struct.unpack_from("<IIQQQQQQ", data, at)
        else:
            kind, offset, _, gpa, file_bytes, memory_bytes, _, align = struct.unpack_from("<IIIIIIII", data, at)
        where = f"program header {index}"
        if kind == PT_INTERP:
            raise refuse("is a dynamically linked program, not a guest image")
        if kind == PT_NOTE and elf_class == 2 and pvh_entry is None:
            if offset + file_bytes > len(data):
                raise refuse(f"is cut short: {where} (notes) ends behind the end of the file")
            pvh_entry = _pvh_entry(data[offset : offset + file_bytes], 8 if align == 8 else 4)
        if kind != PT_LOAD or memory_bytes == 0:
            continue
        if file_bytes > memory_bytes:
            raise refuse(f"{where} has more bytes in the file ({file_bytes}) than in memory ({memory_bytes})")
        if offset + file_bytes > len(data):
            raise refuse(f"is cut short: {where} ends behind the end of the file")
        if gpa < LOWEST_GPA:
            raise refuse(f"{where} loads at {gpa:#x}, below 1 MiB; link the image at 0x100000 or above")
        if gpa + memory_bytes > 1 << 52:
            raise refuse(f"{where} loads at {gpa:#x}, beyond what a processor can address")
        segments.append(Segment(gpa, memory_bytes, offset, file_bytes))
    if not segments:
        raise refuse("has no loadable segment")
    in_order = sorted(segments, key=lambda segment: segment.gpa)
    for below, above in itertools.pairwise(in_order):
        if below.gpa + below.memory_bytes > above.gpa:
            raise refuse(f"has segments that overlap at {above.gpa:#x}")

    if elf_class == 2 and linux64:
        protocol, entry = "linux64", header_entry
    elif elf_class == 2:
        if pvh_entry is None:
            raise refuse(
                "has no PVH note (owner 'Xen', type 18), so it is no guest image; a static Linux program runs on a"
                " personality, not by itself"
            )
        protocol, entry = "pvh", pvh_entry
    else:
        _check_multiboot(data, refuse)
        protocol = "multiboot"
    if not any(segment.gpa <= entry < segment.gpa + segment.memory_bytes for segment in segments):
        raise refuse(f"has its {protocol} entry point {entry:#x} outside its loaded segments")
    if entry >= 1 << 32:
        raise refuse(f"has its entry point {entry:#x} above 4 GiB, but it is entered in 32-bit mode")
    return GuestImage(path, data, protocol, entry, tuple(segments), hashlib.sha256(data).hexdigest())


def _pvh_entry(notes: bytes, align: int) -> int | None:
    """The 32-bit entry point from a PT_NOTE segment, or None."""
    at = 0
    while at + 12 <= len(notes):
        name_bytes, body_bytes, kind = struct.unpack_from("<III", notes, at)
        body_at = at + 12 + (-(-name_bytes // align) * align)
        name = notes[at + 12 : at + 12 + name_bytes]
        if kind == XEN_ELFNOTE_PHYS32_ENTRY and name == b"Xen\0" and body_bytes in (4, 8):
            body = notes[body_at : body_at + body_bytes]
            if len(body) == body_bytes:
                return int.from_bytes(body, "little")
        at = body_at + (-(-body_bytes // align) * align)
    return None


def _check_multiboot(data: bytes, refuse: Callable[[str], ConfigError]) -> None:
    """Find the Multiboot 1 header in an ELF32 file and refuse what it demands that we do not give."""
    for at in range(0, min(len(data), MULTIBOOT_SEARCH_BYTES) - 11, 4):
        magic, flags, checksum = struct.unpack_from("<III", data, at)
        if magic == MULTIBOOT_MAGIC and (magic + flags + checksum) & 0xFFFF_FFFF == 0:
            if flags & MULTIBOOT_ADDRESS_FIELDS:
                raise refuse("has a Multiboot header with address fields; drop them, the ELF headers say where to load")
            if flags & MULTIBOOT_UNKNOWN_REQUIRED:
                raise refuse(f"has a Multiboot header that requires features {flags & MULTIBOOT_UNKNOWN_REQUIRED:#x}")
            return
    raise refuse("has no Multiboot header in its first 8 KiB, so it is no guest image")
