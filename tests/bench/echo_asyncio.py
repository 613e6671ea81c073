# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Python asyncio's echo server, for tests/bench/bench: prints its port, ends with its last connection."""

import asyncio
import sys


class Echo(asyncio.Protocol):
    count = 0

    def connection_made(self, transport):
        Echo.count += 1
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def connection_lost(self, exc):
        Echo.count -= 1
        if Echo.count == 0:
            asyncio.get_running_loop().stop()


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.create_future()


try:
    asyncio.run(main())
except RuntimeError:  # the loop was stopped before main() was over
    sys.exit(0)
