# SPDX-License-Identifier: GPL-2.0-or-later
"""Placing a guest in RAM: image, modules, firmware tables, boot information. The outcome is where the first vCPU starts.

Modules go to the top of the RAM below 4 GiB, page-aligned, as QEMU puts them; tables and boot information go below 1 MiB.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from emu.errors import ConfigError
from emu.firmware import acpi, bootinfo, zeropage
from emu.loader.image import GuestImage, load_image, read_file
from emu.memory import FIRMWARE_END, FIRMWARE_GPA, RamMap
from emu.units import MIB

BOOTINFO_GPA = FIRMWARE_GPA + 0x4000
MAX_CMDLINE_BYTES = 0x8000
MAX_MODULES = 64
PAGE = 4096


@dataclass(frozen=True, slots=True)
class BootModule:
    """A file for the guest's boot loader to hand over."""

    path: Path
    cmdline: str = ""


@dataclass(frozen=True, slots=True)
class BootSpec:
    """What to boot."""

    image: Path
    cmdline: str = ""
    modules: tuple[BootModule, ...] = ()
    manifest: Path | None = None  # components and probes, for the ledger
    programs: tuple[Path, ...] = field(default=())  # ELF files whose symbols name the programs' code
    program_cpl: int = 3  # at which programs run: 0, beside their kernel, or 3
    linux64: bool = False  # enter a Linux kernel by its 64-bit boot protocol
    memory_bytes: int = 0  # without so much it would not get far


@dataclass(frozen=True, slots=True)
class Entry:
    """Where and how the first vCPU starts, in 32-bit protected mode."""

    rip: int
    ebx: int
    eax: int
    image: GuestImage


def place(spec: BootSpec, cpus: int, ram: RamMap, write: Callable[[int, bytes], None]) -> Entry:
    """Check everything, then fill RAM through `write(gpa, bytes)` (RAM is zero before).

    Raises:
        ConfigError: a file is unreadable, malformed or does not fit; nothing was written then.
    """
    image = load_image(spec.image, linux64=spec.linux64)
    for segment in image.segments:
        if not ram.holds(segment.gpa, segment.memory_bytes):
            raise ConfigError(
                f"{image.path}: loads up to {segment.gpa + segment.memory_bytes:#x}, more than"
                f" {ram.ram_bytes // MIB} MiB of memory hold; give the machine more."
            )
    if ram.ram_bytes < spec.memory_bytes:
        raise ConfigError(
            f"{image.path}: with what goes into the guest it needs {-(-spec.memory_bytes // MIB)} MiB of memory or more, not"
            f" {ram.ram_bytes // MIB}; give the machine more (--mem)."
        )
    if "\0" in spec.cmdline:
        raise ConfigError("The kernel command line holds a zero byte.")
    if len(bootinfo.text(spec.cmdline)) + sum(len(bootinfo.text(m.cmdline)) for m in spec.modules) > MAX_CMDLINE_BYTES:
        raise ConfigError(f"The kernel and module command lines are longer than {MAX_CMDLINE_BYTES} bytes together.")
    if len(spec.modules) > MAX_MODULES:
        raise ConfigError(f"{len(spec.modules)} boot modules are more than the {MAX_MODULES} allowed.")

    files = [read_file(module.path, "boot module") for module in spec.modules]
    modules: list[bootinfo.Module] = []
    low_image_end = max((s.gpa + s.memory_bytes for s in image.segments if s.gpa < ram.low_end), default=0x10_0000)
    top = ram.low_end
    for module, data in zip(spec.modules, files, strict=True):
        top = (top - len(data)) & -PAGE
        if top < low_image_end:
            raise ConfigError(
                f"{module.path}: {len(data)} bytes do not fit beside the image in {ram.ram_bytes // MIB} MiB of memory;"
                " give the machine more."
            )
        modules.append(bootinfo.Module(top, len(data), module.cmdline))

    tables = acpi.build(cpus, FIRMWARE_GPA, BOOTINFO_GPA - FIRMWARE_GPA)
    rip = image.entry_gpa
    if image.protocol == "linux64":
        info, rip = zeropage.linux64(BOOTINFO_GPA, spec.cmdline, ram.entries(), modules, FIRMWARE_GPA, image.entry_gpa)
        eax = 0
    elif image.protocol == "pvh":
        info = bootinfo.pvh(BOOTINFO_GPA, spec.cmdline, ram.entries(), modules, FIRMWARE_GPA)
        eax = 0
    else:
        info = bootinfo.multiboot(BOOTINFO_GPA, spec.cmdline, ram.entries(), modules)
        eax = bootinfo.MULTIBOOT_BOOTLOADER_MAGIC
    assert BOOTINFO_GPA + len(info) <= FIRMWARE_END

    for segment in image.segments:
        if segment.file_bytes:
            write(segment.gpa, image.data[segment.offset : segment.offset + segment.file_bytes])
    for placed, data in zip(modules, files, strict=True):
        if data:
            write(placed.gpa, data)
    write(FIRMWARE_GPA, tables)
    write(BOOTINFO_GPA, info)
    return Entry(rip, BOOTINFO_GPA, eax, image)
