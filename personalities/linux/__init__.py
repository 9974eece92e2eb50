# SPDX-License-Identifier: GPL-2.0-or-later
"""linux: an unmodified distribution kernel and an unmodified program."""
