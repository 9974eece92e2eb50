# SPDX-License-Identifier: GPL-2.0-or-later
"""The 16550 as its datasheet has it (National Semiconductor PC16550D), and the line on which bytes come in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emu.clock import EventQueue
from emu.core.binding import SerialAnswer, SerialLook
from emu.errors import BadSnapshot
from emu.platform.serial import MAX_WAITING, SerialLine
from tests.core_guest import MAIN, Guest, Recorder

DATA, IER, IIR_FCR, LCR, MCR, LSR = 0x3F8, 0x3F9, 0x3FA, 0x3FB, 0x3FC, 0x3FD
SYNC, SEEN = 0x80, 0x200000
NONE, RISES, FULL = SerialAnswer(0), SerialAnswer.RISES, SerialAnswer.FULL
Step = tuple[str, int, int] | Callable[[Guest], object]


class Steps(Recorder):
    """An IN from SYNC does the next thing from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.next: list[Callable[[], object]] = []

    def pio_read(self, machine: int, vcpu: int, port: int, size: int, time_ps: int) -> int:
        if port == SYNC:
            self.next.pop(0)()
        return super().pio_read(machine, vcpu, port, size, time_ps)


def follow(*steps: Step) -> tuple[list[int], list[tuple[object, ...]]]:
    """A guest that reads ("in") and writes ("out") ports, with steps from outside between; what it read, what we were told."""
    io = Steps()
    guest = Guest(callbacks=io)
    code, seen = [f"mov edi, {SEEN}"], 0
    for step in steps:
        if callable(step):
            io.next.append(lambda step=step: step(guest))  # type: ignore[misc]
            code.append(f"mov edx, {SYNC}; in al, dx")
            continue
        way, port, value = step
        if way == "in":
            code.append(f"mov edx, {port}; in al, dx; mov [rdi], al; inc rdi")
            seen += 1
        else:
            code.append(f"mov edx, {port}; mov al, {value}; out dx, al")
    guest.code(MAIN, "; ".join([*code, "cli; hlt"]))
    guest.run()
    read = list(guest.core.dma_read(guest.machine, SEEN, seen, 0)) if seen else []
    told = [(way, port) for way, _, _, port, *_ in io.accesses if port != SYNC]
    guest.close()
    return read, told


def reads(*ports: int) -> list[Step]:
    return [("in", port, 0) for port in ports]


def receive(data: bytes | int, *wanted: SerialAnswer) -> Step:
    """Bytes come, or (-1) the time-out; what the port must answer to each."""

    def step(guest: Guest) -> None:
        values = [data] if isinstance(data, int) else list(data)
        assert [guest.core.serial_receive(guest.machine, value) for value in values] == list(
            wanted or [NONE] * len(values)
        )

    return step


def test_without_fifos_it_holds_one_byte() -> None:
    steps = [("out", IER, 1), receive(b"ab", RISES, FULL), *reads(IIR_FCR, LSR, DATA, IIR_FCR, LSR, DATA)]
    steps += [receive(b"c", RISES)]
    read, told = follow(*steps)
    assert read == [0x04, 0x61, ord("a"), 0x01, 0x60, 0]
    assert told == [("in", DATA)]


def test_fifos_interrupt_at_their_level_or_after_a_time() -> None:
    steps = [("out", IER, 1), ("out", IIR_FCR, 0x81), receive(b"0123456"), *reads(IIR_FCR)]
    steps += [receive(b"7", RISES), *reads(IIR_FCR, DATA, IIR_FCR), receive(-1, RISES), *reads(IIR_FCR, DATA, IIR_FCR)]
    steps += [receive(b"89abcdefgh!", NONE, RISES, *[NONE] * 8, FULL), *reads(IIR_FCR, DATA, LSR)]
    read, told = follow(*steps)
    assert read == [0xC1, 0xC4, ord("0"), 0xC1, 0xCC, ord("1"), 0xC1, 0xC4, ord("2"), 0x61]
    assert told == [("in", DATA)] * 3


def test_received_data_comes_before_an_empty_transmitter() -> None:
    """Both are pending: the line stays high until both are dealt with."""
    steps = [
        ("out", IER, 3),
        *reads(IIR_FCR),
        ("out", DATA, 65),
        receive(b"x"),
        *reads(IIR_FCR, DATA, IIR_FCR, IIR_FCR),
    ]
    read, told = follow(*steps)
    assert read == [0x02, 0x04, ord("x"), 0x02, 0x01]
    assert told == [("out", DATA), ("out", DATA), ("in", DATA)]


def test_the_receiver_can_be_emptied() -> None:
    read, told = follow(
        ("out", IIR_FCR, 1), receive(b"xy"), ("out", IIR_FCR, 3), *reads(LSR), receive(b"z"), *reads(LSR, DATA)
    )
    assert read == [0x60, 0x61, ord("z")]
    assert told == [("out", IIR_FCR), ("in", DATA)]


def test_in_loop_back_it_hears_itself_alone() -> None:
    steps = [("out", MCR, 0x10), ("out", DATA, ord("q")), receive(b"z"), *reads(LSR, DATA, LSR)]
    steps += [("out", MCR, 0), receive(b"z"), *reads(DATA)]
    assert follow(*steps)[0] == [0x61, ord("q"), 0x60, ord("z")]


def test_the_divisor_is_no_data() -> None:
    def look(guest: Guest) -> None:
        assert guest.core.serial_look(guest.machine) == SerialLook(1, False, 12, 12)

    steps = [receive(b"d"), ("out", LCR, 0x9F), ("out", DATA, 12), *reads(DATA), look, ("out", LCR, 3), *reads(DATA)]
    assert follow(*steps)[0] == [12, ord("d")]


class Port:
    """A receiver of one byte with its interrupt on."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self.room = 1
        self.timeouts = 0

    def receive(self, byte: int) -> SerialAnswer:
        if byte < 0:
            self.timeouts += 1
            return RISES
        if len(self.held) == self.room:
            return FULL
        self.held.append(byte)
        return RISES

    def look(self) -> SerialLook:
        return SerialLook(len(self.held), True, 10, 12)


class Board:
    """A line with its port, run by hand; a character takes 1/960 s."""

    CHARACTER_PS = 10 * 12 * 10**12 // 115_200

    def __init__(self) -> None:
        self.queue, self.port, self.irqs = EventQueue(), Port(), list[int]()
        self.line = SerialLine("serial", self.port, self.queue.push, self.irqs.append)
        (self.region,) = self.line.ports()

    def run(self, until_ps: int) -> None:
        while self.queue.next_ps <= until_ps:
            time_ps, _, _, tag, payload = self.queue.pop()
            assert self.line.event_fits(tag, payload)
            self.line.event(time_ps, tag, payload)

    def take(self, time_ps: int) -> int:
        byte = self.port.held.pop(0)
        self.region.read(0, 1, time_ps)
        return byte


def test_bytes_come_at_the_line_s_rate_and_wait_for_room() -> None:
    board = Board()
    board.line.type(b"abc", 0)
    board.run(board.CHARACTER_PS)
    assert board.irqs == [board.CHARACTER_PS]
    board.run(10 * board.CHARACTER_PS)
    assert (board.port.held, board.line.waiting) == ([ord("a")], 3)
    taken = [board.take(10 * board.CHARACTER_PS)]
    board.run(20 * board.CHARACTER_PS)
    assert board.irqs[-1] == 15 * board.CHARACTER_PS  # b after one character, and four later its time-out
    taken += [board.take(20 * board.CHARACTER_PS)]
    board.run(30 * board.CHARACTER_PS)
    assert [*taken, *board.port.held] == list(b"abc")
    assert board.line.waiting == 1


def test_a_byte_that_comes_or_goes_restarts_the_time_out() -> None:
    board = Board()
    board.port.room = 16
    board.line.type(b"ab", 0)
    board.run(2 * board.CHARACTER_PS)
    board.line.type(b"c", 4 * board.CHARACTER_PS)
    board.run(8 * board.CHARACTER_PS)
    assert board.port.timeouts == 0
    board.take(8 * board.CHARACTER_PS)
    board.run(11 * board.CHARACTER_PS)
    assert board.port.timeouts == 0
    board.run(12 * board.CHARACTER_PS)
    assert board.port.timeouts == 1
    board.run(100 * board.CHARACTER_PS)
    assert board.port.timeouts == 1


def test_what_was_typed_is_saved_and_bounded() -> None:
    board, other = Board(), Board()
    board.line.type(bytes(2 * MAX_WAITING), 0)
    assert board.line.room == 0
    board.run(board.CHARACTER_PS)
    assert board.line.room == 1
    other.line.restore(board.line.save())
    assert other.line.save() == board.line.save()
    with pytest.raises(BadSnapshot, match="serial"):
        other.line.restore({**board.line.save(), "waiting": 7})
