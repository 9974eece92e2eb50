# SPDX-License-Identifier: GPL-2.0-or-later
"""CPython on unmodified Linux has a matrix of a million by a million, on library OSes that are powered on as it is touched.

    cyclescope linux fetch
    python examples/matrix/interpreter.py [--timing functional]

The cluster is million.toml's with another front end: Linux, and in it this host's python3 with matrix.py and session.py.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.follow import Followed, follow_cluster
from cyclescope.cluster.spec import Cluster
from emu.errors import CyclescopeError
from personalities.base import get_personality
from personalities.linux.python import python_files

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "apps" / "matrix" / "matrix.py"


def interpreter_cluster(timing: str, keep: Path) -> Cluster:
    """The cluster; `keep` is a folder that lasts as long as it is used. Raises ConfigError."""
    python = Path(shutil.which("python3", path="/usr/bin:/usr/local/bin") or "/usr/bin/python3").resolve()
    files = python_files(python, ["os", "struct"], [LIBRARY, HERE / "session.py"], keep=keep)
    files["/bin/hosted_matrix"] = get_personality("linux").find("hosted_matrix", "programs")
    cluster = read_cluster(HERE / "million.toml")
    front = cluster.nodes[0]
    words = [word.replace("log=2", "log=1") for word in (front.arguments or ()) if word.partition("=")[1]]
    front = msgspec.structs.replace(
        front, personality="linux", runs=str(python), arguments=("-S", "-E", "/python/session.py", *words), memory_mib=256,
        files={guest: str(path) for guest, path in files.items()}, ready="udp 5650",
    )  # fmt: skip
    return msgspec.structs.replace(cluster, name="interpreter", nodes=(front,), timing=timing)


def run(timing: str = "fast") -> Followed:
    """The whole session."""
    with tempfile.TemporaryDirectory() as keep:
        return follow_cluster(interpreter_cluster(timing, Path(keep)), "front", "matrix: ", "python3", 3_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--timing", default="fast", help="functional, fast or detailed")
    try:
        followed = run(parser.parse_args().timing)
    except CyclescopeError as error:
        print(error, file=sys.stderr)
        return 2
    for time_ps, _, line in followed.console:
        print(f"{time_ps / 1e9:10.3f} ms  {line}")
    return 0 if followed.ended else 1


if __name__ == "__main__":
    sys.exit(main())
