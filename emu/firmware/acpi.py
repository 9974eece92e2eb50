# SPDX-License-Identifier: GPL-2.0-or-later
"""ACPI tables: where a kernel finds its processors, the I/O APIC, the PM timer and the PCI root.

RSDP, XSDT and RSDT, FADT with FACS and DSDT, MADT. No MCFG (configuration space is ports 0xCF8/0xCFC), no HPET, no SRAT. The legacy
timer is on I/O APIC line 2, as on every PC. Source: ACPI specification 6.4, section 5.2.
"""

import struct

from emu.firmware.aml import pc_definitions
from emu.irq.ioapic import IOAPIC_GPA
from emu.pci.bus import BAR_WINDOW_END, BAR_WINDOW_START
from emu.platform.power import PM1_CONTROL_PORT, PM1_EVENT_PORT, PM_TIMER_PORT

LAPIC_GPA = 0xFEE0_0000
OEM_ID, OEM_TABLE_ID, CREATOR_ID = b"CYCLES", b"CYCLESCP", b"CYCL"


def checksum(table: bytes | bytearray) -> int:
    """The byte that makes the sum of all bytes zero."""
    return -sum(table) & 0xFF


def table(signature: bytes, revision: int, body: bytes) -> bytes:
    """A system description table: header, then body."""
    header = struct.pack(
        "<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, OEM_ID, OEM_TABLE_ID, 1, CREATOR_ID, 1
    )
    whole = bytearray(header + body)
    whole[9] = checksum(whole)
    return bytes(whole)


def madt(cpus: int) -> bytes:
    """Processors with APIC ids 0 to cpus - 1, the I/O APIC with id 0 at line 0, and the timer's override."""
    body = struct.pack("<II", LAPIC_GPA, 1)  # PCAT_COMPAT: there are 8259s to mask
    for apic_id in range(cpus):
        body += struct.pack("<BBBBI", 0, 8, apic_id, apic_id, 1)
    body += struct.pack("<BBBBII", 1, 12, 0, 0, IOAPIC_GPA, 0)
    body += struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0)  # ISA line 0 is wired to line 2
    body += struct.pack("<BBBBIH", 2, 10, 0, 9, 9, 0x000D)  # SCI: level, active high
    body += struct.pack("<BBBHB", 4, 6, 0xFF, 0, 1)  # NMI on LINT1 of every LAPIC
    return table(b"APIC", 3, body)


def fadt(facs_gpa: int, dsdt_gpa: int) -> bytes:
    """Fixed hardware: PM1 block, PM timer; ACPI mode is always on (no SMI command port)."""
    body = bytearray(244 - 36)

    def put(offset: int, layout: str, *values: int) -> None:
        struct.pack_into("<" + layout, body, offset - 36, *values)

    put(36, "II", facs_gpa, dsdt_gpa)
    put(46, "H", 9)  # SCI_INT
    put(56, "I", PM1_EVENT_PORT)
    put(64, "I", PM1_CONTROL_PORT)
    put(76, "I", PM_TIMER_PORT)
    put(88, "BBBB", 4, 2, 0, 4)  # lengths: PM1 event, control, PM2 control, timer
    put(96, "HH", 0xFFFF, 0xFFFF)  # C2, C3 not supported
    put(109, "H", 0x0004)  # IAPC_BOOT_ARCH: no VGA, no 8042
    put(112, "I", 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8)  # WBINVD, C1, no power, no sleep button, 32-bit PM timer
    put(132, "QQ", facs_gpa, dsdt_gpa)
    for offset, port, bits in ((148, PM1_EVENT_PORT, 32), (172, PM1_CONTROL_PORT, 16), (208, PM_TIMER_PORT, 32)):
        put(offset, "BBBBQ", 1, bits, 0, 0, port)  # generic address: I/O space
    return table(b"FACP", 3, bytes(body))


def facs() -> bytes:
    """Firmware control structure: nothing in it but its name."""
    return struct.pack("<4sII", b"FACS", 64, 0).ljust(64, b"\0")


def build(cpus: int, base_gpa: int, room: int) -> bytes:
    """All tables as one block for `base_gpa` (16-byte aligned); the RSDP comes first, so its address is `base_gpa`.

    Raises ValueError when they take more than `room` bytes.
    """
    at = base_gpa + 64
    placed: list[tuple[int, bytes]] = []

    def place(content: bytes, align: int = 16) -> int:
        nonlocal at
        at = (at + align - 1) & -align
        placed.append((at, content))
        at += len(content)
        return placed[-1][0]

    facs_gpa = place(facs(), 64)
    dsdt_gpa = place(table(b"DSDT", 2, pc_definitions((BAR_WINDOW_START, BAR_WINDOW_END - 1))))
    listed = [place(fadt(facs_gpa, dsdt_gpa)), place(madt(cpus))]
    xsdt_gpa = place(table(b"XSDT", 1, struct.pack(f"<{len(listed)}Q", *listed)))
    rsdt_gpa = place(table(b"RSDT", 1, struct.pack(f"<{len(listed)}I", *listed)))
    rsdp = bytearray(struct.pack("<8sB6sBIIQB3x", b"RSD PTR ", 0, OEM_ID, 2, rsdt_gpa, 36, xsdt_gpa, 0))
    rsdp[8] = checksum(rsdp[:20])
    rsdp[32] = checksum(rsdp)
    placed.append((base_gpa, bytes(rsdp)))
    if at - base_gpa > room:
        raise ValueError(f"ACPI tables take {at - base_gpa} bytes, {room} are reserved")
    block = bytearray(at - base_gpa)
    for gpa, content in placed:
        block[gpa - base_gpa : gpa - base_gpa + len(content)] = content
    return bytes(block)
