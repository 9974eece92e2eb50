# SPDX-License-Identifier: GPL-2.0-or-later
"""Collapsed stacks: lines that flame graph tools read, `personality;vcpuN;component;symbol cycles`."""

from __future__ import annotations

from emu.ledger.accounts import Accounts


def collapsed(personality: str, accounts: Accounts) -> str:
    """One line a vCPU and symbol that took cycles, ordered by vCPU and address; '' when nothing ran."""
    return "".join(
        f"{_frame(personality)};vcpu{vcpu};{component};{_frame(symbol)} {cycles}\n"
        for vcpu, component, symbol, cycles in accounts.by_vcpu_symbol()
    )


def _frame(name: str) -> str:
    """A name with what separates frames and counts replaced."""
    return name.replace(";", ":").replace(" ", "_").replace("\n", "_")
