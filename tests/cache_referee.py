# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory model of the core, written again in plain Python from its rules (emu/core/cache.h), for comparison access by access.

Slow and obvious: lists are sets of a cache, newest first; one dictionary says which vCPU holds which line in which state.
"""

from collections import defaultdict
from collections.abc import Callable

LINE, PAGE = 64, 4096
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


class Vcpu:
    def __init__(self, l2_sets: int, l2_ways: int) -> None:
        self.clock = 0
        self.l1d, self.l1i = Lru(8, lambda k: k % 64), Lru(8, lambda k: k % 64)
        self.l2 = Lru(l2_ways, lambda k: k % l2_sets)
        self.dtlb, self.itlb, self.stlb = Lru(4, lambda k: k % 16), Lru(8, lambda k: k % 16), Lru(12, lambda k: k % 128)
        self.state: dict[int, str] = {}
        self.streams: dict[int, tuple[int, int]] = {}
        self.filled: int | None = None
        self.shadow_until = self.shadow_wait = self.shadow_left = 0


class Referee:
    """Rows by name; `access` mirrors TimingWorld.access."""

    def __init__(self, rows: dict[str, int], cpus: int) -> None:
        self.rows = rows
        self.l2_sets = rows["l2_kib"] * 1024 // LINE // rows["l2_ways"]
        self.vcpus = [Vcpu(self.l2_sets, rows["l2_ways"]) for _ in range(cpus)]
        slice_sets = rows["llc_kib_per_vcpu"] * 1024 // LINE // rows["llc_ways"]

        def llc_index(line: int) -> int:
            piece = ((line * 2654435761 & 0xFFFFFFFF) * cpus) >> 32
            return piece * slice_sets + line % slice_sets

        self.llc = Lru(rows["llc_ways"], llc_index)
        self.dirty: set[int] = set()  # LLC lines that memory lacks
        self.device: set[int] = set()  # LLC lines that a device brought in
        self.modified: dict[int, tuple[int, int]] = {}  # line: vCPU, its time
        self.stall: dict[str, int] = {}
        self.writebacks = 0

    # -- the shared side
    def llc_drop(self, line: int) -> None:
        self.llc.drop(line)
        self.dirty.discard(line)
        self.device.discard(line)

    def llc_evict(self, line: int) -> None:
        self.writebacks += line in self.dirty
        self.llc_drop(line)

    def llc_add(self, line: int, dirty: bool, device: bool = False) -> None:
        if not self.llc.touch(line):
            line_set = self.llc.sets[self.llc.index(line)]
            brought = [k for k in line_set if k in self.device]
            if device and len(brought) >= self.rows["ddio_ways"]:
                self.llc_evict(brought[-1])
            elif len(line_set) == self.llc.ways:
                self.llc_evict(line_set[-1])
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

    # -- charging
    def charge(self, cause: str, cycles: int) -> None:
        if cycles:
            self.stall[cause] = self.stall.get(cause, 0) + cycles

    def now(self, vcpu: int) -> int:
        return self.vcpus[vcpu].clock + sum(self.stall.values())

    # -- a line comes to a vCPU
    def streaming(self, v: Vcpu, line: int) -> bool:
        page = line // (PAGE // LINE)
        before = v.streams.get(page % 16)
        v.streams[page % 16] = (page, line)
        return before is not None and before[0] == page and abs(before[1] - line) == 1

    def fetch(self, vcpu: int, line: int, write: bool) -> tuple[int, str, bool]:
        """Into the L2: latency, cause, whether the prefetcher had it under way."""
        v, rows = self.vcpus[vcpu], self.rows
        streamed = self.streaming(v, line)
        holders = self.holders(line)
        state = MODIFIED if write else EXCLUSIVE
        if holders:
            streamed = False
        owner = next((h for h in holders if self.vcpus[h].state[line] != SHARED), None)
        if owner is not None:
            latency, cause = rows["transfer_latency"], "coherence"
            if write:
                self.lose(owner, line)
            else:
                self.llc_add(line, self.vcpus[owner].state[line] == MODIFIED)
                self.vcpus[owner].state[line] = state = SHARED
        elif self.llc.has(line):
            latency, cause = rows["llc_latency"], "llc"
            if write:
                for h in holders:
                    self.lose(h, line)
                self.llc_drop(line)
            elif holders:
                state = SHARED
            else:
                state = MODIFIED if line in self.dirty else EXCLUSIVE
                self.llc_drop(line)
        elif holders:
            latency, cause = rows["transfer_latency"], "coherence"
            if write:
                for h in holders:
                    self.lose(h, line)
            else:
                state = SHARED
        else:
            latency, cause = rows["dram_latency"], "dram"
        if streamed:
            latency = min(latency, rows["stream_line"])
        victim = v.l2.victim(line)
        if victim is not None:
            was = v.state[victim]
            self.lose(vcpu, victim)
            if not self.holders(victim):
                self.llc_add(victim, was == MODIFIED)
        v.l2.add(line)
        v.state[line] = state
        return latency, cause, streamed

    def translate(self, vcpu: int, first: Lru, page: int) -> None:
        v = self.vcpus[vcpu]
        if first.touch(page):
            return
        first.add(page)
        if v.stlb.touch(page):
            self.charge("tlb", self.rows["stlb_latency"])
        else:
            v.stlb.add(page)
            self.charge("tlb", self.rows["walk_latency"])

    def data_line(self, vcpu: int, line: int, write: bool, locked: bool) -> None:
        v, rows = self.vcpus[vcpu], self.rows
        latency, cause, streamed = 0, "l2", False
        if v.l1d.touch(line):
            if not write:
                return
            if v.state[line] != SHARED:
                v.state[line] = MODIFIED
                self.modified[line] = (vcpu, self.now(vcpu))
                return
        elif v.l2.touch(line):
            latency = rows["l2_latency"]
            v.l1d.add(line)
        else:
            latency, cause, streamed = self.fetch(vcpu, line, write)
            v.l1d.add(line)
            if locked and not write:
                v.filled = line
        if write and v.state[line] == SHARED:
            for h in self.holders(line):
                if h != vcpu:
                    self.lose(h, line)
            self.llc_drop(line)
            if not (locked and v.filled == line) and latency < rows["upgrade_latency"]:
                latency, cause = rows["upgrade_latency"], "coherence"
        now = self.now(vcpu)
        hidden = 0 if locked or streamed else rows["store_hidden"] if write else rows["load_hidden"]
        wait, done = max(0, latency - hidden), now + latency
        if wait and not write and not locked and not streamed:
            if now < v.shadow_until and v.shadow_left:  # beside the miss before
                v.shadow_left -= 1
                saved = min(wait, v.shadow_wait)
                wait, done = wait - saved, done - saved
            else:
                v.shadow_until, v.shadow_wait, v.shadow_left = now + wait + hidden, wait, rows["fill_buffers"] - 1
        writer, when = self.modified.get(line, (vcpu, 0))
        if writer != vcpu and when + rows["transfer_latency"] > done:
            done, cause = when + rows["transfer_latency"], "coherence"
            wait = max(0, done - now - hidden) if write and not locked else done - now
        self.charge(cause, wait)
        if write:
            v.state[line] = MODIFIED
            self.modified[line] = (vcpu, done)

    def code_line(self, vcpu: int, line: int) -> None:
        v = self.vcpus[vcpu]
        if v.l1i.touch(line):
            return
        latency = self.rows["l2_latency"] if v.l2.touch(line) else self.fetch(vcpu, line, False)[0]
        v.l1i.add(line)
        self.charge("frontend", max(0, latency - self.rows["fetch_hidden"]))

    # -- the verbs
    def access(
        self, vcpu: int, gpa: int, size: int, *, write: bool = False, locked: bool = False, fetch: bool = False,
        dma: bool = False, same_block: bool = False, advance: int = 0,
    ) -> dict[str, int]:  # fmt: skip
        v = self.vcpus[vcpu]
        v.clock += advance
        self.stall = {}
        lines = range(gpa // LINE, (gpa + size - 1) // LINE + 1)
        if dma:
            for line in lines:
                for h in self.holders(line):
                    self.lose(h, line)
                self.modified.pop(line, None)
                self.llc_add(line, True, device=True)
        else:
            if fetch or not same_block:
                v.filled = None
            self.translate(vcpu, v.itlb if fetch else v.dtlb, gpa // PAGE)
            for line in lines:
                if fetch:
                    self.code_line(vcpu, line)
                else:
                    self.data_line(vcpu, line, write, locked)
        v.clock += sum(self.stall.values())
        return self.stall

    def flush(self, vcpu: int) -> None:
        """CR3 write."""
        for tlb in (self.vcpus[vcpu].dtlb, self.vcpus[vcpu].itlb, self.vcpus[vcpu].stlb):
            tlb.sets.clear()
