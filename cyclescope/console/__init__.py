# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's serial console with somebody at it: a person at a terminal, a file of lines, or a recorded session."""
