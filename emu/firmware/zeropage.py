# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's 64-bit boot protocol: boot_params (the "zero page"), and the way from 32-bit protected mode to the kernel's entry.

For kernels without a PVH entry. Sources: Linux Documentation/arch/x86/boot.rst ("64-bit Boot Protocol", the header's fields) and
zero-page.rst (the others). The protocol asks for 64-bit mode with the kernel, boot_params and the command line mapped to
themselves, flat segments 0x10 (code) and 0x18 (data), and boot_params in RSI; machines start in 32-bit mode, so a few
instructions lead there.
"""

import struct

from emu.firmware.bootinfo import MapEntry, Module, text

PAGE = 4096
MAPPED_GIB = 4
CODE, DATA = 0x00AF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF  # flat, present; code is 64-bit
PRESENT_WRITABLE, HUGE = 3, 0x80
ACPI_RSDP, E820_ENTRIES, E820_TABLE, MAX_E820 = 0x70, 0x1E8, 0x2D0, 128
UNKNOWN_LOADER, LOADED_HIGH = 0xFF, 1


def linux64(
    base_gpa: int, cmdline: str, memory: list[MapEntry], modules: list[Module], rsdp_gpa: int, entry_gpa: int
) -> tuple[bytes, int]:
    """What goes to `base_gpa` (page-aligned), and where in it the first vCPU starts. The first module is the initrd."""
    tables = _page_tables(base_gpa)
    params_gpa = base_gpa + len(tables)
    start_gpa = params_gpa + PAGE
    gdt = struct.pack("<QQQQ", 0, 0, CODE, DATA)
    code = _to_64_bit(start_gpa, base_gpa, params_gpa, entry_gpa)
    pointer_gpa = start_gpa + len(code)
    code = code.replace(b"GDTP", struct.pack("<I", pointer_gpa))
    behind = code + struct.pack("<HI", len(gdt) - 1, pointer_gpa + 6) + gdt
    cmdline_gpa = start_gpa + len(behind)
    params = _boot_params(cmdline_gpa, memory, modules, rsdp_gpa)
    return tables + params + behind + text(cmdline), start_gpa


def _boot_params(cmdline_gpa: int, memory: list[MapEntry], modules: list[Module], rsdp_gpa: int) -> bytes:
    page = bytearray(PAGE)
    struct.pack_into("<Q", page, ACPI_RSDP, rsdp_gpa)
    page[E820_ENTRIES] = len(memory[:MAX_E820])
    for number, entry in enumerate(memory[:MAX_E820]):
        struct.pack_into("<QQI", page, E820_TABLE + 20 * number, entry.gpa, entry.size, entry.kind)
    struct.pack_into("<H", page, 0x1FE, 0xAA55)
    struct.pack_into("<4sH", page, 0x202, b"HdrS", 0x20F)
    struct.pack_into("<BB", page, 0x210, UNKNOWN_LOADER, LOADED_HIGH)
    if modules:
        struct.pack_into("<II", page, 0x218, modules[0].gpa, modules[0].size)
    struct.pack_into("<I", page, 0x228, cmdline_gpa)
    return bytes(page)


def _page_tables(base_gpa: int) -> bytes:
    """The first MAPPED_GIB, each address to itself, in pages of 2 MiB."""
    top = [base_gpa + PAGE | PRESENT_WRITABLE] + [0] * 511
    middle = [base_gpa + PAGE * (2 + i) | PRESENT_WRITABLE for i in range(MAPPED_GIB)] + [0] * (512 - MAPPED_GIB)
    pages = [i << 21 | PRESENT_WRITABLE | HUGE for i in range(512 * MAPPED_GIB)]
    return struct.pack(f"<{1024 + len(pages)}Q", *top, *middle, *pages)


def _to_64_bit(start_gpa: int, tables_gpa: int, params_gpa: int, entry_gpa: int) -> bytes:
    """The way to 64-bit mode; GDTP stands for the address of the GDT's pointer."""
    code = b"\x0f\x20\xe0\x83\xc8\x20\x0f\x22\xe0"  # mov eax, cr4; or eax, PAE; mov cr4, eax
    code += b"\xb8" + struct.pack("<I", tables_gpa) + b"\x0f\x22\xd8"  # mov eax, tables; mov cr3, eax
    code += b"\xb9\x80\0\0\xc0\x0f\x32\x0d\0\1\0\0\x0f\x30"  # mov ecx, EFER; rdmsr; or eax, LME; wrmsr
    code += b"\x0f\x01\x15GDTP"  # lgdt [pointer]
    code += b"\x0f\x20\xc0\x0d\0\0\0\x80\x0f\x22\xc0"  # mov eax, cr0; or eax, PG; mov cr0, eax
    code += b"\xea" + struct.pack("<IH", start_gpa + len(code) + 7, 0x10)  # jmp 0x10:next
    code += b"\xb8\x18\0\0\0\x8e\xd8\x8e\xc0\x8e\xd0"  # mov eax, 0x18; mov ds, eax; mov es, eax; mov ss, eax
    code += b"\xbe" + struct.pack("<I", params_gpa)  # mov esi, boot_params
    return code + b"\xb8" + struct.pack("<I", entry_gpa) + b"\xff\xe0"  # mov eax, entry; jmp rax
