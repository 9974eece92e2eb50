# SPDX-License-Identifier: GPL-2.0-or-later
"""The branch predictors of the core (emu/core/branch.c), written again in plain Python, for comparison branch by branch.

Slow and obvious: the path is one long number, tables are lists of entries.
"""

from dataclasses import dataclass, field

COND, INDIRECT, CALL, RET, JUMP = 1024, 2048, 4096, 8192, 65536
RIGHT, RESTEER, MISSED = 0, 1, 2
M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def mix(x: int) -> int:
    x = x * 0x9E3779B1 & M32
    return x ^ x >> 15


@dataclass
class Entry:
    """One way of a tagged table."""

    tag: int = 0
    counter: int = 0
    useful: int = 0


@dataclass
class Target:
    """One target of an indirect branch."""

    to: int = 0
    tag: int = 0
    sure: int = 0


@dataclass
class Table:
    """A tagged table: the taken branches it looks back, its sets."""

    length: int
    sets: list[list[Entry]]


@dataclass
class Referee:
    """Rows by name; `next` mirrors branch_next."""

    rows: dict[str, int]
    path: int = 0  # all of it, newest bits lowest
    prefer_other: int = 0
    decided: int = 0
    turn: int = 0
    btb: dict[int, list[int]] = field(default_factory=dict)
    returns: list[int] = field(default_factory=list)
    top: int = 0

    def __post_init__(self) -> None:
        rows = self.rows
        self.base: list[int | None] = [None] * rows["bimodal_entries"]  # None: never met
        self.failed = [False] * rows["bimodal_entries"]
        nsets = rows["tage_entries"] // rows["tage_ways"]
        self.set_bits = nsets.bit_length() - 1
        lengths = [rows[f"tage_history{i}"] for i in (1, 2, 3, 4) if rows[f"tage_history{i}"]]
        self.tables = [Table(n, [[Entry() for _ in range(4)] for _ in range(nsets)]) for n in lengths]
        self.targets = [[Target() for _ in range(rows["indirect_entries"])] for _ in range(3)]
        self.returns = [0] * rows["return_entries"]

    def path_hash(self, t: int, address: int) -> int:
        window = self.path & ((1 << 2 * self.tables[t].length) - 1)
        x = t
        for i in range((2 * self.tables[t].length + 63) // 64):
            x = (x ^ (window >> 64 * i & M64)) * 0x9E3779B97F4A7C15 & M64
        x ^= x >> 32
        return ((x ^ address << 21) * 0xBF58476D1CE4E5B9 & M64) >> 32

    def next(self, kind: int, end: int, to: int) -> int:
        address, missed = (end - 1) & M32, False
        if kind & COND:
            missed = self.direction(address, to != end)
            if to == end:
                return MISSED if missed else RIGHT
        elif kind & RET:
            self.top -= 1
            missed = self.returns[self.top % len(self.returns)] != to
        else:
            if kind & CALL and to != end:
                self.returns[self.top % len(self.returns)] = end
                self.top += 1
            if kind & INDIRECT:
                missed = self.target(address, to & M32)
        known = self.known(address)
        foot = mix((address >> self.rows["branch_address_bit"] & 0xFFFF) | (to & 0x3F) << 16) & 0xFFFF
        self.path = (self.path << 2 ^ foot) & ((1 << 192) - 1)
        return MISSED if missed else RIGHT if known else RESTEER

    def known(self, address: int) -> bool:
        tag = mix(address) >> 16 or 1
        line = self.btb.setdefault((address >> 4 ^ address >> 14) % (self.rows["btb_entries"] // 4), [])
        found = tag in line
        if found:
            line.remove(tag)
        line.insert(0, tag)
        del line[4:]
        return found

    def direction(self, address: int, taken: bool) -> bool:
        spot = (address ^ address >> 13) % len(self.base)
        base = self.base[spot]
        if base is None:
            self.base[spot] = 3 if taken else 0
            return taken
        answer = base >= 2
        if not self.failed[spot] and answer == taken:
            return False
        sets, tags, hits = [], [], []
        for t, table in enumerate(self.tables):
            m = self.path_hash(t, address)
            sets.append(table.sets[m >> (32 - self.set_bits)])
            tags.append(m & 0x7FF or 1)
            hits.append(next((e for e in sets[t] if e.tag == tags[t]), None))
        self.decided += 1
        if self.decided == 1 << 18:
            self.decided = 0
            for table in self.tables:
                for ways in table.sets:
                    for e in ways:
                        e.useful >>= 1
        providers = [(t, e) for t, e in enumerate(hits) if e is not None]
        if not providers:
            self.base[spot] = min(3, base + 1) if taken else max(0, base - 1)
            self.failed[spot] = True
        else:
            entry = providers[-1][1]
            says = entry.counter >= 4
            other = providers[-2][1].counter >= 4 if len(providers) > 1 else answer
            fresh = not entry.useful and entry.counter in (3, 4)
            answer = other if fresh and self.prefer_other >= 0 else says
            if says != other:
                if fresh:
                    self.prefer_other = min(7, self.prefer_other + 1) if other == taken else max(-8, self.prefer_other - 1)
                entry.useful = min(3, entry.useful + 1) if says == taken else max(0, entry.useful - 1)
            entry.counter = min(7, entry.counter + 1) if taken else max(0, entry.counter - 1)
        if answer == taken:
            return False
        first = providers[-1][0] + 1 if providers else 0
        if first < len(self.tables):
            self.allocate(first, sets, tags, taken)
        return True

    def allocate(self, first: int, sets: list[list[Entry]], tags: list[int], taken: bool) -> None:
        self.turn += 1
        for t in range(first, len(sets)):
            for way in [(self.turn + i) % 4 for i in range(4)]:
                if not sets[t][way].useful:
                    sets[t][way] = Entry(tags[t], 4 if taken else 3, 0)
                    return
        for t in range(first, len(sets)):
            for e in sets[t]:
                e.useful -= 1

    def target(self, address: int, to: int) -> bool:
        hashes = [mix(address), self.path_hash(0, address), self.path_hash(1 if len(self.tables) > 1 else 0, address)]
        spots = [(m >> 20) % self.rows["indirect_entries"] for m in hashes]
        tags = [(m | 1) & 0xFFFF for m in hashes]
        first = max([i for i in (1, 2) if self.targets[i][spots[i]].tag == tags[i]], default=0)
        entry = self.targets[first][spots[first]]
        missed = entry.to != to
        if not missed:
            entry.sure = min(3, entry.sure + 1)
        elif entry.sure and first:
            entry.sure -= 1
        else:
            entry.to = to
        if first:
            self.targets[0][spots[0]].to = to
        if missed and first < 2:
            fresh = self.targets[first + 1][spots[first + 1]]
            if fresh.sure:
                fresh.sure -= 1
            else:
                self.targets[first + 1][spots[first + 1]] = Target(to, tags[first + 1], 0)
        return missed
