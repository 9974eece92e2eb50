# SPDX-License-Identifier: GPL-2.0-or-later
"""A program's files: its interpreter and the closure of its shared libraries, found as the dynamic linker finds them.

Nothing is executed. Order of search (ld.so(8)): DT_RUNPATH (or DT_RPATH) with $ORIGIN, the folders of /etc/ld.so.conf, the
usual ones. What a program opens later by itself (dlopen) is not found; it is among the extra files of the user.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from emu.errors import ConfigError
from emu.loader.image import EM_X86_64, read_file

USUAL = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
MACHINES = {
    3: "32-bit x86",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC64",
    22: "S390",
    40: "32-bit ARM",
    183: "ARM64",
    243: "RISC-V",
}


@dataclass(frozen=True, slots=True)
class ProgramFiles:
    """By their path in the guest: the program first, then interpreter and libraries; and folders ld.so must be told of."""

    files: dict[str, bytes] = field(default_factory=dict)
    folders: tuple[str, ...] = ()


def is_program(path: Path) -> bool:
    """Whether a file is ELF for x86-64. Raises ConfigError when it cannot be read."""
    data = read_file(path, "file for the guest")
    return data[:6] == b"\x7fELF\x02\x01" and int.from_bytes(data[18:20], "little") == EM_X86_64


def program_files(path: Path) -> ProgramFiles:
    """All that has to be in the guest for the program at `path` to start. Raises ConfigError."""
    search = [*_configured(Path("/etc/ld.so.conf")), *USUAL]
    files: dict[str, bytes] = {}
    folders: dict[str, None] = {}
    waiting: list[tuple[Path, str]] = [(path, "")]
    while waiting:
        at, needed_by = waiting.pop(0)
        name = str(at.absolute())
        if name in files:
            continue
        data = read_file(at, f"library that {needed_by} needs" if needed_by else "program")
        interpreter, needed, own = _dynamic(at, data)
        files[name] = data
        if interpreter:
            waiting.append((Path(interpreter), str(at)))
        for soname in needed:
            if "/" in soname:
                waiting.append((Path(soname), str(at)))
                continue
            if any(Path(known).name == soname for known in [*files, *(str(other) for other, _ in waiting)]):
                continue
            place = next((p for p in (Path(folder) / soname for folder in [*own, *search]) if p.is_file()), None)
            if place is None:
                raise ConfigError(
                    f"{at}: needs the library {soname}, which is in none of {', '.join([*own, *search])}."
                )
            waiting.append((place, str(at)))
            if str(place.parent) not in USUAL:
                folders[str(place.parent)] = None
    return ProgramFiles(files, tuple(folders))


def _dynamic(path: Path, data: bytes) -> tuple[str, list[str], list[str]]:
    """Interpreter (or nothing), libraries needed, and folders of its own to search."""
    if data[:2] == b"#!":
        raise ConfigError(f"{path}: is a script; give the interpreter as the program and the script as its argument.")
    if data[:4] != b"\x7fELF":
        raise ConfigError(f"{path}: is not an ELF program.")
    try:
        elf = ELFFile(io.BytesIO(data))
        machine = int.from_bytes(data[18:20], "little" if elf.little_endian else "big")
        if machine != EM_X86_64 or elf.elfclass != 64:
            kind = MACHINES.get(machine, f"ELF machine {machine}")
            raise ConfigError(f"{path}: is a program for {kind}, not for x86-64.")
        if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
            raise ConfigError(f"{path}: is an ELF file but no program ({elf['e_type']}).")
        interpreter, needed, own = "", [], []
        for segment in elf.iter_segments("PT_INTERP"):
            interpreter = segment.get_interp_name()
        for section in elf.iter_segments("PT_DYNAMIC"):
            for tag in section.iter_tags():
                if tag.entry.d_tag == "DT_NEEDED":
                    needed.append(tag.needed)
                elif tag.entry.d_tag in ("DT_RUNPATH", "DT_RPATH"):
                    text = tag.runpath if tag.entry.d_tag == "DT_RUNPATH" else tag.rpath
                    origin = str(path.absolute().parent)
                    own += [f.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for f in text.split(":") if f]
    except (ELFError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is a damaged ELF file: {error}.") from error
    return interpreter, needed, own


def _configured(path: Path, depth: int = 0) -> Iterator[str]:
    """Folders of ld.so.conf, with what it includes."""
    if depth > 4 or not path.is_file():
        return
    for line in path.read_text(errors="replace").splitlines():
        word = line.partition("#")[0].strip()
        if word.startswith("include "):
            pattern = word.removeprefix("include ").strip()
            base = Path("/") if pattern.startswith("/") else path.parent
            for included in sorted(base.glob(pattern.lstrip("/"))):
                yield from _configured(included, depth + 1)
        elif word:
            yield word
