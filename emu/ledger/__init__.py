# SPDX-License-Identifier: GPL-2.0-or-later
"""Who pays: symbols, components, probes, requests and accounts. See README.md for the manifest's format."""
