# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of measured basic blocks, in BHive's form: hexadecimal machine code, cycles per iteration."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from capstone import CS_ARCH_X86, CS_MODE_64, Cs

from emu.errors import ConfigError

COLUMNS = ("block_hex", "measured_cycles_per_iteration")
MAX_FILE_MIB = 64
MAX_BYTES = 4096
MAX_INSTRUCTIONS = 512


@dataclass(frozen=True)
class MeasuredBlock:
    """One block; `instructions` is None where Capstone does not know all of its bytes."""

    code: bytes
    measured: float
    instructions: int | None


def read_blocks(path: Path) -> list[MeasuredBlock]:
    """The file's blocks. Raises ConfigError, naming the file, the line and the remedy."""
    try:
        if (mib := path.stat().st_size >> 20) >= MAX_FILE_MIB:
            raise ConfigError(f"{path}: {mib} MiB; a file of blocks may have {MAX_FILE_MIB}")
        with path.open(encoding="ascii", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None:
                raise ConfigError(f"{path}: the file is empty; its first line must name the columns {' and '.join(COLUMNS)}")
            if missing := [name for name in COLUMNS if name not in reader.fieldnames]:
                raise ConfigError(f"{path}: there is no column {missing[0]}; a file of blocks has {' and '.join(COLUMNS)}")
            decoder = Cs(CS_ARCH_X86, CS_MODE_64)
            blocks = [_block(f"{path}: line {reader.line_num}", row, decoder) for row in reader]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a CSV file of measured blocks") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: is no CSV text ({error})") from error
    if not blocks:
        raise ConfigError(f"{path}: there is no block behind the line of column names")
    return blocks


def _block(where: str, row: dict[str, str | None], decoder: Cs) -> MeasuredBlock:
    text, cycles = (row[name] or "" for name in COLUMNS)
    try:
        code = bytes.fromhex(text)
    except ValueError:
        raise ConfigError(f"{where}: block_hex is {_short(text)}, which is no machine code in hexadecimal") from None
    if not code:
        raise ConfigError(f"{where}: block_hex is empty")
    if len(code) > MAX_BYTES:
        raise ConfigError(f"{where}: the block has {len(code)} bytes; at most {MAX_BYTES} are possible")
    try:
        measured = float(cycles)
    except ValueError:
        measured = math.nan
    if not 0.0 < measured < math.inf:
        raise ConfigError(f"{where}: measured_cycles_per_iteration is {_short(cycles)}; give a number above 0")
    sizes = [size for _, size, _, _ in decoder.disasm_lite(code, 0)]
    if len(sizes) > MAX_INSTRUCTIONS:
        raise ConfigError(f"{where}: the block has {len(sizes)} instructions; at most {MAX_INSTRUCTIONS} are possible")
    return MeasuredBlock(code, measured, len(sizes) if sum(sizes) == len(code) else None)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
