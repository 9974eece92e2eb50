# SPDX-License-Identifier: GPL-2.0-or-later
"""The core library: vCPUs, time slices, timing, the ledger (C), and its binding (`emu.core.binding`)."""
