# SPDX-License-Identifier: GPL-2.0-or-later
"""How wrong is the processor model? Its figures beside those that others published or that the host gives."""
