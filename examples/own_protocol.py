"""A protocol of one's own, both sides, with an upgrade in place; and what happens to words that are put behind it.

    python examples/own_protocol.py

The server greets with ``KNOCK?``, hears ``ENTER``, says ``COME IN``, and goes on inside TLS. Its half is a recipe: a
generator that ends with the token of the upgrade. The client says its words itself and then upgrades ``raw``.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from pathlib import Path

import gatepost
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import server_contexts
from gatepost.wire.dialogue import Dialogue, receive, send
from gatepost.wire.recipes.recipe import Granted, Recipe, ServerTerms
from gatepost.wire.upgrade import Origin, hand_over_server


def doorkeeper(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """The server's half: everything up to the go-ahead."""
    yield from send(b"KNOCK?\n")
    heard = b""
    while b"\n" not in heard and len(heard) < 100:
        heard += yield from receive(terms.seconds, "ENTER")
    word, _, residue = heard.partition(b"\n")
    if word != b"ENTER":
        raise gatepost.RemoteProtocolError("the client does not want to enter")
    ready, early = hand_over_server(origin, residue)  # refuses whatever stands behind ENTER
    return Granted(ready, early, b"COME IN\n")


KNOCK = Recipe("knock", 0, None, gatepost.recipe("raw").client, doorkeeper)


async def inside(connection: gatepost.SecureConnection) -> None:
    """What the server says in private."""
    await connection.send(b"welcome to " + connection.evidence.version.encode() + b"\n")


async def visit(port: int, ca_file: Path, words: bytes) -> None:
    """The client."""
    async with gatepost.connect("localhost", port, ca_file=ca_file) as plain:
        await plain.readline()
        await plain.send(words)
        if await plain.readline() == b"COME IN\n":
            secure = await plain.upgrade("raw")
            print("private:", (await secure.readline()).decode().strip())


async def main() -> int:
    """Once as it should be, once with a word smuggled behind the request."""
    authority = TestAuthority()
    contexts = server_contexts([authority.issue("localhost", "127.0.0.1").credential])
    with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0)) as listening:
        ca_file = Path(directory, "ca.pem")
        ca_file.write_bytes(authority.pem)
        port = listening.getsockname()[1]
        failed = asyncio.Queue[Exception]()
        serving = asyncio.create_task(
            gatepost.serve_protocol(KNOCK, listening, contexts, inside, failed=failed.put_nowait)
        )
        await visit(port, ca_file, b"ENTER\n")
        await visit(port, ca_file, b"ENTER\nSMUGGLED\n")
        print("refused:", await failed.get())
        serving.cancel()
        await asyncio.wait([serving])
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
