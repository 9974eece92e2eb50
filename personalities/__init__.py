# SPDX-License-Identifier: GPL-2.0-or-later
"""Operating systems to run: one folder each, and the contract they share."""
