"""Ten thousand handshakes that fail, with each driver: descriptors and memory before and after.

    python bench/failed_handshakes.py [COUNT]

The server runs in a process of its own and fails in four ways, one after the other: text in place of its hello, the end
of the connection, a record that is none, and a certificate for another name.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import multiprocessing
import socket
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import gatepost
import gatepost.blocking
from gatepost.testing.ca import TestAuthority

KINDS = ("text", "end", "garbage", "another name")
SAID = {"text": b"250 injected\r\n", "garbage": b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"}


def serve(listening: socket.socket, pair: str) -> None:
    """Fail as each client asks."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    while True:
        sock, _ = listening.accept()
        sock.settimeout(10)
        try:
            line = b""
            while not line.endswith(b"\n") and (octet := sock.recv(1)):
                line += octet
            kind = line.decode().strip()
            if kind == "another name":
                with context.wrap_socket(sock, server_side=True) as inside:
                    inside.recv(100)
            elif kind != "end":
                sock.recv(65536)
                sock.sendall(SAID[kind])
                sock.recv(100)
        except OSError:
            pass
        sock.close()


def resident() -> int:
    """KiB of memory that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def descriptors() -> int:
    """How many are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def on_asyncio(count: int, port: int, ca_file: Path, cache: gatepost.SessionCache) -> None:
    """Fail on asyncio."""
    for kind in itertools.islice(itertools.cycle(KINDS), count):
        async with gatepost.connect(
            "127.0.0.1", port, ca_file=ca_file, server_name="other.test", sessions=cache
        ) as plain:
            await plain.send(kind.encode() + b"\n")
            try:
                await plain.upgrade("raw")
            except gatepost.GatepostError:
                continue
            raise AssertionError(kind)


def blocking(count: int, port: int, ca_file: Path, cache: gatepost.SessionCache) -> None:
    """Fail without a loop."""
    for kind in itertools.islice(itertools.cycle(KINDS), count):
        with gatepost.blocking.connect(
            "127.0.0.1", port, ca_file=ca_file, server_name="other.test", sessions=cache
        ) as plain:
            plain.send(kind.encode() + b"\n")
            try:
                plain.upgrade("raw")
            except gatepost.GatepostError:
                continue
            raise AssertionError(kind)


def main() -> int:
    """Print the figures of both drivers."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as directory:
        authority = TestAuthority()
        issued = authority.issue("localhost")
        pair, ca_file = Path(directory, "server.pem"), Path(directory, "ca.pem")
        pair.write_bytes(issued.chain_pem + issued.key_pem)
        ca_file.write_bytes(authority.pem)
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = listening.getsockname()[1]
        server = multiprocessing.get_context("fork").Process(target=serve, args=(listening, str(pair)), daemon=True)
        server.start()
        for name in ("asyncio", "blocking"):
            cache = gatepost.SessionCache()

            def fail(number: int, name: str = name, cache: gatepost.SessionCache = cache) -> None:
                if name == "asyncio":
                    asyncio.run(on_asyncio(number, port, ca_file, cache))
                else:
                    blocking(number, port, ca_file, cache)

            fail(200)
            gc.collect()
            before = descriptors(), resident()
            began = time.perf_counter()
            fail(count)
            seconds = time.perf_counter() - began
            gc.collect()
            print(
                f"{name}: {count} failed handshakes in {seconds:.1f} s; descriptors {before[0]} -> {descriptors()}; "
                f"resident {before[1]} -> {resident()} KiB"
            )
            tracemalloc.start()
            fail(8)
            gc.collect()
            traced = tracemalloc.get_traced_memory()[0]
            fail(400)
            gc.collect()
            print(f"{name}: 400 more, objects of Python {tracemalloc.get_traced_memory()[0] - traced:+d} octets")
            tracemalloc.stop()
        server.terminate()
        server.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
