# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine, and the world it sits in."""
