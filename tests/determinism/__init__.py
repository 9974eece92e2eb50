# SPDX-License-Identifier: GPL-2.0-or-later
"""A run is a function of its inputs, and its figures add up."""
