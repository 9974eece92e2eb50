# SPDX-License-Identifier: GPL-2.0-or-later
"""What a cluster needs of this computer, said before anything starts."""

from __future__ import annotations

from pathlib import Path

from cyclescope.cluster.spec import Cluster
from emu.errors import ConfigError

NODE_MIB = 64
"""Of a node beyond its guest's RAM: engine, translations, models of caches (bench/cluster.py measures it)."""
_MEMINFO = Path("/proc/meminfo")


def available_mib(meminfo: Path = _MEMINFO) -> int | None:
    """Memory that programs can have without swapping (Linux's MemAvailable), or None where it cannot be read."""
    try:
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) // 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None


def check_memory(cluster: Cluster, available: int | None) -> None:
    """Raises ConfigError when all nodes together, with every page of their RAM in use, need more than `available` MiB."""
    need = sum(node.memory_mib + NODE_MIB for node in cluster.nodes)
    need += sum((pool.memory_mib + NODE_MIB) * pool.most_starts for pool in cluster.pools)
    if available is not None and need > available:
        raise ConfigError(
            f"{cluster.where}: {cluster.most_machines} nodes may need {need:,} MiB, and this computer has {available:,} MiB free; "
            f"give fewer nodes{', fewer starts of a pool' if cluster.pools else ''}, or less mem"
        )
