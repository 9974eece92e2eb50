# SPDX-License-Identifier: GPL-2.0-or-later
"""What an emulator that is not ours makes of the same files."""
