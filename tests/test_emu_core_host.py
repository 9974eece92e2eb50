# SPDX-License-Identifier: GPL-2.0-or-later
"""What of the host must not reach the guest: its clock, its other users of SIGSEGV;"
"and how the library refuses a stranger."""

import ctypes
import os
import struct
import subprocess
import sys
import time

import pytest

from emu.core import binding
from emu.core.binding import Level, Stop
from emu.errors import ConfigError, EmuBug
from tests.core_guest import AP_MAIN, MAIN, TABLES, Guest, Recorder
from tests.test_emu_core_smp import ARRIVE, START_APS, wait_for
from tests.test_emu_core_vcpu import EXIT, use_fast


class Sleeper(Recorder):
    """A device that takes host time, and no guest time."""

    def __init__(self, pause_s: float) -> None:
        super().__init__()
        self.pause_s = pause_s

    def pio_write(self, machine: int, vcpu: int, port: int, size: int, time_ps: int, value: int) -> None:
        time.sleep(self.pause_s)


def in_a_process_of_its_own(script: str) -> subprocess.CompletedProcess[str]:
    """Always with the installed library: the sanitizers' one does not load into a plain interpreter."""
    env = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "CYCLESCOPE_CORE_LIBRARY")}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=env)


def stale_read(pause_s: float, level: Level) -> int:
    """What a guest reads that changes a page-table entry and forgets INVLPG, after the host paused for a while.

    Unicorn sizes its software TLB by what was used of it lately, by the host's clock: with a clock that runs, the pause
    changes whether the old translation survives the 20 loads in between.
    """
    g = Guest(callbacks=Sleeper(pause_s))
    if level == Level.FAST:
        use_fast(g)
    for page in range(0x800000 >> 21, 0x2000000 >> 21):  # small pages for 8 to 32 MiB
        table = 0x3000000 + ((page - 4) << 12)
        g.put(table, b"".join(struct.pack("<Q", (page << 21) + (i << 12) | 7) for i in range(512)))
        g.put(TABLES + 0x2000 + 8 * page, struct.pack("<Q", table | 7))
    target = 0x1000000
    entry = 0x3000000 + (((target >> 21) - 4) << 12)
    g.put(target, b"\x11" * 8)
    g.put(0x1FF0000, b"\x22" * 8)
    flush = "mov rax, cr4; xor rax, 0x80; mov cr4, rax;"  # PGE; what CR3 flushes is kept (softtlb.c)
    touch = "mov rsi, 0x800000; mov ecx, 1800; t{n}: mov rax, [rsi]; add rsi, 4096; dec ecx; jnz t{n};" + flush
    g.code(
        MAIN,
        touch.format(n=1) + touch.format(n=2) + touch.format(n=3) + "out 0x70, al;"
        + flush + "mov r9d, 0x2000; mov rax, [r9];" + flush + "mov rax, [r9];" + flush
        + f"mov r8d, {target}; mov rbx, [r8]; mov rsi, 0x1040000; mov ecx, 20; h: mov rax, [rsi]; add rsi, 0x40000;"
            f"dec ecx; jnz h;"
        f"mov edi, {entry}; mov eax, {0x1FF0007}; mov [rdi], rax; mov r12, [r8]; mov al, 0;" + EXIT,
    )  # fmt: skip
    assert g.run().stop == Stop.EXIT
    value = g.regs()[12]
    g.close()
    return value


@pytest.mark.parametrize("level", [Level.FUNCTIONAL, Level.FAST])
def test_the_hosts_clock_does_not_reach_the_guest(level: Level) -> None:
    assert len({stale_read(pause_s, level) for pause_s in (0.0, 0.25, 0.0)}) == 1


def test_the_clock_would_matter_if_it_ran() -> None:
    """The case above means something: with plain Unicorn, in a process of its own, the same guest reads two values."""
    script = (
        "import tests.test_emu_core_host as t, emu.core.binding as b, ctypes, time\n"
        "b.library()\n"
        "run = t.running_clock()\n"
        "print(len({t.stale_read(p, b.Level.FUNCTIONAL) for p in (0.0, 0.25)}))\n"
    )
    done = in_a_process_of_its_own(script)
    assert done.stdout == "2\n", done.stderr


def running_clock() -> object:
    """Undo what cs_open did to libunicorn's gettimeofday slot (found by the address of our stand-in)."""
    import unicorn.unicorn_py3.unicorn as unicorn_binding

    libc = ctypes.CDLL(None)
    real = ctypes.cast(libc.gettimeofday, ctypes.c_void_p).value
    assert real is not None
    base, path = 0, unicorn_binding.uclib._name
    with open("/proc/self/maps") as maps:
        spans = [line.split() for line in maps if line.rstrip().endswith("libunicorn.so.2")]
    base = min(int(span[0].split("-")[0], 16) for span in spans)
    from elftools.elf.elffile import ELFFile

    with open(path, "rb") as file:
        elf = ELFFile(file)
        for section in ("rela.plt", "rela.dyn"):
            table = elf.get_section_by_name("." + section)
            for entry in table.iter_relocations():
                symbol = elf.get_section(table["sh_link"]).get_symbol(entry["r_info_sym"])
                if symbol.name == "gettimeofday":
                    ctypes.c_void_p.from_address(base + entry["r_offset"]).value = real
                    return real
    raise AssertionError("no gettimeofday slot")


def test_faults_that_are_not_ours_still_end_the_process() -> None:
    """The handler that sees stores to other vCPUs' code passes everything else on."""
    script = (
        "import faulthandler; faulthandler.enable()\n"
        "from tests.core_guest import Guest\n"
        "g = Guest(2)\n"
        "import ctypes; ctypes.string_at(8)\n"
    )
    done = in_a_process_of_its_own(script)
    assert done.returncode == -11
    assert "Segmentation fault" in done.stderr


def test_a_fault_handler_installed_later_does_not_lose_code_changes() -> None:
    """faulthandler.enable() after the core: the next machine takes the signal back."""
    script = (
        "from tests.core_guest import *\n"
        "from tests.test_emu_core_smp import *\n"
        "Guest(2).close()\n"
        "import faulthandler; faulthandler.enable()\n"
        "g = Guest(2)\n"
        "g.code(0x180000, 'mov eax, 0; ret')\n"
        "g.code(AP_MAIN, ARRIVE + 'mov r13d, 0x180000; l: call r13; mov [0x300014], eax; jmp l')\n"
        "g.code(MAIN, START_APS + wait_for('w', 0x300000, 1) + 'mov ecx, 9000; d: dec ecx; jnz d;"
        "mov dword ptr [0x180001], 7;'"
        " + wait_for('x', 0x300014, 7) + EXIT)\n"
        "print(g.run(10**10).stop.name)\n"
    )
    done = in_a_process_of_its_own(script)
    assert done.stdout == "EXIT\n", done.stderr


def test_a_library_without_our_symbols_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _, f, _ = binding.library()
    with pytest.raises(EmuBug, match=r"libc has no uc_version; install the versions pinned"):
        binding._addresses(f, 0, ctypes.CDLL(None), "libc")


def test_a_library_that_is_not_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLESCOPE_CORE_LIBRARY", "/nowhere/libcyclescope_core.so")
    with pytest.raises(ConfigError, match=r"/nowhere/libcyclescope_core\.so is missing"):
        binding._load()


def test_many_worlds_come_and_go() -> None:
    before = open_files()
    for _ in range(20):
        g = Guest(2)
        g.code(AP_MAIN, ARRIVE + "cli; hlt")
        g.code(MAIN, START_APS + wait_for("w", 0x300000, 1) + EXIT)
        assert g.run(10**10).stop == Stop.EXIT
        g.close()
    assert open_files() <= before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
