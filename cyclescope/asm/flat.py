# SPDX-License-Identifier: GPL-2.0-or-later
"""The smallest bootable image around a piece of 64-bit code: a PVH ELF that enters long mode, runs it, and ends the run.

Memory: the first GiB is mapped one to one in 2 MiB pages; the code at CODE_GPA is the only executable page besides the boot
stub's; the stack ends at STACK_GPA; DATA_GPA..+2 MiB is zeroed, writable and no-execute. All general registers are 0 at the
start but RSP (STACK_GPA) and RDI (DATA_GPA). Falling off the end of the code meets a jump to EPILOGUE_GPA, in a block of its
own, so that its cost is not the code's; that writes AL to port 0xF4. There is no IDT: an exception is a triple fault.
"""

from __future__ import annotations

import struct

from cyclescope.asm.assembler import CODE_GPA, assemble, assemble_32
from emu.errors import ConfigError

STUB_GPA = 0x100000
EPILOGUE_GPA = 0x100800
JUMP_BYTES = 5
TABLES_GPA = 0x101000
DATA_GPA = 0x400000
STACK_GPA = 0x600000
MAX_CODE_BYTES = 0x100000

_PVH_ENTRY_NOTE = 18
_PRESENT, _WRITE, _LARGE, _NX = 1, 2, 0x80, 1 << 63
_GDT = struct.pack("<3Q", 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF)
_GDT_GPA = TABLES_GPA + 0x3000
_EPILOGUE = "out 0xf4, al; cli; hlt"
_ENTER_32 = f"""
    mov eax, cr4; or eax, 0x620; mov cr4, eax
    mov eax, {TABLES_GPA}; mov cr3, eax
    mov ecx, 0xC0000080; rdmsr; or eax, 0x900; wrmsr
    mov eax, cr0; and eax, 0xFFFFFFFB; or eax, 0x80000002; mov cr0, eax
    lgdt [{_GDT_GPA + 0x20}]
"""
_ZEROED = ("rax", "rbx", "rcx", "rdx", "rsi", "rbp", *(f"r{n}" for n in range(8, 16)))
_ENTER_64 = f"""
    mov eax, 16; mov ds, eax; mov es, eax; mov ss, eax
    mov rsp, {STACK_GPA}; {"; ".join(f"xor {r}, {r}" for r in _ZEROED)}; mov rdi, {DATA_GPA}
    jmp {CODE_GPA}
"""


def flat_image(code: bytes) -> bytes:
    """An ELF64 file that any PVH loader boots.

    Raises:
        ConfigError: more than 1 MiB of code.
    """
    if len(code) > MAX_CODE_BYTES:
        raise ConfigError(f"asm: {len(code)} bytes of code, but at most {MAX_CODE_BYTES} fit")
    code += b"\xe9" + struct.pack("<i", EPILOGUE_GPA - (CODE_GPA + len(code) + JUMP_BYTES))  # jmp rel32
    stub = _stub().ljust(EPILOGUE_GPA - STUB_GPA, b"\xcc") + assemble(_EPILOGUE, address=EPILOGUE_GPA)
    return _elf([(STUB_GPA, stub), (TABLES_GPA, _tables()), (CODE_GPA, code)])


def _stub() -> bytes:
    enter = assemble_32(_ENTER_32, STUB_GPA)
    far = STUB_GPA + len(enter) + 7
    jump = b"\xea" + struct.pack("<IH", far, 8)  # ljmp 8:far, into 64-bit code
    return enter + jump + assemble(_ENTER_64, address=far)


def _tables() -> bytes:
    pml4 = struct.pack("<Q", TABLES_GPA + 0x1000 | _PRESENT | _WRITE).ljust(4096, b"\0")
    pdpt = struct.pack("<Q", TABLES_GPA + 0x2000 | _PRESENT | _WRITE).ljust(4096, b"\0")
    executable = (STUB_GPA >> 21, CODE_GPA >> 21)
    entries = [n << 21 | _PRESENT | _WRITE | _LARGE | (0 if n in executable else _NX) for n in range(512)]
    gdt = _GDT.ljust(0x20, b"\0") + struct.pack("<HI", len(_GDT) - 1, _GDT_GPA)
    return pml4 + pdpt + struct.pack("<512Q", *entries) + gdt


def _elf(segments: list[tuple[int, bytes]]) -> bytes:
    note = struct.pack("<III4sI", 4, 4, _PVH_ENTRY_NOTE, b"Xen\0", STUB_GPA)
    count = len(segments) + 1
    offset = 64 + 56 * count
    header = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH",
        b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, STUB_GPA, 64, 0, 0, 64, 56, count, 0, 0, 0,
    )  # fmt: skip
    programs = struct.pack("<IIQQQQQQ", 4, 4, offset, 0, 0, len(note), len(note), 4)
    body = note
    for gpa, data in segments:
        programs += struct.pack("<IIQQQQQQ", 1, 7, offset + len(body), gpa, gpa, len(data), len(data), 1)
        body += data
    return header + programs + body
