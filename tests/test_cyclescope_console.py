# SPDX-License-Identifier: GPL-2.0-or-later
"""Who types at a console: lines, a person's terminal, a recorded session. The guest is a list."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclescope.console.keys import IDLE_TICKS, Lines, Recorded, Recorder
from cyclescope.console.session import TICK_PS, Keys
from cyclescope.console.terminal import Keyboard, RawTerminal
from emu.errors import ConfigError


class Listener:
    """A guest that takes at most `room` bytes a tick and is busy for a while after each."""

    def __init__(self, room: int = 100, busy: int = 0) -> None:
        self.room, self.listens, self.ended = room, True, ""
        self.taken: list[tuple[int, bytes]] = []
        self._busy, self._left = busy, 0

    @property
    def idle(self) -> bool:
        return self._left == 0

    def end(self, why: str) -> None:
        self.ended = why

    def listen(self, keys: Keys, ticks: int) -> None:
        for tick in range(1, ticks + 1):
            self._left = max(0, self._left - 1)
            if data := keys.typed(tick * TICK_PS, self):
                self.taken.append((tick, data))
                self._left = self._busy
            if self.ended:
                break


def test_a_line_is_typed_when_the_guest_has_been_idle() -> None:
    guest = Listener(busy=7)
    guest.listen(Lines(b"one\ntwo\r\n"), 200)
    first = IDLE_TICKS
    step = IDLE_TICKS + 7 - 1
    assert guest.taken == [(first, b"one\r"), (first + step, b"two\r"), (first + 2 * step, b"\x04")]


def test_a_line_without_an_end_is_ended_and_one_without_room_waits() -> None:
    guest = Listener(room=2)
    guest.listen(Lines(b"abcde"), 200)
    assert b"".join(data for _, data in guest.taken) == b"abcde\x04\x04"
    assert [tick for tick, _ in guest.taken] == [IDLE_TICKS + i for i in range(4)]
    silent = Listener()
    silent.listens = False
    silent.listen(Lines(b""), 200)
    assert silent.taken == []


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudoterminal: the person's, and the one that programs have."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        with contextlib.suppress(OSError):  # a test has closed it
            os.close(end)


def test_keys_are_the_guest_s_but_for_the_escape(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    said: list[str] = []
    guest, keys = Listener(), Keyboard(theirs, said.append)
    with RawTerminal(theirs, lambda: None):
        os.write(ours, b"ls\r\x03\x1a\x04\x01\x01\x01h\xc3\xa9")
        guest.listen(keys, 3)
        assert b"".join(data for _, data in guest.taken) == b"ls\r\x03\x1a\x04\x01\xc3\xa9"
        assert len(said) == 1
        assert not guest.ended
        os.write(ours, b"a\x01")
        guest.listen(keys, 3)
        os.write(ours, b"xb")
        guest.listen(keys, 3)
    assert guest.ended == "ended by Ctrl-A x"
    assert guest.taken[-1][1] == b"a"


def test_ctrl_c_ends_a_guest_that_does_not_listen_yet(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    guest = Listener()
    guest.listens = False
    with RawTerminal(theirs, lambda: None):
        os.write(ours, b"x")
        guest.listen(Keyboard(theirs, lambda text: None), 1)
        assert not guest.ended
        os.write(ours, b"\x03")
        guest.listen(Keyboard(theirs, lambda text: None), 1)
    assert "interrupted" in guest.ended


def test_a_terminal_that_is_gone_ends_the_run(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    guest = Listener()
    with RawTerminal(theirs, lambda: None):
        os.close(ours)
        guest.listen(Keyboard(theirs, lambda text: None), 1)
    assert guest.ended == "its terminal is gone"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_terminal_is_put_back_whatever_happens(terminal: tuple[int, int], number: signal.Signals) -> None:
    _, theirs = terminal
    before, handler = termios.tcgetattr(theirs), signal.getsignal(number)
    stopped: list[bool] = []

    def run() -> None:
        with RawTerminal(theirs, lambda: stopped.append(True)) as raw:
            assert not termios.tcgetattr(theirs)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
            os.kill(os.getpid(), number)
            assert (stopped, raw.signalled) == ([True], number)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run()
    assert termios.tcgetattr(theirs) == before
    assert signal.getsignal(number) == handler


def test_a_recorded_session_is_typed_at_the_same_ticks(tmp_path: Path) -> None:
    lines: list[str] = []
    first, second = Listener(room=3, busy=2), Listener()

    class Quitter:
        def __init__(self) -> None:
            self.lines = Lines(b"echo\nls\n")

        def typed(self, time_ps: int, guest: Listener) -> bytes:  # type: ignore[override]
            if time_ps == 70 * TICK_PS:
                guest.end("enough")
            return self.lines.typed(time_ps, guest)

    first.listen(Recorder(Quitter(), (25, 80), lines.append), 200)  # type: ignore[arg-type]
    (tmp_path / "keys").write_text("".join(lines))
    played = Recorded(tmp_path / "keys")
    assert played.window == (25, 80)
    second.listen(played, 200)
    assert second.taken == first.taken
    assert len(second.taken) > 2
    assert (first.ended, second.ended) == ("enough", "the recorded session ends")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no recorded session"),
        ("cyclescope keys 2\n", "is no recorded session"),
        ("cyclescope keys 1\n5 6g\n", "keys, line 2: is no picosecond"),
        ("cyclescope keys 1\n5 61\n4 61\n", "keys, line 3: is no picosecond"),
        ("cyclescope keys 1\n5 \n", "keys, line 2: is no picosecond"),
        ("cyclescope keys 1\n99999999999999999999 61\n", "keys, line 2: is no picosecond"),
    ],
)
def test_what_is_no_session_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        Recorded(tmp_path / "keys")
