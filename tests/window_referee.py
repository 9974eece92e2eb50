# SPDX-License-Identifier: GPL-2.0-or-later
"""The window model of the core, written again in plain Python from its description (emu/core/window.h, frontend.c), for
comparison block by block.

Slow and obvious: every micro-op's issue, dispatch, end and retirement are kept by number, for ever; whoever needs to know
whether a buffer has room looks the older one up. No rings, no bounds, no short cuts.
"""

from collections import defaultdict
from dataclasses import dataclass, field

LOAD, STORE_ADDRESS, STORE_DATA, SLOT, SERIAL, LOCKED, MOVE, BRANCH = 1, 2, 4, 8, 16, 32, 64, 128
CHASED, STACK, STACK_READ, WINDOW, REP, DRAIN, REST, PAIR = 256, 512, 1024, 2048, 4096, 8192, 16384, 65536
NONE, RSP = 0, 5
(
    RETIRING, FRONTEND, BADSPEC, CORE_BOUND, DEPENDENCY, L1, L2, LLC, DRAM, COHERENCE, TLB, SERIALISING,
) = range(12)  # fmt: skip
FAR, NEAR = 768, 512
"""A micro-op that would be dispatched FAR cycles after issue holds issue back until it is NEAR: no queue is that long."""
REMEMBERED = 64
"""Granules of stores that a load can still find."""


@dataclass
class Uop:
    src: tuple[int, ...] = ()
    dst: tuple[int, ...] = ()
    ports: int = 0
    cost: int = 0
    flags: int = SLOT
    hold: int = 0
    entries: int = 1


@dataclass
class Insn:
    end: int
    length: int
    slots: int
    opcode: int = 0
    complex: bool = False
    microcoded: bool = False
    lcp: bool = False
    joined: bool = False
    fusible: bool = False
    branch: bool = False


@dataclass
class Access:
    gpa: int
    size: int
    latency: int = 0
    walk: int = 0
    cause: int = L1


@dataclass
class Block:
    """As window.h's window_place takes it, and how control came to it."""

    uops: list[Uop]
    insns: list[Insn]
    window: list[int]
    va: int
    loads: list[Access] = field(default_factory=list)
    stores: list[Access] = field(default_factory=list)
    first: int = 0
    last: int | None = None
    refetch: bool = False
    late: int = 0
    idle_until: int = 0


@dataclass
class Granule:
    """8 bytes of a store: which of them, when its data is there, when it has left the store buffer (None: not known yet)."""

    number: int
    data: int
    low: int
    high: int
    commit: int | None = None


@dataclass
class Slot:
    """An issue slot under way."""

    issued: int
    front: int | None
    done: int
    ready: int
    dispatch: int
    load: bool = False
    cause: int | None = None
    miss: int = 0
    walk: int = 0
    store: int | None = None


class Referee:
    def __init__(self, rows: dict[str, int]) -> None:
        self.row = rows
        self.issue = self.issued = 0  # the cycle, and slots used in it
        self.retire = self.retired = 0
        self.slot: Slot | None = None
        self.slots = 0  # closed ones
        self.issue_of: dict[int, int] = {}  # by slot
        self.retire_of: dict[int, int] = {}
        self.ready: dict[int, int] = defaultdict(int)  # by register
        self.loaded: dict[int, bool] = defaultdict(bool)
        self.taken: dict[int, int] = defaultdict(int)  # by cycle: ports
        self.dispatched: list[int] = []  # cycles at which micro-ops leave the scheduler
        self.load_slots: list[int] = []  # by load: its slot
        self.store_free: list[int] = []  # by store: when it has left its buffer
        self.fills: list[tuple[int, int]] = []  # (line, when it is there)
        self.store_commit = self.loads_from = self.serial_from = self.divider_free = 0
        self.address_done = self.branch_done = 0
        self.stack_moved = False
        self.granules: list[Granule] = []
        self.fresh: list[Granule] = []  # of the last store
        self.lost: dict[int, int] = defaultdict(int)
        # the front end
        self.cycle = self.left = 0
        self.rate = rows["dsb_width"]
        self.front_cause = FRONTEND
        self.legacy = False
        self.last_window = self.next = 0
        self.predecode = self.decode = 0
        self.sixteen: int | None = None
        self.predecoded = self.decoded = self.decoded_slots = 0
        self.left_queue: list[int] = []  # by instruction
        self.cache: dict[int, list[tuple[int, int]]] = defaultdict(list)  # by set: (window, ways), newest first

    # ---- blocks

    def place(self, block: Block) -> None:
        if block.idle_until > self.retire:
            self.start(block.idle_until)
        if block.first == 0:
            self.enter(block)
        loads, stores = list(block.loads), list(block.stores)
        at = block.va + sum(insn.length for insn in block.insns[: block.first])
        last = len(block.insns) if block.last is None else block.last
        for number in range(block.first, last):
            insn = block.insns[number]
            if self.legacy:
                self.decode_insn(insn, at)
            at += insn.length
            for i in range(block.insns[number - 1].end if number else 0, insn.end):
                uop = block.uops[i]
                if uop.flags & STACK:
                    self.stack_moved = True
                elif uop.flags & STACK_READ and self.stack_moved:
                    self.stack_sync()
                if uop.flags & SLOT:
                    self.close_slot()
                    self.open_slot(window=bool(uop.flags & WINDOW) and not self.legacy, pair=bool(uop.flags & PAIR))
                self.place_uop(uop, loads, stores)
        self.close_slot()

    def start(self, clock: int) -> None:
        """Everything before has ended by then."""
        self.issue_to(clock)
        self.lost[RETIRING] -= self.retired
        self.retire, self.retired = clock, 0
        if self.cycle < clock:
            self.cycle, self.left = clock, 0
        if self.predecode < clock:
            self.predecode = self.decode = clock

    # ---- the front end

    def enter(self, block: Block) -> None:
        straight = block.va == self.next
        size = sum(insn.length for insn in block.insns)
        self.next = block.va + size
        if block.refetch:
            self.cycle = max(self.cycle, self.branch_done + self.row["mispredict"] - 1)
            self.left = 0
            self.front_cause = BADSPEC
        self.cycle = max(self.cycle, self.issue_of.get(self.slots - self.row["idq"], 0)) + block.late
        window = block.va >> 5
        hits = [self.cached(window + i, ways) for i, ways in enumerate(block.window)]
        legacy = not all(hits)
        if not straight or window != self.last_window:
            self.left = 0
        self.last_window = (block.va + size - 1) >> 5
        if legacy:
            if not self.legacy or block.refetch or block.late:
                self.predecode, self.decode = max(self.predecode, self.cycle), max(self.decode, self.cycle)
            if not straight:
                self.sixteen, self.predecoded = None, 0
        else:
            self.rate = self.row["dsb_width"]
            if self.legacy:
                self.left = 0
        self.legacy = legacy

    def cached(self, window: int, ways: int) -> bool:
        if ways == 0:
            return False
        lines = self.cache[window % self.row["dsb_sets"]]
        found = [line for line in lines if line[0] == window]
        if found:
            lines.remove(found[0])
            lines.insert(0, found[0])
            return True
        while sum(line[1] for line in lines) + ways > self.row["dsb_ways"]:
            lines.pop()
        lines.insert(0, (window, ways))
        return False

    def decode_insn(self, insn: Insn, address: int) -> None:
        row = self.row
        last, opcode = (address + insn.length - 1) >> 4, (address + insn.opcode) >> 4
        if last != self.sixteen:
            full = self.predecoded == row["predecode_width"]
            self.predecode += 2 if full and opcode == self.sixteen else 1
            self.sixteen, self.predecoded = last, 0
        elif self.predecoded == row["predecode_width"]:
            self.predecode += 1
            self.predecoded = 0
        if insn.lcp:
            self.predecode += row["lcp_stall"]
        self.predecoded += 1
        if len(self.left_queue) >= row["instruction_queue"]:
            self.predecode = max(self.predecode, self.left_queue[-row["instruction_queue"]])
        if insn.joined:
            return
        t = self.predecode + 1
        slot = self.slots + (self.slot is not None)
        t = max(t, self.issue_of.get(slot - row["idq"] + insn.slots, 0))
        decoders = row["decoders"] - (1 if insn.fusible and row["fusible_held"] else 0)
        if t > self.decode:
            self.decode, self.decoded, self.decoded_slots = t, 0, 0
        elif (
            self.decoded == decoders
            or (insn.complex and self.decoded)
            or self.decoded_slots + insn.slots > row["decode_slots"]
        ):
            self.decode, self.decoded, self.decoded_slots = self.decode + 1, 0, 0
        self.decoded += 1
        self.decoded_slots += insn.slots
        self.left_queue.append(self.decode)
        self.cycle = self.decode
        if insn.microcoded:
            self.cycle += row["ms_switch"]
            self.left = self.rate = 4
            self.decode = self.cycle + (insn.slots + 3) // 4
            self.decoded = row["decoders"]
        else:
            self.left = self.rate = 64

    # ---- issue

    def issue_to(self, cycle: int) -> None:
        if cycle > self.issue:
            self.issue, self.issued = cycle, 0

    def waiting(self) -> int:
        """Micro-ops in the scheduler at the issue cycle."""
        self.dispatched = [cycle for cycle in self.dispatched if cycle >= self.issue]
        return len(self.dispatched)

    def open_slot(self, window: bool, pair: bool) -> None:
        row = self.row
        if window or not self.left:
            self.cycle += 1
            self.left = self.rate
        self.left -= 1
        t = self.issue
        if self.issued + pair >= row["issue_width"]:
            t += 1
        t = max(t, self.retire_of.get(self.slots - row["rob"], 0), self.serial_from)
        front = None
        if self.cycle > t:
            t, front = self.cycle, self.front_cause
        else:
            self.front_cause = FRONTEND
        self.issue_to(t)
        while self.waiting() >= row["scheduler"]:
            self.issue_to(self.issue + 1)
        self.issued += 1
        self.issue_of[self.slots] = self.issue
        self.slot = Slot(self.issue, front, self.issue, self.issue, self.issue)

    def book(self, ports: int, ready: int) -> int:
        if ready >= self.issue + FAR:
            self.issue_to(ready - NEAR)
        cycle = ready
        while not ports & ~self.taken[cycle]:
            cycle += 1
        free = ports & ~self.taken[cycle]
        self.taken[cycle] |= 1 << (free.bit_length() - 1)
        self.dispatched.append(cycle)
        return cycle

    # ---- retirement

    def close_slot(self) -> None:
        s, self.slot = self.slot, None
        if s is None:
            return
        width = self.row["retire_width"]
        at = max(s.done, self.retire + (1 if self.retired == width else 0))
        if at > self.retire:
            self.lose(s, (at - self.retire) * width - self.retired)
            self.retire, self.retired = at, 0
        self.retired += 1
        self.retire_of[self.slots] = at
        if s.store is not None:
            self.store_commit = max(self.store_commit + self.row["store_commit"], at, s.store)
            self.store_free[-1] = self.store_commit
            for granule in self.fresh:
                granule.commit = self.store_commit
        self.slots += 1

    def lose(self, s: Slot, lost: int) -> None:
        width = self.row["retire_width"]
        if s.cause == SERIALISING:
            self.lost[SERIALISING] += lost
        elif s.cause is not None:
            miss = min(s.miss * width, lost)
            walk = min(s.walk * width, lost - miss)
            self.lost[s.cause] += miss
            self.lost[TLB] += walk
            self.lost[L1] += lost - miss - walk
        elif s.dispatch > s.ready:
            self.lost[CORE_BOUND] += lost
        elif s.front is not None and s.ready <= s.issued + 1:
            self.lost[s.front] += lost
        elif s.load:
            self.lost[L1] += lost
        elif s.ready > s.issued + 1 or s.done > s.dispatch + 1:
            self.lost[DEPENDENCY] += lost
        else:
            self.lost[CORE_BOUND] += lost

    # ---- micro-ops

    def operands(self, uop: Uop, at: int) -> int:
        return max([at, *(self.ready[r] for r in uop.src)])

    def finish(self, uop: Uop, ready: int, dispatch: int, done: int, loaded: bool = False) -> None:
        assert self.slot is not None
        for r in uop.dst:
            self.ready[r], self.loaded[r] = done, loaded
        self.slot.ready, self.slot.dispatch = ready, dispatch
        self.slot.done = max(self.slot.done, done)

    def place_uop(self, uop: Uop, loads: list[Access], stores: list[Access]) -> None:
        if uop.flags & (SERIAL | LOCKED):
            self.serial(uop, loads, stores)
        elif uop.flags & REP:
            self.repeat(uop, loads, stores)
        elif not uop.ports:
            for r in uop.dst:
                eliminated = uop.flags & MOVE
                self.ready[r], self.loaded[r] = (self.ready[uop.src[0]], self.loaded[uop.src[0]]) if eliminated else (0, False)
        elif uop.flags & LOAD:
            self.load(uop, loads)
        elif uop.flags & (STORE_ADDRESS | STORE_DATA):
            self.store(uop, stores)
        else:
            self.compute(uop)

    def compute(self, uop: Uop) -> None:
        ready = self.operands(uop, self.issue + 1)
        if uop.hold:
            ready = max(ready, self.divider_free)
        dispatch = self.book(uop.ports, ready)
        self.finish(uop, ready, dispatch, dispatch + uop.cost)
        if uop.hold:
            self.divider_free = dispatch + 1 + uop.hold
        if uop.flags & BRANCH:
            self.branch_done = dispatch + uop.cost

    def stack_sync(self) -> None:
        self.stack_moved = False
        self.close_slot()
        self.open_slot(window=False, pair=False)
        self.compute(Uop(src=(RSP,), dst=(RSP,), ports=self.row["alu_ports"], cost=1))
        self.loaded[RSP] = False

    @staticmethod
    def take(log: list[Access], entries: int) -> tuple[list[Access], int, int]:
        """What an access of so many times 8 bytes finds in the log; latency and walk of its slowest part."""
        parts = log[:entries]
        del log[:entries]
        if not parts:
            return [], 0, 0
        slowest = parts[0]
        for part in parts[1:]:
            if part.latency + part.walk > slowest.latency + slowest.walk:
                slowest = part
        return parts, slowest.latency, slowest.walk

    def load(self, uop: Uop, loads: list[Access]) -> None:
        assert self.slot is not None
        row = self.row
        parts, miss, walk = self.take(loads, uop.entries)
        if len(self.load_slots) >= row["load_buffer"]:
            self.issue_to(self.retire_of.get(self.load_slots[-row["load_buffer"]], 0))
        self.load_slots.append(self.slots)
        cost = uop.cost + miss + walk
        if uop.flags & CHASED and self.loaded[uop.src[0]] and not miss:
            cost -= row["load_latency"] - row["load_latency_chased"]
        ready = max(self.operands(uop, self.issue + 1), self.loads_from)
        if miss:
            ready = max(ready, self.fill_buffer_free())
            if parts[0].cause == COHERENCE:
                ready = max(ready, self.committed(parts[0].gpa >> 6))
        dispatch = self.book(uop.ports, ready)
        done = dispatch + cost
        if miss:
            self.fills.append((parts[0].gpa >> 6, done))
        else:
            if parts:
                done = self.in_flight(parts[0].gpa >> 6, done)
            for part in parts:
                done = self.forwarded(part, dispatch, done)
        self.slot.load = True
        if miss or walk:
            self.slot.cause, self.slot.miss, self.slot.walk = parts[0].cause, miss, walk
            if parts[0].cause == TLB:
                self.loads_from = max(self.loads_from, dispatch + 1 + walk)
        self.finish(uop, ready, dispatch, done, loaded=True)

    def store(self, uop: Uop, stores: list[Access]) -> None:
        assert self.slot is not None
        self.issue_to(self.store_buffer_free())
        ready = self.operands(uop, self.issue + 1)
        dispatch = self.book(uop.ports, ready)
        done = dispatch + uop.cost
        self.finish(uop, ready, dispatch, done)
        if uop.flags & STORE_ADDRESS:
            self.address_done = done
            return
        parts, miss, walk = self.take(stores, uop.entries)
        self.store_free.append(0)
        self.slot.store = max(done, self.address_done + miss + walk)
        if parts and parts[0].cause == TLB:
            self.store_commit += walk
        self.fresh = [granule for part in parts for granule in self.granules_of(part, done)]
        self.granules += self.fresh

    @staticmethod
    def granules_of(access: Access, data: int) -> list[Granule]:
        found: dict[int, list[int]] = {}
        for byte in range(access.gpa, access.gpa + access.size):
            found.setdefault(byte // 8, []).append(byte % 8)
        return [Granule(number, data, min(held), max(held) + 1) for number, held in found.items()]

    def forwarded(self, access: Access, dispatch: int, done: int) -> int:
        """Each granule from the youngest store that holds some of it and has not left the store buffer when the load looks."""
        for wanted in self.granules_of(access, 0):
            for stored in reversed(self.granules[-REMEMBERED:]):
                if stored.commit is not None and stored.commit <= dispatch:
                    break
                if stored.number != wanted.number or stored.high <= wanted.low or wanted.high <= stored.low:
                    continue
                if stored.low <= wanted.low and wanted.high <= stored.high:
                    done = max(done, stored.data + self.row["store_forward"])
                else:
                    left = stored.data if stored.commit is None else stored.commit
                    done = max(done, left + self.row["store_blocked"])
                break
        return done

    def committed(self, line: int) -> int:
        for stored in reversed(self.granules[-REMEMBERED:]):
            if stored.number // 8 == line and stored.commit is not None:
                return stored.commit
        return 0

    def in_flight(self, line: int, done: int) -> int:
        """A hit on a line that a fill buffer still waits for."""
        return max([done, *(there for filled, there in self.fills[-self.row["fill_buffers"] :] if filled == line)])

    def fill_buffer_free(self) -> int:
        n = self.row["fill_buffers"]
        return self.fills[-n][1] if len(self.fills) >= n else 0

    def store_buffer_free(self) -> int:
        n = self.row["store_buffer"]
        return self.store_free[-n] if len(self.store_free) >= n else 0

    def serial(self, uop: Uop, loads: list[Access], stores: list[Access]) -> None:
        assert self.slot is not None
        ready = self.operands(uop, self.issue + 1)
        wait = 0
        if uop.flags & LOAD:
            _, miss, walk = self.take(loads, uop.entries)
            wait = miss + walk
        if uop.flags & STORE_DATA:
            _, miss, walk = self.take(stores, uop.entries)
            wait = max(wait, miss + walk)
        if uop.flags & REST:
            wait += sum(access.latency + access.walk for access in loads)
            loads.clear()
        if uop.flags & DRAIN:
            ready = max(ready, self.retire, self.slot.done)
        if uop.flags & LOCKED:
            ready = max(ready, self.store_commit, self.loads_from)
        done = ready + uop.cost + wait
        if uop.flags & LOCKED:
            self.loads_from = self.store_commit = done
        else:
            self.serial_from = done if uop.flags & DRAIN else self.issue + uop.cost
        self.finish(uop, ready, ready, done)
        self.slot.cause, self.slot.miss, self.slot.walk = SERIALISING, 0, 0

    def repeat(self, uop: Uop, loads: list[Access], stores: list[Access]) -> None:
        """An iteration of a string instruction."""
        assert self.slot is not None
        ready = max(self.issue + 1, self.loads_from)
        parts: list[Access] = []
        miss = walk = 0
        if uop.flags & LOAD:
            parts, miss, walk = self.take(loads, 1)
        if miss:
            ready = max(ready, self.fill_buffer_free())
            self.fills.append((parts[0].gpa >> 6, ready + walk + miss))
        done = ready + walk + miss
        if uop.flags & STORE_DATA:
            _, store_miss, store_walk = self.take(stores, 1)
            self.issue_to(self.store_buffer_free())
            self.store_free.append(0)
            self.slot.store = done + store_miss + store_walk
            self.fresh = []
        self.finish(uop, ready, ready, done)
        self.slot.load = True
        self.slot.cause = parts[0].cause if miss or walk else None
        self.slot.miss, self.slot.walk = miss, walk
