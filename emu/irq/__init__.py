# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupt routing outside the vCPUs: the I/O APIC."""
