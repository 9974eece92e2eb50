# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI: configuration space, base address registers, MSI-X."""
