# SPDX-License-Identifier: GPL-2.0-or-later
"""TLBs, paging-structure caches and page walks of the core, written again in plain Python from docs/memory-model.md."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

PAGE_BITS, FRONT = 12, 16
SMALL, LARGE, HUGE = 0, 9, 18
"""4 KiB pages in a page, as bits."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk finds: the entries' addresses, top first (none: no paging), the page's size, whether it is global."""

    entries: tuple[int, ...]
    bits: int
    is_global: bool


class Sets:
    """Keys with a global flag, newest first, by set."""

    def __init__(self, entries: int, ways: int) -> None:
        self.ways, self.count = ways, max(1, entries // ways) if ways else 1
        self.sets: dict[int, list[int]] = defaultdict(list)
        self.is_global: dict[int, bool] = {}

    def touch(self, key: int) -> bool:
        entries = self.sets[key % self.count]
        if key not in entries:
            return False
        entries.remove(key)
        entries.insert(0, key)
        return True

    def add(self, key: int, is_global: bool) -> int | None:
        """The key that goes."""
        if not self.ways:
            return None
        entries = self.sets[key % self.count]
        gone = entries.pop() if len(entries) == self.ways else None
        entries.insert(0, key)
        self.is_global[key] = is_global
        return gone

    def drop(self, key: int) -> None:
        entries = self.sets[key % self.count]
        if key in entries:
            entries.remove(key)

    def flush(self, everything: bool) -> None:
        for entries in self.sets.values():
            entries[:] = [] if everything else [key for key in entries if self.is_global[key]]


class Tlb:
    """One vCPU's. `load(address, now)` gives the latency of a walk's load; `walk(address)` reads the tables."""

    def __init__(self, rows: dict[str, int], load: Callable[[int, int], int], walk: Callable[[int], Walk]) -> None:
        self.rows, self.load, self.walk = rows, load, walk
        two_mib = Sets(rows["itlb_2m_entries"], rows["itlb_2m_ways"])
        ways = rows["itlb_2m_ways"]
        self.code = {SMALL: Sets(rows["itlb_entries"], rows["itlb_ways"]), LARGE: two_mib, HUGE: Sets(ways, ways)}
        self.data = {
            SMALL: Sets(rows["dtlb_entries"], rows["dtlb_ways"]),
            LARGE: Sets(rows["dtlb_2m_entries"], rows["dtlb_2m_ways"]),
            HUGE: Sets(rows["dtlb_1g_entries"], rows["dtlb_1g_entries"]),
        }
        # the second level's sets hold both sizes: a key is (page, size)
        self.second_sets = rows["stlb_entries"] // rows["stlb_ways"]
        self.second: dict[int, list[tuple[int, int, bool]]] = defaultdict(list)
        self.second_huge = Sets(rows["stlb_1g_entries"], rows["stlb_1g_ways"] if rows["stlb_1g_entries"] else 0)
        self.structures = [Sets(rows[name], rows[name]) for name in ("pde_cache", "pdpte_cache", "pml4e_cache")]
        self.front: dict[int, int] = {}
        self.walks = 0

    def second_hit(self, page: int) -> tuple[int, bool] | None:
        for bits in (SMALL, LARGE):
            entries = self.second[(page >> bits) % self.second_sets]
            for entry in entries:
                if entry[:2] == (page >> bits, bits):
                    entries.remove(entry)
                    entries.insert(0, entry)
                    return bits, entry[2]
        if self.second_huge.touch(page >> HUGE):
            return HUGE, self.second_huge.is_global[page >> HUGE]
        return None

    def second_fill(self, page: int, bits: int, is_global: bool) -> None:
        if bits == HUGE:
            self.second_huge.add(page >> HUGE, is_global)
            return
        entries = self.second[(page >> bits) % self.second_sets]
        del entries[self.rows["stlb_ways"] - 1 :]
        entries.insert(0, (page >> bits, bits, is_global))

    def walk_cycles(self, page: int, walk: Walk, now: int) -> int:
        cycles, first, n = self.rows["walk_start"], 0, len(walk.entries)
        for i, cache in enumerate(self.structures):
            if 3 - i < n and cache.touch(page >> SMALL + LARGE * (i + 1)):
                first = 3 - i
                break
        for entry in walk.entries[first:]:
            cycles += self.load(entry, now + cycles)
        for i, cache in enumerate(self.structures):
            if first < 3 - i < n:
                cache.add(page >> LARGE * (i + 1), False)
        return cycles

    def translate(self, address: int, now: int, code: bool) -> int:
        """Cycles of a look-up."""
        page = (address & (1 << 48) - 1) >> PAGE_BITS
        first = self.code if code else self.data
        if any(first[bits].touch(page >> bits) for bits in (SMALL, LARGE, HUGE)):
            return 0
        cycles = self.rows["stlb_latency"]
        found = self.second_hit(page)
        if found is None:
            walk = self.walk(address)
            if not walk.entries:
                return 0
            self.walks += 1
            cycles += self.walk_cycles(page, walk, now + cycles)
            found = walk.bits, walk.is_global
            self.second_fill(page, *found)
        bits, is_global = found
        gone = first[bits].add(page >> bits, is_global)
        if gone is not None and not code:
            self.front = {slot: p for slot, p in self.front.items() if p >> bits != gone}
        return cycles

    def data_cycles(self, address: int, now: int) -> int:
        """A load or store: repeated look-ups of a slot's last page go unseen."""
        page = (address & (1 << 48) - 1) >> PAGE_BITS
        if self.front.get(page % FRONT) == page:
            return 0
        return self.look_up(address, now)

    def look_up(self, address: int, now: int) -> int:
        """The second page of an access that crosses."""
        page = (address & (1 << 48) - 1) >> PAGE_BITS
        cycles = self.translate(address, now, code=False)
        self.front[page % FRONT] = page
        return cycles

    def flush(self, everything: bool) -> None:
        for level in (*self.data.values(), *self.code.values(), self.second_huge):
            level.flush(everything)
        for entries in self.second.values():
            entries[:] = [] if everything else [entry for entry in entries if entry[2]]
        self.forget()

    def forget(self) -> None:
        for cache in self.structures:
            cache.flush(everything=True)
        self.front.clear()

    def drop(self, address: int) -> None:
        """INVLPG."""
        page = (address & (1 << 48) - 1) >> PAGE_BITS
        for bits in (SMALL, LARGE, HUGE):
            self.data[bits].drop(page >> bits)
            self.code[bits].drop(page >> bits)
        for bits in (SMALL, LARGE):
            entries = self.second[(page >> bits) % self.second_sets]
            entries[:] = [entry for entry in entries if entry[:2] != (page >> bits, bits)]
        self.second_huge.drop(page >> HUGE)
        self.forget()
