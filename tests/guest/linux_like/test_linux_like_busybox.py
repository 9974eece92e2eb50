# SPDX-License-Identifier: GPL-2.0-or-later
"""linux_like beside this host's Linux: the same busybox binary, the same scripts (busybox/), one boot for all of them.

Scripts run in an empty directory of their own. What those in `same` print is the same, byte for byte; those in `like`, after a rule
of RULES; of those in `subset`, linux_like names nothing that Linux does not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cyclescope.config import Hardware
from cyclescope.experiments.run import run_guest
from emu.loader.boot import BootModule, BootSpec
from personalities.linux.cpio import Entry, archive
from personalities.linux_like.personality import LinuxLike
from tests.guest.linux_like.ninep_frames import answers, conversation

BUSYBOX = shutil.which("busybox")
pytestmark = pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed (Debian: busybox-static)")
SCRIPTS = Path(__file__).parent / "busybox"
DRIVER = """
export PATH=/bin NINEP=/ninep REQUESTS=/requests
for script in /scripts/*; do
    name=${script##*/}
    mkdir -p /here/$name /out
    cd /here/$name
    timeout 5 sh $script > /out/$name 2>&1 < /dev/null
    echo "<<< $name $?"
    cat /out/$name
    echo ">>>"
done
"""
Outcome = tuple[str, int]


def shape(text: str) -> str:
    """Numbers, and the blanks that line them up, differ from machine to machine."""
    return re.sub(
        r"[ \t]+", " ", re.sub(r"^ *|\d+(\.\d+)?", lambda m: "N" if m[0].strip() else "", text, flags=re.MULTILINE)
    )


def keys(text: str) -> str:
    return "\n".join(line.split(":")[0].strip() for line in text.splitlines())


def conversation_rule(text: str) -> str:
    """9P: what linux_like's and Linux's answers must have in common; behind them, what lies in the files then."""
    octets = re.match(r"(?: [0-9a-f]{2}| *\n)+", text)
    assert octets
    return "\n".join(answers(bytes.fromhex(octets[0]))) + text[octets.end() :]


RULES: dict[str, Callable[[str], str]] = {
    "long_listing": lambda text: re.sub(
        r" +\d+ +\d+ +\d+ \w+ +\d+ [\d:]+ ", " ", text
    ),  # owner, a directory's size, date
    "inode_numbers": shape,
    "ps": shape,
    "top": str,
    "uptime": shape,
    "free": str,
    "df": str,
    "cpu_lines": lambda text: text.splitlines()[-1],  # how many processors there are
    "ninep": conversation_rule,
    "mounts": lambda text: " ".join(text.split()[:5]),  # options
    "uname": str,
    "maps": lambda text: re.sub(r"[0-9a-f]{2}:[0-9a-f]{2}.*", "", text),  # on which device
    "cpu_times": shape,
    "status": keys,
    "meminfo": keys,
    "cpuinfo": keys,
    "stat": lambda text: re.sub(r"cpu\d+", "cpuN", "\n".join(line.split()[0] for line in text.splitlines())),
    "process_files": str,
    "system_files": str,
    "snmp": str,
}


def scripts(kind: str = "*") -> list[Path]:
    found = sorted(SCRIPTS.glob(f"{kind}/*.sh"))
    assert found
    return found


def applets() -> list[str]:
    assert BUSYBOX
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    return [name for name in listed if name != "busybox"]


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    assert BUSYBOX
    entries = {"bin/busybox": Entry.program(Path(BUSYBOX).read_bytes()), "driver": Entry(DRIVER.encode())}
    entries |= {f"bin/{name}": Entry.link("busybox") for name in applets()}
    entries |= {f"scripts/{script.name}": Entry(script.read_bytes()) for script in scripts()}
    entries |= {
        "ninep": Entry.program(LinuxLike().find("ninep", "programs").read_bytes()),
        "requests": Entry(conversation()),
    }
    root = tmp_path_factory.mktemp("busybox") / "root.cpio"
    root.write_bytes(archive(entries))
    image, words = LinuxLike().find("linux_like.elf"), "init=/bin/busybox epoch=1700000000 -- sh /driver"
    console = bytearray()
    result = run_guest(
        BootSpec(image, words, modules=(BootModule(root, "root"),)), Hardware(cpus=2), limit_s=120,
        console=lambda data, time_ps: console.extend(data),
    )  # fmt: skip
    text = console.decode().replace("\r\n", "\n")
    assert result.exit_code == 0, text[-2000:]
    return {m[1]: (m[3], int(m[2])) for m in re.finditer(r"<<< (\S+) (\d+)\n(.*?)>>>\n", text, re.DOTALL)}


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    assert BUSYBOX
    root = tmp_path_factory.mktemp("host")
    (root / "bin").mkdir()
    for name in applets():
        (root / "bin" / name).symlink_to(BUSYBOX)
    (root / "requests").write_bytes(conversation())
    environment = {"PATH": str(root / "bin"), "HOME": "/", "TERM": "vt100", "REQUESTS": str(root / "requests")}
    environment["NINEP"] = str(LinuxLike().find("ninep", "programs"))
    found = {}
    for script in scripts():
        folder, out = root / "work" / script.name, root / f"{script.name}.out"
        folder.mkdir(parents=True)
        with out.open("wb") as stream:
            status = subprocess.run(
                [root / "bin/sh", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                env=environment, start_new_session=True, timeout=60, check=False,
            ).returncode  # fmt: skip
        found[script.name] = (out.read_text(), status)
    return found


def outcome(run: dict[str, Outcome], script: Path) -> Outcome:
    """A shell names the script in what it complains of: not where it lies."""
    text, status = run[script.name]
    return re.sub(rf"\S*/({re.escape(script.name)}: )", r"\1", text), status


@pytest.mark.parametrize("script", scripts("same"), ids=lambda script: script.stem)
def test_the_same_bytes(inside: dict[str, Outcome], outside: dict[str, Outcome], script: Path) -> None:
    assert outcome(inside, script) == outcome(outside, script)


@pytest.mark.parametrize("script", scripts("like"), ids=lambda script: script.stem)
def test_the_same_by_a_rule(inside: dict[str, Outcome], outside: dict[str, Outcome], script: Path) -> None:
    rule = RULES[script.stem]
    (ours, status), (linux, linux_status) = outcome(inside, script), outcome(outside, script)
    assert rule(ours)
    assert (rule(ours), status) == (rule(linux), linux_status)


@pytest.mark.parametrize("script", scripts("subset"), ids=lambda script: script.stem)
def test_nothing_that_linux_does_not_have(
    inside: dict[str, Outcome], outside: dict[str, Outcome], script: Path
) -> None:
    rule = RULES[script.stem]
    own, known = (set(rule(outcome(run, script)[0]).splitlines()) for run in (inside, outside))
    assert own
    assert not own - known
