# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP at the client: a state machine a file, none of which knows a clock or a wire, and a host that joins them."""
