# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory's channels, rows and queues, written again in plain Python from docs/memory-model.md."""

from fractions import Fraction


class Dram:
    def __init__(self, rows: dict[str, int]) -> None:
        self.rows = rows
        self.clock = [0] * rows["dram_channels"]
        self.backlog = [Fraction(0)] * rows["dram_channels"]
        self.open_row: dict[tuple[int, int], int] = {}

    def place(self, line: int) -> tuple[int, int, int]:
        """Channel, bank, row: 256-byte chunks go round the channels."""
        channels, banks = self.rows["dram_channels"], self.rows["dram_banks"]
        chunk = line // 4
        within = chunk // channels * 4 + line % 4
        row = within // (self.rows["dram_row_bytes"] // 64)
        return chunk % channels, (row ^ row // banks ^ row // banks // banks) % banks, row

    def queue(self, channel: int, now: int) -> int:
        """Cycles until the bus is free for a line, which then takes it."""
        if now > self.clock[channel]:
            self.backlog[channel] = max(Fraction(0), self.backlog[channel] - (now - self.clock[channel]))
            self.clock[channel] = now
        wait = int(self.backlog[channel])
        self.backlog[channel] += Fraction(self.rows["dram_line16"], 16)
        return wait

    def read(self, line: int, now: int) -> int:
        channel, bank, row = self.place(line)
        latency = self.rows["dram_latency"]
        before = self.open_row.get((channel, bank))
        if before is None or before == row:
            latency -= self.rows["dram_precharge"]
        if before == row:
            latency -= self.rows["dram_activate"]
        self.open_row[channel, bank] = row
        return self.queue(channel, now) + latency

    def write(self, line: int, now: int) -> None:
        self.queue(self.place(line)[0], now)
