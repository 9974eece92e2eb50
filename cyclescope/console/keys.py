# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources of keys that need no person: lines of a file, a recorded session; and the recorder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from cyclescope.console.session import Guest, Keys
from emu.errors import ConfigError
from emu.loader.image import read_file

IDLE_TICKS = 20
END_OF_FILE = b"\x04"  # as a terminal's line discipline has it
MAX_LINES_BYTES = 1 << 24
HEAD = "cyclescope keys 1"
WINDOW = re.compile(rf"{HEAD}(?: rows (\d{{1,5}}) columns (\d{{1,5}}))?")
ENDED = "end"


class Nobody:
    """Types nothing."""

    def typed(self, time_ps: int, guest: Guest) -> bytes:
        """Nothing."""
        return b""


class Lines:
    """Types lines one by one, each when the guest has been idle for IDLE_TICKS; behind the last one, end of file (Ctrl-D)."""

    def __init__(self, data: bytes) -> None:
        lines = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r").split(b"\r")
        self._lines = [line + b"\r" for line in lines[:-1]]
        self._lines += [lines[-1] + END_OF_FILE * (2 if lines[-1] else 1)]
        self._next = self._idle = self._begun = 0

    def typed(self, time_ps: int, guest: Guest) -> bytes:
        """The next line, or what is left of one that had no room."""
        if self._next == len(self._lines):
            return b""
        if not self._begun:
            self._idle = self._idle + 1 if guest.listens and guest.idle else 0
            if self._idle < IDLE_TICKS:
                return b""
        line = self._lines[self._next]
        part = line[self._begun : self._begun + guest.room]
        self._begun += len(part)
        if self._begun == len(line):
            self._next, self._begun, self._idle = self._next + 1, 0, 0
        return part


class Recorded:
    """Types what a file says that was typed, at the same ticks, and ends where that session was ended."""

    def __init__(self, path: Path) -> None:
        lines = read_file(path, "recorded session").decode("ascii", "replace").splitlines()
        head = WINDOW.fullmatch(lines[0]) if lines else None
        if head is None:
            raise ConfigError(f"{path}: is no recorded session: its first line is not {HEAD!r}; make one by --record.")
        #: Rows and columns of the terminal that it was recorded at, if it was one.
        self.window = (int(head[1]), int(head[2])) if head[1] else None
        self._events: list[tuple[int, bytes | None]] = []
        last = 0
        for number, line in enumerate(lines[1:], 2):
            match = re.fullmatch(rf"(\d{{1,18}}) ((?:[0-9a-f]{{2}})+|{ENDED})", line)
            if match is None or int(match[1]) < last:
                raise ConfigError(
                    f"{path}, line {number}: is no picosecond, not before the line above, and bytes in hexadecimal."
                )
            last = int(match[1])
            self._events.append((last, None if match[2] == ENDED else bytes.fromhex(match[2])))
        self._events.reverse()

    def typed(self, time_ps: int, guest: Guest) -> bytes:
        """What was typed at this tick."""
        data = b""
        while self._events and self._events[-1][0] <= time_ps:
            _, more = self._events.pop()
            if more is None:
                guest.end("the recorded session ends")
            else:
                data += more
        return data


class Recorder:
    """Passes on what another source types, and gives `write` each as a line of a recorded session."""

    def __init__(self, keys: Keys, window: tuple[int, int] | None, write: Callable[[str], object]) -> None:
        self._keys, self._write, self._ended = keys, write, False
        write(HEAD + (f" rows {window[0]} columns {window[1]}" if window else "") + "\n")

    def typed(self, time_ps: int, guest: Guest) -> bytes:
        """What the other source types."""
        data = self._keys.typed(time_ps, _Noticed(guest, lambda: self._end(time_ps)))
        if data:
            self._write(f"{time_ps} {data.hex()}\n")
        return data

    def _end(self, time_ps: int) -> None:
        if not self._ended:
            self._write(f"{time_ps} {ENDED}\n")
        self._ended = True


class _Noticed:
    """A guest whose end by the source is noticed."""

    def __init__(self, guest: Guest, noticed: Callable[[], None]) -> None:
        self._guest, self._noticed = guest, noticed

    @property
    def room(self) -> int:
        return self._guest.room

    @property
    def listens(self) -> bool:
        return self._guest.listens

    @property
    def idle(self) -> bool:
        return self._guest.idle

    def end(self, why: str) -> None:
        self._noticed()
        self._guest.end(why)
