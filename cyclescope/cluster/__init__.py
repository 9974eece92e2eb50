# SPDX-License-Identifier: GPL-2.0-or-later
"""Several machines in one World: the file that describes them, building, running, and what comes out."""
