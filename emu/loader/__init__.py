# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest images: reading them, checking them, placing them in RAM."""
