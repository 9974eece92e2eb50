# SPDX-License-Identifier: GPL-2.0-or-later
"""pyroute2's 9P server on standard input, a socket, with a few empty files in memory."""

import asyncio
import socket

from pyroute2 import Plan9ServerSocket


async def main() -> None:
    server = Plan9ServerSocket(use_socket=socket.socket(fileno=0))
    server.filesystem.create("hello", data="hello")
    server.filesystem.create("deep", qtype=0x80)
    server.filesystem.create("deep/file")
    await (await server.async_run())


asyncio.run(main())
