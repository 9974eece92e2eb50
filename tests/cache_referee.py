# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory system of the core, written again in plain Python from its rules (docs/memory-model.md), for comparison.

Slow and obvious: lists are sets of a cache, newest first; one dictionary says which vCPU holds which line in which state.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from tests.dram_referee import Dram
from tests.tlb_referee import Tlb, Walk

LINE, PAGE, PAGE_LINES, FLIGHTS = 64, 4096, 64, 64
SHARED, EXCLUSIVE, MODIFIED = "S", "E", "M"


class Lru:
    """A set-associative cache of keys with true LRU."""

    def __init__(self, ways: int, index: Callable[[int], int]) -> None:
        self.ways, self.index = ways, index
        self.sets: dict[int, list[int]] = defaultdict(list)

    def has(self, key: int) -> bool:
        return key in self.sets[self.index(key)]

    def touch(self, key: int) -> bool:
        """True and now the newest, if it is there."""
        line_set = self.sets[self.index(key)]
        if key not in line_set:
            return False
        line_set.remove(key)
        line_set.insert(0, key)
        return True

    def drop(self, key: int) -> None:
        if self.has(key):
            self.sets[self.index(key)].remove(key)

    def victim(self, key: int) -> int | None:
        """What bringing `key` in will push out."""
        line_set = self.sets[self.index(key)]
        return line_set[-1] if len(line_set) == self.ways else None

    def add(self, key: int) -> None:
        line_set = self.sets[self.index(key)]
        del line_set[self.ways - 1 :]
        line_set.insert(0, key)


@dataclass
class Answer:
    """Who has a line, and when it is here: cycles from load to use."""

    latency: int
    cause: str
    held: bool = False
    memory: bool = False
    looked_up: bool = False


@dataclass
class Stream:
    page: int
    line: int
    ahead: int
    run: int = 0
    way: int = 0


class Vcpu:
    def __init__(self, rows: dict[str, int]) -> None:
        def cache(name: str) -> Lru:
            sets = rows[f"{name}_kib"] * 1024 // LINE // rows[f"{name}_ways"]
            return Lru(rows[f"{name}_ways"], lambda line: line % sets)

        self.clock = 0
        self.l1d, self.l1i, self.l2 = cache("l1d"), cache("l1i"), cache("l2")
        self.tlb: Tlb
        self.state: dict[int, str] = {}
        self.flight: dict[int, tuple[int, int, bool]] = {}  # slot: line, its arrival, whether from memory
        self.streams: dict[int, Stream] = {}
        self.under_way = [0] * rows["prefetches"]
        self.next_flight = 0
        self.missed = -1
        self.filled: int | None = None
        self.filled_at = 0
        self.shadow_until = self.shadow_wait = self.shadow_left = 0


class Referee:
    """Rows by name; `access` mirrors TimingWorld.access."""

    def __init__(self, rows: dict[str, int], cpus: int, walk: Callable[[int], Walk]) -> None:
        self.rows = rows
        self.vcpus = [Vcpu(rows) for _ in range(cpus)]
        for i, v in enumerate(self.vcpus):
            v.tlb = Tlb(rows, lambda address, now, i=i: self.line(i, address // LINE, False, False, now).latency, walk)
        slice_sets = rows["llc_kib_per_vcpu"] * 1024 // LINE // rows["llc_ways"]

        def llc_index(line: int) -> int:
            piece = ((line * 2654435761 & 0xFFFFFFFF) * cpus) >> 32
            return piece * slice_sets + line % slice_sets

        self.llc = Lru(rows["llc_ways"], llc_index)
        self.dram = Dram(rows)
        self.dirty: set[int] = set()  # LLC lines that memory lacks
        self.device: set[int] = set()  # LLC lines that a device brought in
        self.modified: dict[int, tuple[int, int]] = {}  # line: vCPU, its time
        self.stall: dict[str, int] = {}
        self.detailed = False
        self.slowest: tuple[int, str] = (0, "")
        self.writebacks = 0

    # -- the shared side
    def llc_drop(self, line: int) -> None:
        self.llc.drop(line)
        self.dirty.discard(line)
        self.device.discard(line)

    def llc_evict(self, line: int, now: int) -> None:
        dirty = line in self.dirty
        if self.rows["llc_inclusive"]:
            for h in self.holders(line):
                dirty |= self.vcpus[h].state[line] == MODIFIED
                self.lose(h, line)
        if dirty:
            self.writebacks += 1
            self.dram.write(line, now)
        self.llc_drop(line)

    def llc_add(self, line: int, dirty: bool, now: int, device: bool = False) -> None:
        if not self.llc.touch(line):
            line_set = self.llc.sets[self.llc.index(line)]
            brought = [k for k in line_set if k in self.device]
            if device and len(brought) >= self.rows["ddio_ways"]:
                self.llc_evict(brought[-1], now)
            elif len(line_set) == self.llc.ways:
                self.llc_evict(line_set[-1], now)
            self.llc.add(line)
            if device:
                self.device.add(line)
        if dirty:
            self.dirty.add(line)

    def holders(self, line: int) -> list[int]:
        return [i for i, v in enumerate(self.vcpus) if line in v.state]

    def lose(self, vcpu: int, line: int) -> None:
        v = self.vcpus[vcpu]
        for cache in (v.l1d, v.l1i, v.l2):
            cache.drop(line)
        del v.state[line]

    # -- a line comes to a vCPU's L2
    def from_below(self, line: int, state: str, now: int) -> tuple[Answer, str]:
        if self.llc.touch(line):
            if not self.rows["llc_inclusive"] and state != SHARED:
                if line in self.dirty:
                    state = MODIFIED
                self.llc_drop(line)
            return Answer(self.rows["llc_latency"], "llc"), state
        answer = Answer(self.dram.read(line, now), "dram", memory=True)
        if self.rows["llc_inclusive"]:
            self.llc_add(line, False, now)
        return answer, state

    def hold(self, vcpu: int, line: int, answer: Answer, now: int) -> None:
        writer, when = self.modified.get(line, (vcpu, 0))
        earliest = when + self.rows["transfer_latency"]
        if writer != vcpu and earliest > now + answer.latency:
            answer.latency, answer.cause, answer.held = earliest - now, "coherence", True

    def fill(self, vcpu: int, line: int, state: str, now: int) -> None:
        v = self.vcpus[vcpu]
        victim = v.l2.victim(line)
        if victim is not None:
            was = v.state[victim]
            self.lose(vcpu, victim)
            if self.rows["llc_inclusive"]:
                if was == MODIFIED:
                    self.llc.touch(victim)
                    self.dirty.add(victim)
            elif not self.holders(victim):
                self.llc_add(victim, was == MODIFIED, now)
        v.l2.add(line)
        v.state[line] = state
        if v.flight.get(line % FLIGHTS, (-1,))[0] == line:
            del v.flight[line % FLIGHTS]

    def fetch(self, vcpu: int, line: int, write: bool, now: int) -> Answer:
        holders = self.holders(line)
        owner = next((h for h in holders if self.vcpus[h].state[line] != SHARED), None)
        state = MODIFIED if write else SHARED if holders else EXCLUSIVE
        answer = Answer(self.rows["transfer_latency"], "coherence")
        in_llc = self.llc.has(line)
        if owner is not None:
            if write:
                self.lose(owner, line)
            else:
                dirty = self.vcpus[owner].state[line] == MODIFIED
                self.vcpus[owner].state[line] = SHARED
                self.llc_add(line, dirty, now)
        else:
            if write:
                for h in holders:
                    self.lose(h, line)
            if in_llc or not holders:
                answer, state = self.from_below(line, state, now)
        self.hold(vcpu, line, answer, now)
        self.fill(vcpu, line, state, now)
        return answer

    # -- prefetchers
    def depart(self, v: Vcpu, line: int, arrival: int, memory: bool) -> None:
        v.flight[line % FLIGHTS] = (line, arrival, memory)

    def arrive(self, v: Vcpu, line: int, now: int) -> tuple[int, str]:
        """A line is asked for: cycles until it is there, and where it comes from."""
        there, arrival, memory = v.flight.get(line % FLIGHTS, (-1, 0, False))
        if there != line:
            return 0, ""
        del v.flight[line % FLIGHTS]
        return max(0, arrival - now), "dram" if memory else "llc"

    def prefetch(self, vcpu: int, line: int, now: int) -> bool:
        """False: there is no room for it."""
        v = self.vcpus[vcpu]
        if self.holders(line):
            return True
        if not v.under_way or v.under_way[v.next_flight] > now:
            return False
        answer, state = self.from_below(line, EXCLUSIVE, now)
        self.hold(vcpu, line, answer, now)
        self.fill(vcpu, line, state, now)
        v.under_way[v.next_flight] = now + answer.latency
        v.next_flight = (v.next_flight + 1) % len(v.under_way)
        self.depart(v, line, now + answer.latency, answer.memory)
        return True

    def train(self, vcpu: int, line: int, now: int) -> None:
        v = self.vcpus[vcpu]
        page, line = divmod(line, PAGE_LINES)
        slot = (page + 1) % self.rows["streams"]
        s = v.streams.get(slot)
        if s is None or s.page != page:
            v.streams[slot] = Stream(page, line, line)
            return
        if line == s.line:
            return
        way = 1 if line > s.line else -1
        s.line = line
        if way != s.way:
            s.way, s.run, s.ahead = way, 1, line
            return
        s.run += 1
        for _ in range(2):
            following = (max(s.ahead, line) if way > 0 else min(s.ahead, line)) + way
            if not 0 <= following < PAGE_LINES or abs(following - line) > self.rows["stream_ahead"]:
                return
            if not self.prefetch(vcpu, page * PAGE_LINES + following, now):
                return
            s.ahead = following

    def next_line(self, vcpu: int, line: int, now: int) -> None:
        v = self.vcpus[vcpu]
        ascending, v.missed = line == v.missed + 1, line
        line += 1
        if not ascending or line % PAGE_LINES == 0 or not v.l2.has(line) or v.l1d.has(line):
            return
        line_set = v.l1d.sets[v.l1d.index(line)]
        v.l2.touch(line)
        del line_set[v.l1d.ways - 1 :]
        line_set.insert(1, line)
        there, arrival, memory = v.flight.get(line % FLIGHTS, (-1, 0, False))
        soonest = now + self.rows["l2_latency"]
        if there == line:
            self.depart(v, line, max(soonest, arrival), memory)
        else:
            self.depart(v, line, soonest, False)

    def afterwards(self, vcpu: int, line: int, answer: Answer, load: bool, now: int) -> None:
        if not answer.looked_up:
            return
        if self.rows["l1_next_line"] and load:
            self.next_line(vcpu, line, now)
        if self.rows["streams"]:
            self.train(vcpu, line, now)
        if self.rows["l2_adjacent"] and answer.memory:
            self.prefetch(vcpu, line ^ 1, now)

    # -- charging
    def charge(self, cause: str, cycles: int) -> None:
        if cycles:
            self.stall[cause] = self.stall.get(cause, 0) + cycles

    def now(self, vcpu: int) -> int:
        return self.vcpus[vcpu].clock + (0 if self.detailed else sum(self.stall.values()))

    def pay(self, vcpu: int, answer: Answer, write: bool, locked: bool, now: int) -> None:
        v, rows = self.vcpus[vcpu], self.rows
        hidden = 0 if locked or (answer.held and not write) else rows["store_hidden"] if write else rows["load_hidden"]
        wait = max(0, answer.latency - hidden)
        if wait and not write and not locked and not answer.held and hidden > rows["load_latency"]:
            if now < v.shadow_until and v.shadow_left:  # beside the miss before
                v.shadow_left -= 1
                wait -= min(wait, v.shadow_wait)
            else:
                v.shadow_until, v.shadow_wait, v.shadow_left = now + wait + hidden, wait, rows["fill_buffers"] - 1
        self.charge(answer.cause, wait)

    # -- one line of an access
    def line(self, vcpu: int, line: int, write: bool, locked: bool, now: int) -> Answer:
        v, rows = self.vcpus[vcpu], self.rows
        answer = Answer(rows["load_latency"], "l1")
        if v.l1d.touch(line):
            answer.looked_up = v.flight.get(line % FLIGHTS, (-1,))[0] == line
            wait, cause = self.arrive(v, line, now)
            if wait > answer.latency:
                answer.latency, answer.cause = wait, cause
        elif v.l2.touch(line):
            answer = Answer(rows["l2_latency"], "l2", looked_up=True)
            wait, cause = self.arrive(v, line, now)
            if wait > answer.latency:
                answer.latency, answer.cause = wait, cause
            v.l1d.add(line)
        else:
            answer = self.fetch(vcpu, line, write, now)
            answer.looked_up = True
            v.l1d.add(line)
            if locked and not write:
                v.filled, v.filled_at = line, now + answer.latency
        if write and v.state[line] == SHARED:
            for h in self.holders(line):
                if h != vcpu:
                    self.lose(h, line)
            if not rows["llc_inclusive"]:
                self.llc_drop(line)
            if not (locked and v.filled == line) and answer.latency < rows["upgrade_latency"]:
                answer.latency, answer.cause = rows["upgrade_latency"], "coherence"
        if write:
            v.state[line] = MODIFIED
            when = now + (answer.latency if answer.latency > rows["load_latency"] else 0)
            self.modified[line] = (vcpu, max(when, v.filled_at) if locked and v.filled == line else when)
        return answer

    def data_line(self, vcpu: int, line: int, write: bool, locked: bool) -> None:
        now = self.now(vcpu)
        answer = self.line(vcpu, line, write, locked, now)
        beyond = answer.latency - self.rows["load_latency"]
        if beyond > 0:
            if not self.detailed:
                self.pay(vcpu, answer, write, locked, now)
            elif beyond > self.slowest[0]:
                self.slowest = beyond, answer.cause
        self.afterwards(vcpu, line, answer, not write, now)

    def code_line(self, vcpu: int, line: int) -> int:
        v, now = self.vcpus[vcpu], self.now(vcpu)
        if v.l1i.touch(line):
            return 0
        if v.l2.touch(line):
            answer = Answer(max(self.rows["l2_latency"], self.arrive(v, line, now)[0]), "l2")
        else:
            answer = self.fetch(vcpu, line, False, now)
        answer.looked_up = True
        v.l1i.add(line)
        if not self.detailed:
            self.charge("frontend", max(0, answer.latency - self.rows["fetch_hidden"]))
        self.afterwards(vcpu, line, answer, load=False, now=now)
        return answer.latency

    # -- the verbs
    def access(
        self, vcpu: int, gpa: int, gva: int | None, size: int, *, write: bool = False, locked: bool = False, fetch: bool = False,
        dma: bool = False, dma_read: bool = False, same_block: bool = False, detailed: bool = False, advance: int = 0,
        gpa_of: Callable[[int], int] = lambda gva: gva,
    ) -> dict[str, int]:  # fmt: skip
        v = self.vcpus[vcpu]
        v.clock += advance
        self.stall, self.detailed, self.slowest = {}, detailed, (0, "")
        if dma or dma_read:
            for line in range(gpa // LINE, (gpa + size - 1) // LINE + 1):
                self.device_line(line, dma, v.clock)
            return {}
        if fetch or not same_block:
            v.filled = None
        pieces = [(gpa, gva, size)]
        first = PAGE - gpa % PAGE
        if size > first and gva is not None:
            pieces = [(gpa, gva, first), (gpa_of(gva + first), gva + first, size - first)]
        if fetch:
            assert gva is not None
            for at, address, n in pieces:
                walk = v.tlb.translate(address, self.now(vcpu), code=True)
                self.charge("frontend" if detailed else "tlb", walk)
                waits = [self.code_line(vcpu, line) for line in range(at // LINE, (at + n - 1) // LINE + 1)]
                if detailed:
                    self.charge("frontend", max(waits))
        else:
            for i, (_, address, _) in enumerate(pieces):
                if address is not None:
                    look_up = v.tlb.look_up if i else v.tlb.data_cycles
                    self.charge("tlb", look_up(address, self.now(vcpu)))
            for at, _, n in pieces:
                for line in range(at // LINE, (at + n - 1) // LINE + 1):
                    self.data_line(vcpu, line, write, locked)
            if detailed:
                self.charge(self.slowest[1], self.slowest[0])
        v.clock += sum(self.stall.values())
        return self.stall

    def device_line(self, line: int, write: bool, now: int) -> None:
        if not write:
            if not self.holders(line) and not self.llc.has(line):
                self.dram.read(line, now)
            return
        for h in self.holders(line):
            self.lose(h, line)
        self.modified.pop(line, None)
        self.llc_add(line, True, now, device=True)
