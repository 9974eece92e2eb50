# SPDX-License-Identifier: GPL-2.0-or-later
"""A personality in a package of its own, outside this tree, is found by its entry point and boots."""

import subprocess
import sys
from pathlib import Path

import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.run import run_guest
from emu.errors import ConfigError
from emu.loader.boot import BootSpec
from emu.machine import MachineConfig
from emu.outcome import outcome
from emu.world import World
from personalities.base import Personality, all_personalities, boot_words, get_personality, personality_names
from tests.images import assemble32, pvh_elf

SOURCE = '''
from pathlib import Path
from emu.loader.boot import BootSpec
from personalities.base import Personality, boot_words

class Hello(Personality):
    name, title, kind, folder = "hello", "Hello", "asymmetric", Path(__file__).resolve().parent

    def prepare(self, program="hello", arguments=(), *, keys=None):
        return BootSpec(self.find("hello.elf"), boot_words(keys or {}, [program, *arguments]), manifest=self.manifest_path)

PERSONALITY = Hello()
'''

PRINT_AND_EXIT = """
    mov esi, [ebx + 0x18]
next:
    mov al, [esi]
    test al, al
    jz done
    mov dx, 0x3f8
    out dx, al
    inc esi
    jmp next
done:
    mov al, 42
    out 0xf4, al
    hlt
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site directory with an installed package `hello_os`."""
    package = tmp_path / "hello_os"
    package.mkdir()
    (package / "__init__.py").write_text(SOURCE)
    (package / "hello.elf").write_bytes(pvh_elf(assemble32(PRINT_AND_EXIT)))
    (package / "manifest.toml").write_text("[components]\n")
    info = tmp_path / "hello_os-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hello-os\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[cyclescope.personalities]\nhello = hello_os:PERSONALITY\nbroken = no_such_module:X\nwrong = sys:path\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("hello_os", None)


def test_ours_are_there_and_come_first() -> None:
    assert personality_names()[:2] == ["linux_like", "libos"]
    assert [p.name for p in all_personalities()][:2] == ["linux_like", "libos"]


@pytest.mark.usefixtures("elsewhere")
def test_a_personality_outside_the_tree_boots() -> None:
    assert "hello" in personality_names()
    personality = get_personality("hello")
    with World() as world:
        machine = world.add_machine(MachineConfig(ram_bytes=64 << 20))
        machine.boot(personality.prepare(arguments=["-x"], keys={"ip": "10.0.2.15/24"}))
        ended = outcome(world, world.run())
    assert machine.console.tail == "ip=10.0.2.15/24 -- hello -x"
    assert ended.exit_code == 42


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody", "There is no personality 'nobody'; there are: linux_like, libos"),
        ("broken", r"Personality 'broken' \(no_such_module:X\) cannot be loaded"),
        ("wrong", "is a list, not a Personality"),
    ],
)
def test_a_personality_that_is_not_one_is_refused_in_a_sentence(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        get_personality(name)


def test_linux_like_refuses_what_is_no_static_program(tmp_path: Path) -> None:
    personality = get_personality("linux_like")
    with pytest.raises(ConfigError, match="is dynamically linked; link it with -static"):
        personality.prepare(sys.executable)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(ConfigError, match="is a script"):
        personality.prepare(script)


def test_words_with_spaces_are_refused() -> None:
    assert boot_words({"ip": "1.2.3.4/24"}, ["kvd", "-t", "4"]) == "ip=1.2.3.4/24 -- kvd -t 4"
    with pytest.raises(ConfigError, match="'a b' cannot stand on a kernel command line"):
        boot_words({}, ["a b"])


def test_words_with_spaces_are_quoted_where_the_kernel_takes_quotes() -> None:
    assert boot_words({}, ["sh", "-c", "echo a b", ""], quotes=True) == ' -- sh -c "echo a b" ""'.strip()
    for word in ('a"b', '"a', "a\nb"):
        with pytest.raises(ConfigError, match="cannot stand on a kernel command line"):
            boot_words({}, ["sh", word], quotes=True)
    with pytest.raises(ConfigError, match="cannot stand on a kernel command line"):
        boot_words({"ip": "1 2"}, [], quotes=True)


def test_a_program_gets_its_words_as_they_were_typed(tmp_path: Path) -> None:
    source = tmp_path / "words.c"
    source.write_text(
        "static long call(long n, long a, const void *b, long c)\n"
        "{ long r; __asm__ volatile(\"syscall\" : \"=a\"(r) : \"a\"(n), \"D\"(a), \"S\"(b), \"d\"(c)\n"
        " : \"rcx\", \"r11\", \"memory\"); return r; }\n"
        "__attribute__((used)) void start(long *sp)\n"
        "{ char **v = (char **)(sp + 1); for (long i = 1; i < *sp; i++) { long n = 0; while (v[i][n]) n++;\n"
        "  call(1, 1, \"<\", 1); call(1, 1, v[i], n); call(1, 1, \">\", 1); } call(231, *sp, 0, 0); }\n"
        "__asm__(\".globl _start\\n_start: mov %rsp, %rdi\\nand $-16, %rsp\\ncall start\\n\");\n"
    )
    program = tmp_path / "words"
    subprocess.run(["cc", "-O1", "-static", "-nostdlib", "-fno-stack-protector", "-o", program, source], check=True)
    console = bytearray()
    spec = get_personality("linux_like").prepare(program, ["one", "two words", "", "-x"])
    result = run_guest(spec, Hardware(cpus=1), console=lambda data, time_ps: console.extend(data))
    assert console.endswith(b"<one><two words><><-x>")
    assert result.exit_code == 5


def test_a_missing_image_names_the_remedy(tmp_path: Path) -> None:
    class Bare(Personality):
        name, title, kind, folder = "bare", "Bare", "symmetric", tmp_path / "a" / "b"

        def prepare(self, program="x", arguments=(), *, keys=None):  # type: ignore[no-untyped-def]
            return BootSpec(self.find("bare.elf"))

    with pytest.raises(ConfigError, match=r"bare: .*bare\.elf is not there; build the guest images with `make build`\."):
        Bare().prepare()
