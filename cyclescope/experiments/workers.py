# SPDX-License-Identifier: GPL-2.0-or-later
"""Many independent runs, over the host's processors. Results come in the order of the tasks, whatever order they end in.

Each task is a function of its argument alone, so the number of processes is a matter of speed. The first task to fail, in that
same order, gives the error: after a failure no further task starts, and those under way are waited for.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from cyclescope.experiments.phases import Progress, no_progress
from emu.errors import ConfigError, EmuBug

A = TypeVar("A")
R = TypeVar("R")
Task = Callable[[A, Progress], R]

MAX_JOBS = 256


def host_processors() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0))


def run_all(task: Task[A, R], arguments: Sequence[A], label: str, jobs: int = 1, progress: Progress = no_progress) -> list[R]:
    """`task` of each argument, in up to `jobs` processes; 1 is this one.

    With more, `task` is a module's function, and arguments and results can be pickled.

    Raises:
        ConfigError: `jobs` out of range.
        EmuBug: a process of ours ended without a word.
        Exception: what the first failing task raised.
    """
    if not 1 <= jobs <= MAX_JOBS:
        raise ConfigError(f"--jobs is {jobs}: give 1 to {MAX_JOBS} processes")
    jobs = min(jobs, len(arguments))
    if jobs > 1:
        return _Pool(task, arguments, label, progress).run(jobs)
    results = []
    for number, argument in enumerate(arguments):
        progress(label, number, len(arguments))
        results.append(task(argument, _within(label, number, len(arguments), progress)))
    return results


def _within(label: str, done: int, total: int, progress: Progress) -> Progress:
    def report(what: str, part: int, of: int) -> None:
        progress(f"{label}: {what}", done, total)

    return report


class _Pool:
    """One call of run_all over several processes."""

    def __init__(self, task: Task[Any, Any], arguments: Sequence[Any], label: str, progress: Progress) -> None:
        self.task, self.arguments, self.label, self.progress = task, arguments, label, progress
        self.results: dict[int, Any] = {}
        self.failures: dict[int, BaseException] = {}
        self.next = 0
        self.workers: dict[Connection, BaseProcess] = {}
        self.under_way: dict[Connection, int] = {}

    def run(self, jobs: int) -> list[Any]:
        context = multiprocessing.get_context("spawn")  # a fork would inherit the libraries' state
        try:
            for _ in range(jobs):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, self.task), daemon=True)
                process.start()
                theirs.close()
                self.workers[ours] = process
                self._give(ours)
            while self.under_way:
                self.progress(self.label, len(self.results), len(self.arguments))
                for ready in wait(list(self.under_way)):
                    assert isinstance(ready, Connection)
                    self._take(ready)
        finally:
            for worker in self.workers.values():
                worker.terminate()
            for connection, worker in self.workers.items():
                worker.join()
                connection.close()
        if self.failures:
            raise self.failures[min(self.failures)]
        return [self.results[number] for number in range(len(self.arguments))]

    def _give(self, connection: Connection) -> None:
        if self.next < len(self.arguments) and not self.failures:
            connection.send(self.arguments[self.next])
            self.under_way[connection] = self.next
            self.next += 1

    def _take(self, connection: Connection) -> None:
        number = self.under_way.pop(connection)
        try:
            ended, value = connection.recv()
        except EOFError:
            process = self.workers[connection]
            process.join()
            self.failures[number] = EmuBug(f"{self.label}: a process ended with status {process.exitcode}; try --jobs 1")
            return
        if ended:
            self.results[number] = value
        else:
            self.failures[number] = value
        self._give(connection)


def _serve(connection: Connection, task: Task[Any, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is our parent's business; it ends us
    while True:
        try:
            argument = connection.recv()
        except EOFError:
            return
        try:
            answer: tuple[bool, Any] = True, task(argument, no_progress)
        except Exception as error:
            answer = False, error
        try:
            connection.send(answer)
        except BrokenPipeError:  # our parent was ended: nobody wants it
            return
