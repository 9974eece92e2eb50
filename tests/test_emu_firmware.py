# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware tables, read back the way a kernel reads them."""

import struct

import pytest

from emu.errors import ConfigError
from emu.firmware import acpi, bootinfo
from emu.memory import RamMap
from emu.units import GIB, MIB

BASE = 0xE0000


class Ram:
    def __init__(self, base: int, data: bytes) -> None:
        self.base, self.data = base, data

    def at(self, gpa: int, size: int) -> bytes:
        assert self.base <= gpa <= gpa + size <= self.base + len(self.data)
        return self.data[gpa - self.base : gpa - self.base + size]

    def unpack(self, layout: str, gpa: int) -> tuple[int, ...]:
        return struct.unpack("<" + layout, self.at(gpa, struct.calcsize("<" + layout)))


def tables(ram: Ram) -> dict[bytes, bytes]:
    rsdp = ram.at(BASE, 36)
    assert rsdp[:8] == b"RSD PTR "
    assert sum(rsdp[:20]) & 0xFF == 0
    assert sum(rsdp) & 0xFF == 0
    found: dict[bytes, bytes] = {}

    def add(gpa: int) -> bytes:
        (length,) = ram.unpack("I", gpa + 4)
        table = ram.at(gpa, length)
        assert sum(table) & 0xFF == 0, table[:4]
        found[table[:4]] = table
        return table

    rsdt = add(struct.unpack_from("<I", rsdp, 16)[0])
    xsdt = add(struct.unpack_from("<Q", rsdp, 24)[0])
    narrow = [gpa for (gpa,) in struct.iter_unpack("<I", rsdt[36:])]
    wide = [gpa for (gpa,) in struct.iter_unpack("<Q", xsdt[36:])]
    assert narrow == wide
    for gpa in wide:
        add(gpa)
    add(struct.unpack_from("<Q", found[b"FACP"], 140)[0])
    return found


@pytest.mark.parametrize("cpus", [1, 4, 16])
def test_madt_lists_every_vcpu_and_the_ioapic(cpus: int) -> None:
    madt = tables(Ram(BASE, acpi.build(cpus, BASE, 0x4000)))[b"APIC"]
    assert struct.unpack_from("<I", madt, 36)[0] == 0xFEE0_0000
    at, lapics, ioapics = 44, [], []
    while at < len(madt):
        kind, length = madt[at], madt[at + 1]
        if kind == 0:
            lapics.append(madt[at + 3])
            assert madt[at + 4] & 1
        if kind == 1:
            ioapics.append(struct.unpack_from("<I", madt, at + 4)[0])
        at += length
    assert at == len(madt)
    assert lapics == list(range(cpus))
    assert ioapics == [0xFEC0_0000]


def test_fadt_points_at_dsdt_in_both_widths() -> None:
    found = tables(Ram(BASE, acpi.build(1, BASE, 0x4000)))
    fadt = found[b"FACP"]
    assert len(fadt) == 244
    assert struct.unpack_from("<I", fadt, 40)[0] == struct.unpack_from("<Q", fadt, 140)[0]
    assert struct.unpack_from("<I", fadt, 76)[0] == 0x608
    assert b"PCI0" in found[b"DSDT"]


def test_pvh_information_names_everything() -> None:
    ram_map = RamMap(6 * GIB)
    modules = [bootinfo.Module(0x200000, 10, "init"), bootinfo.Module(0x300000, 20)]
    ram = Ram(BASE, bootinfo.pvh(BASE, "a=b -- kvd -t 4", ram_map.entries(), modules, 0xE0000))
    magic, version, _, nmodules, mods, cmdline, rsdp, memmap, nmap, _ = ram.unpack("IIIIQQQQII", BASE)
    assert (magic, version, nmodules, rsdp) == (0x336EC578, 1, 2, 0xE0000)
    assert ram.at(cmdline, 16) == b"a=b -- kvd -t 4\0"
    gpa, size, text, _ = ram.unpack("QQQQ", mods)
    assert (gpa, size, ram.at(text, 5)) == (0x200000, 10, b"init\0")
    assert ram.unpack("QQQQ", mods + 32) == (0x300000, 20, 0, 0)
    entries = [ram.unpack("QQII", memmap + 24 * i)[:3] for i in range(nmap)]
    assert sum(size for _, size, kind in entries if kind == 1) >= 6 * GIB - MIB
    assert (4 * GIB, 3 * GIB, 1) in entries


def test_multiboot_information_names_everything() -> None:
    ram_map = RamMap(128 * MIB)
    ram = Ram(BASE, bootinfo.multiboot(BASE, "x=y", ram_map.entries(), [bootinfo.Module(0x200000, 10, "init")]))
    flags, low, high, _, cmdline, nmodules, mods = ram.unpack("IIIIIII", BASE)
    assert flags & 0b1001101 == 0b1001101
    assert (low, high, nmodules) == (636, 127 * 1024, 1)
    assert ram.at(cmdline, 4) == b"x=y\0"
    start, end, text, _ = ram.unpack("IIII", mods)
    assert (start, end, ram.at(text, 5)) == (0x200000, 0x20000A, b"init\0")
    length, at = ram.unpack("II", BASE + 44)
    assert length == 24 * len(ram_map.entries())
    assert ram.unpack("IQQI", at) == (20, 0, 0x9F000, 1)


def test_ram_map_has_a_hole_below_4_gib() -> None:
    ram = RamMap(4 * GIB)
    assert ram.holds(0, 3 * GIB)
    assert not ram.holds(3 * GIB - 1, 2)
    assert not ram.holds(0xFEE0_0000, 4)
    assert ram.holds(4 * GIB, GIB)
    assert not ram.holds(5 * GIB - 1, 2)
    assert not ram.holds(-1, 1)
    assert not ram.holds(0, 2**64)


@pytest.mark.parametrize("size", [0, 63 * MIB, 8 * GIB + MIB, 64 * MIB + 1, -1])
def test_odd_memory_sizes_are_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="a machine has 64 to 8192 MiB"):
        RamMap(size)
