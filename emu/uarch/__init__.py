# SPDX-License-Identifier: GPL-2.0-or-later
"""Processor tables: data, each number with its source and grade, and their loader (`emu.uarch.table`)."""
