# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether what several threads read and wrote could have happened in one order: a referee for shared memory.

Every value is written once, and it is known which write followed which: words have one writer, or are exchanged, which tells
the value before. So a history is sequentially consistent if and only if program order, reads-from, write order and from-reads
(a read comes before the write behind the one it saw) together have no cycle. For x86-TSO, a plain store and a later read of
the same thread are in no order, and a thread sees its own stores early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter


@dataclass(frozen=True)
class Operation:
    """What is `r`ead, `w`rite or e`x`change; `old`: what an exchange found."""

    thread: int
    number: int
    what: str
    word: int
    value: int
    old: int = 0


class Wrong(Exception):
    """No order explains it; the message says what does not fit."""


class Referee:
    """Of one history; the operations of each thread in its program order."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = sorted(operations, key=lambda each: (each.thread, each.number))
        self.threads: dict[int, list[Operation]] = defaultdict(list)
        for each in self.operations:
            self.threads[each.thread].append(each)
        self.writer = {(each.word, each.value): each for each in self.operations if each.what != "r"}
        self.next = self._write_order()

    def _write_order(self) -> dict[tuple[int, int], Operation]:
        """The write behind each value of each word; 0 is the first value."""
        behind: dict[tuple[int, int], Operation] = {}
        last: dict[int, int] = defaultdict(int)
        for each in self.operations:
            if each.what == "r":
                continue
            before = each.old if each.what == "x" else last[each.word]
            last[each.word] = each.value
            if (each.word, before) in behind:
                raise Wrong(f"two writes follow value {before} of word {each.word}: {behind[each.word, before]}, {each}")
            behind[each.word, before] = each
        return behind

    def _seen(self, each: Operation) -> int:
        return each.old if each.what == "x" else each.value

    def _of_memory(self, own_early: bool) -> Iterable[tuple[Operation, Operation]]:
        for each in self.operations:
            if each.what != "w":
                value = self._seen(each)
                source = self.writer.get((each.word, value))
                if source is None and value:
                    raise Wrong(f"{each} saw what nobody wrote")
                if source is not None and not (own_early and source.thread == each.thread and source.what == "w"):
                    yield source, each
                after = self.next.get((each.word, value))
                if after is not None and after is not each:
                    yield each, after
            if each.what != "r":
                after = self.next.get((each.word, each.value))
                if after is not None:
                    yield each, after

    def _program_order(self, tso: bool) -> Iterable[tuple[Operation, Operation]]:
        for operations in self.threads.values():
            following: dict[str, Operation] = {}
            for each in reversed(operations):
                kinds = "wx" if tso and each.what == "w" else "rwx"
                for kind in kinds:
                    if kind in following:
                        yield each, following[kind]
                following[each.what] = each

    def _of_one_word(self) -> Iterable[tuple[Operation, Operation]]:
        last: dict[tuple[int, int], Operation] = {}
        for each in self.operations:
            before = last.get((each.thread, each.word))
            if before is not None:
                yield before, each
            last[each.thread, each.word] = each

    @staticmethod
    def _acyclic(edges: Iterable[tuple[Operation, Operation]], what: str) -> None:
        graph: dict[Operation, set[Operation]] = defaultdict(set)
        for before, after in edges:
            graph[after].add(before)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            raise Wrong(f"not {what}: {error.args[1]}") from None

    def check(self, tso: bool = False) -> None:
        """Raises Wrong unless the history is sequentially consistent (or explained by x86-TSO)."""
        memory = list(self._of_memory(own_early=tso))
        self._acyclic([*self._program_order(tso), *memory], "x86-TSO" if tso else "sequentially consistent")
        self._acyclic([*self._of_one_word(), *self._of_memory(own_early=False)], "coherent")
