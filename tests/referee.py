# SPDX-License-Identifier: GPL-2.0-or-later
"""Recomputes requests' parts from the raw trace, in plain Python, as an independent reading of docs/guest-contract.md.

It shares no code with emu/ledger or emu/core: it reads the ELF and the manifest itself, keeps each request's life as a list of
intervals, and knows ownership as "which frames point at the request", where the core has claim numbers.
"""

import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path

from elftools.elf.elffile import ELFFile

BLOCK, PROBE, INTERRUPT, IRET, OPEN, MARK, WAIT, CLOSE, TAG, TAKE, IDLE, EXCEPTION, JOIN = range(13)
COMPONENTS = [
    "app", "syscall", "irq", "driver", "netdev", "ip", "udp", "tcp", "socket", "skb", "mm", "copy", "sched",
    "lock", "timer", "vfs", "idle", "boot", "event", "ebb", "client", "wire", "switch", "serialization", "nic",
    "dma", "irq_delivery", "unknown",
]  # fmt: skip
REASONS = [
    "link", "switch", "ring", "moderation", "nic", "socket", "runqueue", "lock", "preempted", "poll", "thread",
    "unattributed", "irq", "idle_exit", "retransmission",
]  # fmt: skip
MAX_LEVELS = 16
EPOCHS = count(1)


@dataclass
class Rules:
    """A machine's symbols (kernel, program), as (starts, ends, component, kind), and its probes by id."""

    tables: tuple[list[tuple[int, int, str, str]], list[tuple[int, int, str, str]]]
    probes: list[dict]
    default: str = "app"
    components: list[str] = field(default_factory=lambda: list(COMPONENTS))
    reasons: list[str] = field(default_factory=lambda: list(REASONS))

    def part(self, user: int, va: int) -> tuple[str, str]:
        """(component, "" | "spin" | "idle") of the code at va."""
        table = self.tables[user]
        i = bisect_right(table, (va, 1 << 65, "", "")) - 1
        if i >= 0 and table[i][0] <= va < table[i][1]:
            return table[i][2], table[i][3]
        return (self.default if user else "unknown"), ""


def rules_of(manifest: Path, image: Path, program: Path | None = None) -> Rules:
    """Reads manifest and images by itself. Functions of these images are taken to be disjoint or aliases."""
    text = tomllib.loads(manifest.read_text())
    special = text.get("symbols", {})

    def table(path: Path | None, patterns: dict, default: str) -> list[tuple[int, int, str, str]]:
        found: dict[int, tuple[int, int, str, str]] = {}
        if path is None:
            return []
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            section = elf.get_section_by_name(".symtab")
            symbols = [s for s in section.iter_symbols() if s.name] if section else []
            for bind in ("STB_LOCAL", "STB_WEAK", "STB_GLOBAL"):
                for s in sorted(symbols, key=lambda s: s.name, reverse=True):
                    if s["st_info"]["bind"] != bind or s["st_info"]["type"] != "STT_FUNC" or not s["st_size"]:
                        continue
                    name = s.name.split(".")[0] if not s.name.startswith(".") else s.name
                    component = next(
                        (c for c, ps in patterns.items() if any(fnmatchcase(name, p) for p in ps)), default
                    )
                    kinds = [k for k in ("idle", "spin") if any(fnmatchcase(name, p) for p in special.get(k, []))]
                    found[s["st_value"]] = (
                        s["st_value"], s["st_value"] + s["st_size"], component, kinds[0] if kinds else "",
                    )  # fmt: skip
        return sorted(found.values())

    program_rules = text.get("program", {})
    default = program_rules.get("default", "app")
    extra = text.get("taxonomy", {})
    return Rules(
        (
            table(image, text.get("components", {}), "unknown"),
            table(program, program_rules.get("components", {}), default),
        ),
        text.get("probe", []),
        default,
        COMPONENTS + [c for c in extra.get("components", []) if c not in COMPONENTS],
        REASONS + [r for r in extra.get("reasons", []) if r not in REASONS],
    )


@dataclass(eq=False)
class Request:
    token: int
    start: int
    frontier: int
    here: list[int]  # the acting machine; -1: none's
    life: list[tuple[int, str, int]] = field(default_factory=list)  # (until, part, place)
    on: "Vcpu | None" = None
    waits: str = "unattributed"
    place: int = -1  # where it waits
    home: str = "unattributed"
    queue: str = ""  # the queue behind a wait for the run queue of the thread woken for it
    waker: "Thread | None" = None
    frames: list["Frame"] = field(default_factory=list)
    epoch: int = 0
    lead: "Request | None" = None
    company: list["Request"] = field(default_factory=list)

    def charge(self, part: str, until: int, place: int) -> None:
        for each in (self, *self.company):
            if until > each.frontier:
                each.life.append((until, part, place))
                each.frontier = until

    def join(self, lead: "Request", now: int) -> None:
        lead = lead.lead or lead
        if lead is self or self.lead is lead:
            return
        self.leave("unattributed", now)
        self.unwake()
        lead.company += [self, *self.company]
        self.company = []
        for each in lead.company:
            each.lead = lead

    def depart(self) -> None:
        if self.lead:
            self.waits = "unattributed" if self.lead.on else self.lead.waits
            self.home = self.lead.home
            self.place = self.lead.on.machine if self.lead.on else self.lead.place
            self.lead.company.remove(self)
            self.lead = None

    def split(self) -> "Request":
        first, *others = self.company
        first.depart()
        self.company, first.company = [], others
        for each in others:
            each.lead = first
        return first

    def bequeath(self, on: "Vcpu | None") -> "Request":
        heir = self.split()
        heir.waits, heir.home, heir.queue, heir.waker, heir.epoch = self.waits, self.home, self.queue, self.waker, self.epoch
        heir.frames, heir.on, heir.place = self.frames, on, self.place
        for frame in heir.frames:
            frame.request = heir
        if heir.waker:
            heir.waker.woken_for = heir
        if on:
            on.current = heir
        self.frames, self.waker = [], None
        return heir

    def stop(self, now: int) -> None:
        self.depart()
        if self.on:
            self.charge("wait.unattributed", now, self.on.machine)
        else:
            self.charge(f"wait.{self.waits}", now, self.place)
        if self.on:
            self.on.current = None
        self.on = None

    def wait(self, reason: str, now: int) -> None:
        self.stop(now)
        self.waits, self.place = reason, self.here[0]

    def run(self, vcpu: "Vcpu", now: int) -> None:
        self.stop(now)
        self.on = vcpu
        vcpu.current = self

    def disown(self) -> None:
        for frame in self.frames:
            frame.request = None
        self.frames = []
        self.epoch = next(EPOCHS)

    def leave(self, reason: str, now: int) -> None:
        self.wait(reason, now)
        self.disown()

    def unwake(self) -> None:
        if self.waker:
            self.waker.woken_for = None
        self.waker, self.queue = None, ""

    def parts(self, end: int) -> dict[tuple[int, str], int]:
        total: dict[tuple[int, str], int] = {}
        at = self.start
        for until, part, place in self.life:
            n = min(until, end) - min(at, end)
            if n:
                total[place, part] = total.get((place, part), 0) + n
            at = until
        return total


@dataclass(eq=False)
class Frame:
    request: Request | None = None
    last: int = 0
    sent: int = 0


@dataclass(eq=False)
class Thread:
    key: int
    frames: list[Frame] = field(default_factory=lambda: [Frame()])
    overflow: int = 0
    pending: str = ""
    woken: bool = False
    on: "Vcpu | None" = None
    woken_for: Request | None = None

    def forget(self) -> None:
        if self.woken_for:
            self.woken_for.unwake()
        self.frames, self.overflow, self.pending = [Frame()], 0, ""


class Vcpu:
    def __init__(self, machine: int) -> None:
        self.machine = machine
        self.own = Thread(-1)
        self.own.on = self
        self.thread = self.own
        self.current: Request | None = None
        self.released: tuple[int, int] | None = None


class Referee:
    """Feed it events in order; `closed` maps tokens to (start, end, parts by machine and name; machine -1: between them)."""

    def __init__(self, rules: list[Rules]) -> None:
        self.rules = rules
        self.requests: dict[int, Request] = {}
        self.heirs: dict[int, Request] = {}
        self.tags: dict[tuple[int, int], Request] = {}
        self.vcpus: dict[tuple[int, int], Vcpu] = {}
        self.threads: dict[tuple[int, int], Thread] = {}
        self.closed: dict[int, tuple[int, int, dict[tuple[int, str], int]]] = {}
        self.here = [0]
        self.notes: dict[tuple[int, int, int], int] = {}

    def find(self, token: int) -> Request | None:
        return self.requests.get(token) or self.heirs.get(token)

    def join(self, r: Request, lead: Request, now: int) -> None:
        """Its buffers are done with, unless the two go together already."""
        if r is not (lead.lead or lead) and r.lead is not (lead.lead or lead):
            self.tags = {where: tagged for where, tagged in self.tags.items() if tagged is not r}
        r.join(lead, now)

    def feed(self, events) -> None:
        for event in events.tolist():
            self.event(*event)

    def event(self, kind: int, m: int, cpu: int, user: int, ident: int, start: int, end: int, a: int, b: int) -> None:
        v = self.vcpus.get((m, cpu))
        if v is None:
            v = self.vcpus[m, cpu] = Vcpu(m)
        rules = self.rules[m]
        self.here[0] = b - 1 if kind in (MARK, WAIT) else m
        r = self.find(a)
        if kind == BLOCK:
            self.block(rules, v, user, start, end, a)
        elif kind == PROBE:
            self.probe(m, v, rules.probes[ident], ident, start, bool(end), a, b)
        elif kind == INTERRUPT:
            self.interrupt(v, self.find(b), start)
        elif kind == EXCEPTION:
            self.push(v, Frame(v.thread.frames[-1].request, v.thread.frames[-1].last, v.thread.frames[-1].sent))
        elif kind == IRET:
            self.iret(v, bool(a), start)
        elif kind == IDLE and v.current:
            v.current.leave("unattributed", start)
        elif kind == OPEN:
            self.requests[a] = Request(a, start, start, self.here)
        elif kind == JOIN and r and (lead := self.find(b)):
            self.join(r, lead, end)
        elif kind == MARK and r:
            r.depart()
            names = rules.components
            r.charge(f"run.{names[ident]}" if ident < 64 else f"wait.{rules.reasons[ident - 64]}", end, b - 1)
        elif kind == WAIT and r:
            r.leave(rules.reasons[ident], end)
            r.unwake()
        elif kind == CLOSE and r:
            on = r.on
            r.stop(end)
            heir = r.bequeath(on) if r.company else None
            r.disown()
            r.unwake()
            self.closed[a] = (r.start, end, r.parts(end))
            del self.requests[a]
            self.heirs = {token: heir if of is r else of for token, of in (*self.heirs.items(), (a, r)) if heir or of is not r}
            self.tags = {where: heir if tagged is r else tagged for where, tagged in self.tags.items() if heir or tagged is not r}
        elif kind == TAG:
            self.put(ident, a, self.find(b))
        elif kind == TAKE:
            self.put(ident, a, None)

    def put(self, machine: int, gpa: int, request: Request | None) -> None:
        self.tags.pop((machine, gpa), None)
        if request:
            self.tags[machine, gpa] = request

    def block(self, rules: Rules, v: Vcpu, user: int, start: int, end: int, va: int) -> None:
        if not v.current:
            return
        component, special = rules.part(user, va)
        if special == "idle":
            v.current.leave("unattributed", start)
        else:
            v.current.charge("wait.lock" if special == "spin" else f"run.{component}", end, v.machine)

    # ---- levels

    def push(self, v: Vcpu, frame: Frame) -> bool:
        t = v.thread
        if len(t.frames) == MAX_LEVELS:
            t.overflow += 1
            return False
        t.frames.append(frame)
        if frame.request:
            frame.request.frames.append(frame)
        return True

    def interrupt(self, v: Vcpu, r: Request | None, now: int) -> None:
        v.released = None
        frame = Frame()
        if not self.push(v, frame):
            return
        if v.current:
            v.current.wait("preempted", now)
        if r and not r.on and not r.lead and r.waits in ("ring", "moderation", "irq"):
            r.home = r.waits
            self.own(v, frame, r, now)
            frame.last = 0

    def enter(self, v: Vcpu, now: int) -> None:
        v.released = None
        r, frame, untaken = v.current, Frame(), not v.thread.frames[-1].last and len(v.thread.frames) > 1
        if self.push(v, frame) and r:
            if untaken:
                self.own(v, frame, r, now)
                frame.last = 0
            else:
                r.wait("preempted", now)

    def iret(self, v: Vcpu, to_user: bool, now: int) -> None:
        t = v.thread
        v.released = None
        if to_user:
            t.overflow = 0
        while True:
            if t.overflow:
                t.overflow -= 1
            elif len(t.frames) > 1:
                gone, below = t.frames.pop(), t.frames[-1].request
                if v.current and v.current is not below:
                    v.current.leave(v.current.home, now)
                if gone.request:
                    gone.request.frames.remove(gone)
                if below and not below.on:
                    below.run(v, now)
            if not to_user or len(t.frames) == 1:
                return

    def own(self, v: Vcpu, frame: Frame, r: Request, now: int) -> None:
        if frame.request:
            frame.request.frames.remove(frame)
        r.disown()
        frame.request, frame.last = r, r.token
        r.frames = [frame]
        r.run(v, now)

    # ---- probes

    def probe(self, m: int, v: Vcpu, rule: dict, ident: int, now: int, known: bool, key: int, to: int) -> None:
        do = rule["do"]
        frame = v.thread.frames[-1]
        if do == "bind":
            self.bind(v, self.tags.get((m, key)) if known else None, now)
        elif do == "resume":
            if known and (r := self.tags.get((m, key))):
                self.bind(v, r, now)
        elif do == "tag" and known:
            self.put(m, key, self.following(v))
        elif do == "move" and known and key != to:
            moved = self.tags.get((m, key))
            self.put(m, to, moved)
            self.put(m, key, None)
        elif do in ("release", "handoff"):
            if do == "handoff" and known:
                self.put(m, key, self.following(v))
            self.release(v, rule["reason"], now)
        elif do == "wait":
            v.thread.pending = rule["reason"]
        elif do == "wake" and known:
            self.wake(m, v, key, now)
        elif do == "switch" and known:
            self.switch(m, v, key, to, now)
        elif do == "clear":
            v.thread.pending, v.released = "", None
            if v.current and frame.last and frame.sent:
                v.thread.pending = "socket"
            elif v.current and frame.last:
                v.current.leave("unattributed", now)
            if not v.current:
                self.empty(frame)
        elif do == "enter":
            self.enter(v, now)
        elif do == "leave":
            self.iret(v, False, now)
        elif do == "gather" and known:
            r = self.tags.get((m, key))
            if r and v.current and r is not v.current and frame.last:
                v.thread.pending = ""
                self.join(r, v.current, now)
            elif r:
                self.bind(v, r, now)
        elif do == "part":
            r = self.tags.get((m, key)) if known else None
            for below in v.thread.frames[:-1]:
                if r and below.request is r and r.company:
                    rest = r.split()
                    self.empty(below)
                    rest.disown()
                    below.request, below.last, below.sent = rest, rest.token, r.token
                    rest.frames = [below]
            self.bind(v, r, now)
        elif do == "sent" and known:
            r, queued = v.current, self.tags.get((m, key))
            if r and queued and queued.token != frame.sent:
                rest = r.split() if r.company else None
                if r in (queued, queued.lead):
                    r.leave(rule["reason"], now)
                else:
                    self.join(r, queued, now)
                if rest:
                    self.own(v, frame, rest, now)
                    frame.sent = r.token
        elif do == "merge" and known and key != to:
            r, lead = self.tags.get((m, key)), self.tags.get((m, to))
            if r:
                self.put(m, key, None)
                if lead:
                    self.join(r, lead, now)
                else:
                    self.put(m, to, r)
        elif do == "share" and known and key != to:
            self.put(m, to, self.tags.get((m, key)))
        elif do == "waited" and known:
            r = self.tags.get((m, key))
            r = r.lead or r if r else None
            if r and not r.on:
                r.waits = rule["reason"]
        elif do == "note" and known:
            self.notes[m, ident, key] = self.notes.get((m, ident, key), 0) + 1

    def empty(self, frame: Frame) -> None:
        if frame.request:
            frame.request.frames.remove(frame)
        frame.request, frame.last, frame.sent = None, 0, 0

    def following(self, v: Vcpu) -> Request | None:
        return v.current or self.find(v.thread.frames[-1].last)

    def bind(self, v: Vcpu, r: Request | None, now: int) -> None:
        t = v.thread
        frame = t.frames[-1]
        v.released, t.pending = None, ""
        frame.last = r.token if r else 0
        if r and r is v.current:
            return
        frame.sent = 0
        if v.current:
            v.current.leave(v.current.home, now)
        if r:
            r.depart()
            if r.queue:
                r.home = r.queue
            elif not r.on and r.waits not in ("preempted", "runqueue"):
                r.home = r.waits
            r.unwake()
        self.unwoken(t, now)
        if r:
            self.own(v, frame, r, now)
        else:
            self.empty(frame)

    def release(self, v: Vcpu, reason: str, now: int) -> None:
        r = v.current
        if not r:
            return
        queue = reason in ("socket", "thread")
        if not queue:
            r.unwake()
        r.leave("runqueue" if r.waker else reason, now)
        if r.waker:
            r.queue = reason
        v.released = (r.token, r.epoch) if queue else None

    # ---- threads

    def thread(self, m: int, key: int) -> Thread:
        return self.threads.setdefault((m, key), Thread(key))

    def unwoken(self, t: Thread, now: int) -> None:
        r = t.woken_for
        if r:
            if not r.on and r.queue:
                r.wait(r.queue, now)
            r.unwake()

    def wake(self, m: int, v: Vcpu, key: int, now: int) -> None:
        t = self.thread(m, key)
        if t.on or t.woken:
            return
        t.woken = True
        mine = [frame.request for frame in t.frames if frame.request and not frame.request.on]
        for r in mine:
            if r.waits != "runqueue":
                r.wait("runqueue", now)
        if mine or t.woken_for:
            return
        r = v.current
        if r is None:
            r = self.find(v.released[0]) if v.released else None
            if r is None or v.released is None or r.epoch != v.released[1] or r.on or r.waker:
                return
            r.queue = r.waits
            r.wait("runqueue", now)
        elif r.waker:
            return
        r.waker, t.woken_for = t, r

    def switch(self, m: int, v: Vcpu, previous: int, following: int, now: int) -> None:
        v.released = None
        out = v.thread
        if out is v.own or out.key != previous:
            saved = self.thread(m, previous)
            if not saved.on:
                saved.forget()
                saved.frames, saved.overflow, saved.pending = out.frames, out.overflow, out.pending
                out.frames = []
                out.forget()
                out.on = None
                out = saved
        for frame in out.frames:
            if frame.request:
                frame.request.wait(out.pending or "runqueue", now)
        self.unwoken(out, now)
        out.pending, out.woken, out.on = "", False, None
        t = self.thread(m, following)
        if t.on:
            t = v.own
            t.forget()
        v.thread, t.on, t.woken = t, v, False
        for frame in t.frames[:-1]:
            if frame.request:
                frame.request.wait("preempted", now)
        top, woken = t.frames[-1], t.woken_for
        had = top.request
        if had:
            had.run(v, now)
        if not woken:
            return
        if had is None and len(t.frames) == 1 and not woken.on and woken.queue:
            woken.home = woken.queue
            woken.unwake()
            self.own(v, top, woken, now)
            top.last = 0
        elif had or len(t.frames) > 1:
            self.unwoken(t, now)
