# SPDX-License-Identifier: GPL-2.0-or-later
"""A person at a terminal: raw mode, put back whatever happens; keys; and time that does not run away.

The guest's time never runs ahead of the person's by more than NAP_S: an idle guest lets the host sleep until a key comes. It may
fall behind without bound while the guest computes, and does not hurry afterwards.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable
from types import FrameType, TracebackType

from cyclescope.console.session import Guest

ESCAPE = b"\x01"  # Ctrl-A
INTERRUPT = 3  # Ctrl-C
NAP_S, BEHIND_S = 0.02, 0.05
READ_BYTES = 1024
HELP = "Ctrl-A x ends the run, Ctrl-A Ctrl-A types Ctrl-A; all other keys go to the guest"
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Keyboard:
    """Keys from a terminal's file descriptor."""

    def __init__(self, fd: int, say: Callable[[str], None]) -> None:
        self._fd, self._say = fd, say
        self._escaped = False
        self._guest_ps, self._host_s = 0, time.monotonic()

    def typed(self, time_ps: int, guest: Guest) -> bytes:
        """What was typed since; sleeps while the guest's time is ahead."""
        room = guest.room
        if not room:
            return b""
        readable, _, _ = select.select([self._fd], [], [], self._pause_s(time_ps))
        if not readable:
            return b""
        try:
            data = os.read(self._fd, min(room, READ_BYTES))
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            guest.end("its terminal is gone")
        elif INTERRUPT in data and not guest.listens:
            guest.end("interrupted before the guest listened to its console")
            return b""
        return self._unescaped(data, guest)

    def _pause_s(self, time_ps: int) -> float:
        now_s = time.monotonic()
        ahead_s = (time_ps - self._guest_ps) / 1e12 - (now_s - self._host_s)
        if ahead_s < -BEHIND_S:
            self._guest_ps, self._host_s = time_ps, now_s
        return ahead_s if ahead_s > NAP_S else 0.0

    def _unescaped(self, data: bytes, guest: Guest) -> bytes:
        out = bytearray()
        for at in range(len(data)):
            key = data[at : at + 1]
            if not self._escaped:
                self._escaped = key == ESCAPE
                out += b"" if self._escaped else key
                continue
            self._escaped = False
            if key in b"xX":
                guest.end("ended by Ctrl-A x")
                break
            if key == ESCAPE:
                out += ESCAPE
            else:
                self._say(HELP)
        return bytes(out)


class RawTerminal:
    """Context manager: the terminal in raw mode. `signalled` is the number of a signal that asked for an end, or 0.

    Args:
        stop: called when such a signal came; it must return.
    """

    def __init__(self, fd: int, stop: Callable[[], None]) -> None:
        self._fd, self._stop = fd, stop
        self.signalled = 0

    def __enter__(self) -> RawTerminal:
        self._before = termios.tcgetattr(self._fd)
        self._handlers = {number: signal.getsignal(number) for number in ENDING}
        for number in ENDING:
            signal.signal(number, self._ask_for_end)
        with contextlib.suppress(termios.error):  # the terminal is gone: reading will tell
            tty.setraw(self._fd, termios.TCSADRAIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _ask_for_end(self, number: int, frame: FrameType | None) -> None:
        self.signalled = self.signalled or number
        self._stop()


def window() -> tuple[int, int] | None:
    """Rows and columns of the terminal we write to, if it is one and knows."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return None
    return (rows, columns) if rows and columns else None
