# SPDX-License-Identifier: GPL-2.0-or-later
"""The small devices of a PC's board."""
