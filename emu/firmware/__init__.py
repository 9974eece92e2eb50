# SPDX-License-Identifier: GPL-2.0-or-later
"""What firmware leaves in RAM for a kernel: ACPI tables, the memory map, assigned PCI resources."""
